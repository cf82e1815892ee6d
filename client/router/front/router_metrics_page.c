// SPDX-License-Identifier: Apache-2.0
#include "router_metrics_page.h"

#include <stdio.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/http1/h1_client.h"
#include "client/router/pools/router_found.h"
#include "client/router/pools/router_pools.h"
#include "client/router/proxy/router_kept.h"
#include "client/router/proxy/router_proxy.h"
#include "client/router/router.h"
#include "client/router/router_exchange.h"
#include "client/router/router_metrics.h"
#include "client/router/router_totals.h"
#include "client/router/trace/router_trace.h"

static const char prefix[] = "kvroute_router_";

static void counter(struct kvr_prom *p, const char *name, const char *help, uint64_t value) {
    kvr_prom_one(p, name, KVR_PROM_COUNTER, help, (int64_t)value);
}

static void gauge(struct kvr_prom *p, const char *name, const char *help, size_t value) {
    kvr_prom_one(p, name, KVR_PROM_GAUGE, help, (int64_t)value);
}

static void histogram(struct kvr_prom *p, const char *name, const char *help,
                      const struct kvr_prom_histogram *h) {
    kvr_prom_family(p, name, KVR_PROM_HISTOGRAM, help);
    kvr_prom_sample_histogram(p, NULL, 0, h);
}

// A sample of a counter with one label.
static void labelled(struct kvr_prom *p, const char *label, const char *value, uint64_t n) {
    kvr_prom_sample(p, KVR_PROM_COUNTER, (struct kvr_prom_label[]){{label, value}}, 1, (int64_t)n);
}

static void add_front(struct kvr_prom *p, const struct router *r) {
    const struct router_metrics *m = r->metrics;
    struct h1_server_stats st = {0};
    if (r->server) h1_server_stats(r->server, &st);
    gauge(p, "start_time_seconds", "when this process began, since 1970", (size_t)r->since_s);
    gauge(p, "draining", "whether it is leaving", r->draining);
    if (r->slots) {
        gauge(p, "processes", "that accept", router_slots_serving(r->slots));
        counter(p, "process_restarts", "of those that died", r->slots->restarts);
    }
    gauge(p, "connections", "open", st.connections);
    gauge(p, "requests_in_flight", "not yet answered", st.requests);
    gauge(p, "queued_bytes", "of their bodies", st.queued);
    counter(p, "connections_accepted", "since the start", st.accepted);
    counter(p, "requests_refused", "at the door", st.refused);
    counter(p, "received_bytes", "of requests", m->in_bytes);
    counter(p, "bodies_apart", "bodies that were read beside the loop", m->bodies_apart);
    counter(p, "sent_bytes", "of answers' bodies", m->out_bytes);
    counter(p, "answers_cut", "that ended before their end", m->cut);
    counter(p, "clients_gone", "before their answer's end", m->gone);
    counter(p, "access_log_lost", "lines that couldn't be written", m->lost_lines);
}

static void add_routes(struct kvr_prom *p, const struct router_metrics *m) {
    kvr_prom_family(p, "requests", KVR_PROM_COUNTER, "requests by route and status");
    for (size_t i = 0; i < m->n_routes; i++)
        for (size_t k = 0; k < ROUTER_METRICS_STATUSES && m->routes[i].statuses[k].n; k++) {
            char code[12];
            snprintf(code, sizeof code, "%d", m->routes[i].statuses[k].status);
            kvr_prom_sample(p, KVR_PROM_COUNTER,
                            (struct kvr_prom_label[]){{"route", m->routes[i].name}, {"code", code}},
                            2, (int64_t)m->routes[i].statuses[k].n);
        }
    kvr_prom_family(p, "request_duration_seconds", KVR_PROM_HISTOGRAM,
                    "from the first byte to the last");
    for (size_t i = 0; i < m->n_routes; i++)
        kvr_prom_sample_histogram(p, (struct kvr_prom_label[]){{"route", m->routes[i].name}}, 1,
                                  &m->routes[i].duration);
}

static void add_choices(struct kvr_prom *p, const struct router_metrics *m) {
    kvr_prom_family(p, "selects", KVR_PROM_COUNTER, "answers to SELECT by code");
    for (size_t i = 0; i <= KVR_CODE_CLOSED; i++)
        if (m->select_codes[i])
            labelled(p, "code", kvr_code_name((enum kvr_code)i), m->select_codes[i]);
    histogram(p, "select_duration_seconds", "from the call to the pool's answer", &m->select);
    histogram(p, "time_to_first_token_seconds", "from the request to the first token", &m->first);
    histogram(p, "ttft_seconds", "from the choice to the first token, if predicted", &m->ttft);
    histogram(p, "ttft_predicted_seconds", "what the pool took that to be", &m->ttft_predicted);
    histogram(p, "ttft_error_ratio", "how far apart, as a share of what it was", &m->ttft_error);
    histogram(p, "time_between_tokens_seconds", "between two pieces of a stream", &m->gap);
    counter(p, "degraded_selects", "choices without a primary", m->degraded);
    counter(p, "request_blocks", "blocks of the requests", m->blocks);
    counter(p, "overlap_blocks", "of these, held by the worker chosen", m->overlap);
    counter(p, "expected_blocks", "of these, held or being computed there", m->expected);
    counter(p, "input_tokens", "of requests, as far as known", m->input);
    counter(p, "output_tokens", "of answers, as far as known", m->output);
    counter(p, "retries", "requests tried on another engine", m->retries);
    counter(p, "retries_refused", "retries that the budget didn't allow", m->retries_refused);
    counter(p, "local_failures", "tries for which this machine lacked something",
            m->local_failures);
    kvr_prom_family(p, "tokenize", KVR_PROM_COUNTER,
                    "questions for the tokens of a prompt by what came of them");
    static const char *const outcomes[ROUTER_TOKENS_OUTCOMES] = {"ok", "refused", "failed", "none"};
    for (size_t i = 0; i < ROUTER_TOKENS_OUTCOMES; i++)
        labelled(p, "outcome", outcomes[i], m->tokens[i]);
}

static const char *const engine_outcomes[ROUTER_ENGINE_OUTCOMES] = {"ok", "refused", "failed",
                                                                    "cut", "cancelled"};

static void add_prefills(struct kvr_prom *p, const struct router_metrics *m) {
    kvr_prom_family(p, "prefills", KVR_PROM_COUNTER,
                    "prompts computed by one engine for another, by how that ended");
    for (size_t i = 0; i < ROUTER_ENGINE_OUTCOMES; i++)
        labelled(p, "outcome", engine_outcomes[i], m->prefills[i]);
    counter(p, "prefills_unused", "of these, without anything for the other engine",
            m->prefills_unused);
    histogram(p, "prefill_duration_seconds", "from the choice to the prefilling engine's answer",
              &m->prefill);
}

// By pool and why they left their engine; by why they couldn't.
static void add_streams(struct kvr_prom *p, const struct router *r) {
    static const char *const whys[ROUTER_MIGRATION_WHYS] = {"broken",  "silent", "dead",
                                                            "aborted", "error",  "drain"};
    const struct router_kept_total *kept = router_proxy_kept(r->proxy);
    kvr_prom_family(p, "streams_continued", KVR_PROM_COUNTER,
                    "streams whose rest came from another engine, by why");
    for (const struct router_pool *pool = router_pools_first(r->pools); pool; pool = pool->next)
        for (size_t i = 0; i < ROUTER_MIGRATION_WHYS; i++) {
            struct kvr_prom_label labels[] = {{"pool", pool->options.name}, {"why", whys[i]}};
            if (pool->continued[i])
                kvr_prom_sample(p, KVR_PROM_COUNTER, labels, 2, (int64_t)pool->continued[i]);
        }
    kvr_prom_family(p, "streams_lost", KVR_PROM_COUNTER,
                    "streams that broke, by why they didn't go on");
    for (size_t i = 0; i < ROUTER_BECAUSES; i++)
        if (r->metrics->streams_lost[i])
            labelled(p, "because", router_because_word((enum router_because)i),
                     r->metrics->streams_lost[i]);
    gauge(p, "kept_streams", "under way, that can go on at another engine", (size_t)kept->streams);
    gauge(p, "kept_bytes", "that are kept for that", (size_t)kept->bytes);
}

static void add_tries(struct kvr_prom *p, const char *pool, const char *worker, const char *outcome,
                      uint64_t n) {
    if (n)
        kvr_prom_sample(
            p, KVR_PROM_COUNTER,
            (struct kvr_prom_label[]){{"pool", pool}, {"worker", worker}, {"outcome", outcome}}, 3,
            (int64_t)n);
}

static void add_handshakes(struct kvr_prom *p, const struct h1_handshakes *n) {
    kvr_prom_family(p, "engine_handshakes", KVR_PROM_COUNTER,
                    "TLS handshakes with engines by what came of them");
    labelled(p, "outcome", "full", n->full);
    labelled(p, "outcome", "resumed", n->resumed);
    labelled(p, "outcome", "untrusted", n->untrusted);
    labelled(p, "outcome", "failed", n->failed);
}

static void add_engines(struct kvr_prom *p, const struct router_metrics *m) {
    kvr_prom_family(p, "engine_tries", KVR_PROM_COUNTER,
                    "tries of requests on workers by how they ended");
    for (size_t i = 0; i < m->n_workers; i++)
        for (size_t k = 0; k < ROUTER_ENGINE_OUTCOMES; k++)
            add_tries(p, m->workers[i].pool, m->workers[i].worker, engine_outcomes[k],
                      m->workers[i].tries[k]);
    add_tries(p, "", "", "", m->workers_unnamed);
}

// What is shown of each pool.
struct pool_metrics {
    struct kvr_client_stats client;
    int64_t workers, workers_ready, open_circuits, requests, blocks;
    int64_t waiting, waiting_tokens, admitted, refused, limited;
    uint64_t unsent;
};

static void collect(const struct router_pool *p, struct pool_metrics *n) {
    *n = (struct pool_metrics){.workers = (int64_t)p->n_workers,
                               .requests = p->requests,
                               .blocks = p->blocks,
                               .waiting = p->queue.waiting,
                               .waiting_tokens = p->queue.tokens,
                               .admitted = p->queue.admitted,
                               .refused = p->queue.refused,
                               .limited = p->queue.limited,
                               .unsent = p->unsent};
    kvr_client_stats(p->client, &n->client);
    for (size_t i = 0; i < p->n_workers; i++) {
        n->workers_ready += p->workers[i].state == KVR_READY;
        n->open_circuits += p->workers[i].circuit != KVR_CLOSED;
    }
}

static const struct {
    const char *name, *help;
    enum kvr_prom_type type;
    size_t at, size;
} of_pools[] = {
#define AT(field) offsetof(struct pool_metrics, field), sizeof(((struct pool_metrics *)0)->field)
#define GAUGE KVR_PROM_GAUGE
#define COUNTER KVR_PROM_COUNTER
    {"redis_connected", "whether a primary is known", GAUGE, AT(client.connected)},
    {"pool_workers", "registered", GAUGE, AT(workers)},
    {"pool_workers_ready", "of these, ready", GAUGE, AT(workers_ready)},
    {"pool_open_circuits", "of these, with a circuit that isn't closed", GAUGE, AT(open_circuits)},
    {"pool_requests", "live in the pool", GAUGE, AT(requests)},
    {"pool_blocks", "distinct blocks held", GAUGE, AT(blocks)},
    {"pool_waiting", "requests that wait for room", GAUGE, AT(waiting)},
    {"pool_waiting_tokens", "of these, prompts and expected answers", GAUGE, AT(waiting_tokens)},
    {"pool_admitted", "booked after they had waited", COUNTER, AT(admitted)},
    {"pool_refused", "that there was no room for", COUNTER, AT(refused)},
    {"pool_limited", "whose flow had used up what it may", COUNTER, AT(limited)},
    {"waiting_requests", "in pools' queues, of this router", GAUGE, AT(client.waiting)},
    {"live_requests", "booked by this router", GAUGE, AT(client.live)},
    {"pending_commands", "sent or waiting to be", GAUGE, AT(client.pending)},
    {"redis_connects", "primaries reached", COUNTER, AT(client.connects)},
    {"redis_losses", "times when Redis had lost writes", COUNTER, AT(client.losses)},
    {"lost_requests", "bookings that were missing then", COUNTER, AT(client.lost)},
    {"repaired_requests", "of these and of degraded choices, booked", COUNTER, AT(client.repaired)},
    {"redis_timeouts", "commands without an answer in time", COUNTER, AT(client.timeouts)},
    {"unsent_commands", "not taken, too many being under way", COUNTER, AT(unsent)},
#undef AT
#undef GAUGE
#undef COUNTER
};

static void add_pools(struct kvr_prom *p, const struct router *r) {
    for (size_t k = 0; k < sizeof of_pools / sizeof *of_pools; k++) {
        kvr_prom_family(p, of_pools[k].name, of_pools[k].type, of_pools[k].help);
        for (const struct router_pool *pool = router_pools_first(r->pools); pool;
             pool = pool->next) {
            struct pool_metrics n;
            int64_t value = 0; // little-endian: a bool's byte comes first, too
            collect(pool, &n);
            memcpy(&value, (const char *)&n + of_pools[k].at, of_pools[k].size);
            kvr_prom_sample(p, of_pools[k].type,
                            (struct kvr_prom_label[]){{"pool", pool->options.name}}, 1, value);
        }
    }
}

// Who waits, by class; the classes beyond the first so many are one, "other", and so is one of that name.
static void add_classes(struct kvr_prom *p, const struct router_pool *pool) {
    const struct router_queue *q = &pool->queue;
    struct kvr_prom_label labels[] = {{"pool", pool->options.name}, {"class", "other"}};
    int64_t others = -1;
    for (size_t i = 0; i < q->n_classes; i++) {
        const struct router_queue_class *c = &q->classes[i];
        if (i >= ROUTER_SHARES_CLASSES || !strcmp(c->name, "other")) {
            others = (others < 0 ? 0 : others) + c->waiting;
            continue;
        }
        labels[1].value = c->name;
        kvr_prom_sample(p, KVR_PROM_GAUGE, labels, 2, c->waiting);
    }
    labels[1].value = "other";
    if (others >= 0) kvr_prom_sample(p, KVR_PROM_GAUGE, labels, 2, others);
}

// What an autoscaler wants to know. All routers say the same of a pool, so the names aren't this router's.
static void add_scale(struct kvr_prom *p, const struct router *r) {
    const char *usual = p->prefix;
    p->prefix = "kvroute_";
    kvr_prom_family(p, "instances", KVR_PROM_GAUGE, "instances that may be chosen");
    for (const struct router_pool *pool = router_pools_first(r->pools); pool; pool = pool->next)
        kvr_prom_sample(p, KVR_PROM_GAUGE, (struct kvr_prom_label[]){{"pool", pool->options.name}},
                        1, pool->instances);
    kvr_prom_family(p, "instances_wanted", KVR_PROM_GAUGE,
                    "more instances that would empty the queue in time");
    for (const struct router_pool *pool = router_pools_first(r->pools); pool; pool = pool->next)
        kvr_prom_sample(p, KVR_PROM_GAUGE, (struct kvr_prom_label[]){{"pool", pool->options.name}},
                        1, pool->queue.wanted);
    p->prefix = usual;
}

static void add_queues(struct kvr_prom *p, const struct router *r) {
    router_shares_show(p, &r->metrics->shares);
    kvr_prom_family(p, "class_waiting", KVR_PROM_GAUGE, "requests that wait for room, by class");
    for (const struct router_pool *pool = router_pools_first(r->pools); pool; pool = pool->next)
        add_classes(p, pool);
    add_scale(p, r);
}

static void add_traces(struct kvr_prom *p, const struct router *r) {
    struct router_exporter_stats st = {0};
    if (r->tracer) router_exporter_stats(router_tracer_exporter(r->tracer), &st);
    kvr_prom_family(p, "spans", KVR_PROM_COUNTER, "spans by what became of them");
    labelled(p, "outcome", "sent", st.sent);
    labelled(p, "outcome", "dropped", st.dropped);
    labelled(p, "outcome", "refused", st.refused);
    labelled(p, "outcome", "given_up", st.given_up);
    gauge(p, "spans_waiting", "to be sent to the collector", st.spans);
}

static bool is_registered(void *ctx, const char *pool, const char *worker) {
    const struct router_pool *p = router_pools_named(ctx, pool);
    return p && router_pool_worker(p, kvr_text(worker));
}

static void add_all(struct kvr_prom *p, const struct router *r) {
    kvr_prom_build_info(p);
    router_metrics_forget(r->metrics, kvr_clock_us(), is_registered, r->pools);
    add_front(p, r);
    add_routes(p, r->metrics);
    add_choices(p, r->metrics);
    add_prefills(p, r->metrics);
    add_engines(p, r->metrics);
    add_handshakes(p, h1_client_handshakes(r->upstream));
    add_streams(p, r);
    add_pools(p, r);
    router_found_show(p, r->found);
    add_queues(p, r);
    add_traces(p, r);
}

void router_metrics_show(const struct router *r) {
    struct kvr_prom p = {.out = r->slots ? evbuffer_new() : NULL, .prefix = prefix};
    if (!p.out) return;
    add_all(&p, r);
    router_totals_show(r, p.out);
    evbuffer_free(p.out);
}

// What all processes have shown, this one at this moment.
static bool add_sum(struct kvr_prom *p, const struct router *r) {
    struct kvr_prom_sum *sum = kvr_prom_sum_new(&kvr_alloc_default, router_slots_rules);
    router_metrics_show(r);
    bool good = sum && router_slots_pages(r->slots, sum);
    if (good) kvr_prom_sum_write(sum, p->out, p->open);
    kvr_prom_sum_free(sum);
    return good;
}

void router_metrics_page(struct router_exchange *x) {
    const char *accept = h1_find_header(&x->h1.head, "accept");
    struct kvr_prom p = {
        .out = evbuffer_new(), .prefix = prefix, .open = kvr_prom_wants_open(accept)};
    bool good = p.out && (!x->router->slots || add_sum(&p, x->router));
    if (!good) {
        if (p.out) evbuffer_free(p.out);
        router_error(x, 503, "NOMEM", "no memory");
        return;
    }
    if (!x->router->slots) add_all(&p, x->router);
    const char *type = kvr_prom_end(&p);
    h1_exchange_start(&x->h1, 200, type, (int64_t)evbuffer_get_length(p.out));
    h1_exchange_data(&x->h1, p.out);
    evbuffer_free(p.out);
    h1_exchange_end(&x->h1);
}
