// SPDX-License-Identifier: Apache-2.0
// See metrics.h.
#include "router_metrics.h"

#include <event2/buffer.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/router/front/routes.h"
#include "client/router/pools/router_pools.h"
#include "router.h"
#include "router_exchange.h"

enum { MAX_ROUTES = 32, MAX_STATUSES = 24, MAX_WORKERS = 4096, BUCKETS = 18, OUTCOMES = 5 };

static const char *const outcome_names[OUTCOMES] = {"ok", "refused", "failed", "cut", "cancelled"};

// Upper bounds: µs, and as they are written.
static const struct {
    int64_t us;
    const char *le;
} buckets[BUCKETS] = {
    {100, "0.0001"},    {250, "0.00025"},   {500, "0.0005"},    {1000, "0.001"},  {2500, "0.0025"},
    {5000, "0.005"},    {10000, "0.01"},    {25000, "0.025"},   {50000, "0.05"},  {100000, "0.1"},
    {250000, "0.25"},   {500000, "0.5"},    {1000000, "1.0"},   {2500000, "2.5"}, {5000000, "5.0"},
    {10000000, "10.0"}, {30000000, "30.0"}, {60000000, "60.0"},
};

struct histogram {
    uint64_t in[BUCKETS + 1], n;
    int64_t sum; // µs
};

struct of_route {
    struct {
        int status;
        uint64_t n;
    } statuses[MAX_STATUSES]; // status 0: none of these
    struct histogram took;
};

struct of_worker {
    char pool[129], worker[KVR_MAX_NAME + 1];
    uint64_t tries[OUTCOMES];
};

struct router_metrics {
    struct of_route router_routes[MAX_ROUTES + 1]; // the last: no route
    struct histogram first, gap, select;
    // Streams whose first token the pool had foretold: both times, and how far they are apart. The
    // last is a share of what it was, in millionths, as the others are in µs.
    struct histogram ttft, ttft_predicted, ttft_error;
    uint64_t select_codes[KVR_CODE_CLOSED + 1];
    uint64_t degraded, retries[2], tokens[ROUTER_TOKENS_NONE + 1], lost_lines, cut, gone;
    uint64_t blocks, overlap, expected, input, output, in_bytes, out_bytes, requests;
    struct of_worker *workers; // by pool and name
    size_t n_workers;
    uint64_t workers_unnamed; // tries on workers beyond MAX_WORKERS
};

struct router_metrics *router_metrics_new(void) {
    return calloc(1, sizeof(struct router_metrics));
}

void router_metrics_free(struct router_metrics *m) {
    if (!m) return;
    free(m->workers);
    free(m);
}

// ---- Counting ------------------------------------------------------------------------------------

static void observe(struct histogram *h, int64_t us) {
    size_t i = 0;
    while (i < BUCKETS && us > buckets[i].us)
        i++;
    h->in[i]++;
    h->n++;
    h->sum += us;
}

static void count_status(struct of_route *t, int status) {
    size_t i = 0;
    while (i < MAX_STATUSES - 1 && t->statuses[i].n && t->statuses[i].status != status)
        i++;
    if (t->statuses[i].n && t->statuses[i].status != status) status = 0;
    t->statuses[i].status = status;
    t->statuses[i].n++;
}

static void add_positive(uint64_t *sum, int64_t n) {
    if (n > 0) *sum += (uint64_t)n;
}

static void compare_times(struct router_metrics *m, int64_t actual, int64_t predicted) {
    if (actual < 0 || predicted < 0) return;
    double off = (double)(predicted > actual ? predicted - actual : actual - predicted);
    observe(&m->ttft, actual);
    observe(&m->ttft_predicted, predicted);
    observe(&m->ttft_error, (int64_t)(off / (double)(actual ? actual : 1) * 1e6));
}

void router_metrics_done(struct router *r, const struct router_exchange *x) {
    struct router_metrics *m = r->metrics;
    const struct h1_exchange *h = &x->h1;
    const struct router_record *c = &x->record;
    if (!m) return;
    size_t route = x->route ? (size_t)(x->route - router_routes) : MAX_ROUTES;
    if (route > MAX_ROUTES) route = MAX_ROUTES;
    count_status(&m->router_routes[route], h->gone && !h->status ? 499 : h->status);
    observe(&m->router_routes[route].took, kvr_clock_us() - h->began_us);
    if (c->first_us >= 0) observe(&m->first, c->first_us);
    m->requests++;
    m->cut += h->cut;
    m->gone += h->gone;
    m->in_bytes += h->in_bytes;
    m->out_bytes += h->out_bytes;
    add_positive(&m->blocks, c->blocks);
    add_positive(&m->overlap, c->overlap);
    add_positive(&m->expected, c->expected);
    compare_times(m, c->booked_us, c->predicted_us);
    add_positive(&m->input, c->input);
    add_positive(&m->output, c->output);
}

void router_metrics_lost_line(struct router_metrics *m) {
    if (m) m->lost_lines++;
}

void router_metrics_select(struct router_metrics *m, int64_t us, const struct kvr_result *r) {
    observe(&m->select, us);
    m->select_codes[r->code]++;
    m->degraded += r->degraded;
}

void router_metrics_gap(struct router_metrics *m, int64_t us) {
    observe(&m->gap, us);
}

void router_metrics_tokens(struct router_metrics *m, enum router_tokens_outcome outcome) {
    m->tokens[outcome]++;
}

void router_metrics_retry(struct router_metrics *m, bool allowed) {
    m->retries[allowed]++;
}

static int compare_worker(const struct of_worker *w, const char *pool, const char *worker) {
    int c = strcmp(w->pool, pool);
    return c ? c : strcmp(w->worker, worker);
}

static struct of_worker *worker_of(struct router_metrics *m, const char *pool, const char *worker) {
    size_t low = 0, high = m->n_workers;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int c = compare_worker(&m->workers[middle], pool, worker);
        if (c == 0) return &m->workers[middle];
        if (c < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (m->n_workers == MAX_WORKERS) return NULL;
    struct of_worker *all = realloc(m->workers, (m->n_workers + 1) * sizeof *all), *w;
    if (!all) return NULL;
    m->workers = all;
    w = &all[low];
    memmove(w + 1, w, (m->n_workers - low) * sizeof *w);
    m->n_workers++;
    memset(w, 0, sizeof *w);
    snprintf(w->pool, sizeof w->pool, "%s", pool);
    snprintf(w->worker, sizeof w->worker, "%s", worker);
    return w;
}

void router_metrics_engine(struct router_metrics *m, const struct router_pool *p,
                           const char *worker, enum router_engine_outcome outcome) {
    struct of_worker *w = worker_of(m, p->options.name, worker);
    if (w)
        w->tries[outcome]++;
    else
        m->workers_unnamed++;
}

void router_metrics_sums(const struct router_metrics *m, struct router_metrics_sums *out) {
    *out = (struct router_metrics_sums){m->requests,   m->select.n, m->degraded,
                                        m->retries[1], m->blocks,   m->overlap};
}

// ---- Writing -------------------------------------------------------------------------------------

#define PREFIX "kvroute_router_"

struct page {
    struct evbuffer *out;
    bool open; // OpenMetrics
};

static void describe(struct page *p, const char *name, const char *type, const char *help) {
    // A counter's samples end with _total; OpenMetrics names the family without it.
    const char *end = !p->open && strcmp(type, "counter") == 0 ? "_total" : "";
    evbuffer_add_printf(p->out, "# TYPE " PREFIX "%s%s %s\n# HELP " PREFIX "%s%s %s\n", name, end,
                        type, name, end, help);
}

static void add_label(struct page *p, const char *name, const char *value) {
    evbuffer_add_printf(p->out, "%s=\"", name);
    for (const char *c = value; *c; c++) {
        if (*c == '"' || *c == '\\')
            evbuffer_add_printf(p->out, "\\%c", *c);
        else if (*c == '\n')
            evbuffer_add_printf(p->out, "\\n");
        else
            evbuffer_add(p->out, c, 1);
    }
    evbuffer_add_printf(p->out, "\"");
}

static void counter(struct page *p, const char *name, const char *help, uint64_t value) {
    describe(p, name, "counter", help);
    evbuffer_add_printf(p->out, PREFIX "%s_total %" PRIu64 "\n", name, value);
}

static void gauge(struct page *p, const char *name, const char *help, int64_t value) {
    describe(p, name, "gauge", help);
    evbuffer_add_printf(p->out, PREFIX "%s %" PRId64 "\n", name, value);
}

static void add_histogram(struct page *p, const char *name, const char *label, const char *value,
                          const struct histogram *h) {
    uint64_t n = 0;
    for (size_t i = 0; i <= BUCKETS; i++) {
        n += h->in[i];
        evbuffer_add_printf(p->out, PREFIX "%s_bucket{", name);
        if (label) {
            add_label(p, label, value);
            evbuffer_add_printf(p->out, ",");
        }
        evbuffer_add_printf(p->out, "le=\"%s\"} %" PRIu64 "\n",
                            i < BUCKETS ? buckets[i].le : "+Inf", n);
    }
    for (int sum = 0; sum < 2; sum++) {
        evbuffer_add_printf(p->out, PREFIX "%s_%s", name, sum ? "sum" : "count");
        if (label) {
            evbuffer_add_printf(p->out, "{");
            add_label(p, label, value);
            evbuffer_add_printf(p->out, "}");
        }
        if (sum)
            evbuffer_add_printf(p->out, " %.6f\n", (double)h->sum / 1e6);
        else
            evbuffer_add_printf(p->out, " %" PRIu64 "\n", h->n);
    }
}

static const char *route_name(size_t i) {
    return i == MAX_ROUTES ? "none" : router_routes[i].name;
}

static size_t next_route(size_t i) { // and at last the requests without one
    return i == MAX_ROUTES                                      ? i + 1
           : router_routes[i].path && router_routes[i + 1].path ? i + 1
                                                                : MAX_ROUTES;
}

static void add_routes(struct page *p, const struct router_metrics *m) {
    describe(p, "requests", "counter", "requests by route and status");
    for (size_t i = 0; i <= MAX_ROUTES; i = next_route(i))
        for (size_t k = 0; k < MAX_STATUSES && m->router_routes[i].statuses[k].n; k++) {
            evbuffer_add_printf(p->out, PREFIX "requests_total{");
            add_label(p, "route", route_name(i));
            evbuffer_add_printf(p->out, ",code=\"%d\"} %" PRIu64 "\n",
                                m->router_routes[i].statuses[k].status,
                                m->router_routes[i].statuses[k].n);
        }
    describe(p, "request_duration_seconds", "histogram", "from the first byte to the last");
    for (size_t i = 0; i <= MAX_ROUTES; i = next_route(i))
        if (m->router_routes[i].took.n)
            add_histogram(p, "request_duration_seconds", "route", route_name(i),
                          &m->router_routes[i].took);
}

static void add_choices(struct page *p, const struct router_metrics *m) {
    describe(p, "selects", "counter", "answers to SELECT by code");
    for (size_t i = 0; i <= KVR_CODE_CLOSED; i++)
        if (m->select_codes[i])
            evbuffer_add_printf(p->out, PREFIX "selects_total{code=\"%s\"} %" PRIu64 "\n",
                                kvr_code_name((enum kvr_code)i), m->select_codes[i]);
    describe(p, "select_duration_seconds", "histogram", "from the call to the pool's answer");
    add_histogram(p, "select_duration_seconds", NULL, NULL, &m->select);
    describe(p, "time_to_first_token_seconds", "histogram", "from the request to the first token");
    add_histogram(p, "time_to_first_token_seconds", NULL, NULL, &m->first);
    describe(p, "ttft_seconds", "histogram", "from the choice to the first token, if predicted");
    add_histogram(p, "ttft_seconds", NULL, NULL, &m->ttft);
    describe(p, "ttft_predicted_seconds", "histogram", "what the pool took that to be");
    add_histogram(p, "ttft_predicted_seconds", NULL, NULL, &m->ttft_predicted);
    describe(p, "ttft_error_ratio", "histogram", "how far apart, as a share of what it was");
    add_histogram(p, "ttft_error_ratio", NULL, NULL, &m->ttft_error);
    describe(p, "time_between_tokens_seconds", "histogram", "between two pieces of a stream");
    add_histogram(p, "time_between_tokens_seconds", NULL, NULL, &m->gap);
    counter(p, "degraded_selects", "choices without a primary", m->degraded);
    counter(p, "request_blocks", "blocks of the requests", m->blocks);
    counter(p, "overlap_blocks", "of these, held by the worker chosen", m->overlap);
    counter(p, "expected_blocks", "of these, held or being computed there", m->expected);
    counter(p, "input_tokens", "of requests, as far as known", m->input);
    counter(p, "output_tokens", "of answers, as far as known", m->output);
    counter(p, "retries", "requests tried on another engine", m->retries[1]);
    counter(p, "retries_refused", "retries that the budget didn't allow", m->retries[0]);
}

static void add_tokens(struct page *p, const struct router_metrics *m) {
    static const char *const names[] = {"ok", "refused", "failed", "none"};
    describe(p, "tokenize", "counter", "questions for the tokens of a prompt by what came of them");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        evbuffer_add_printf(p->out, PREFIX "tokenize_total{outcome=\"%s\"} %" PRIu64 "\n", names[i],
                            m->tokens[i]);
}

static void add_engines(struct page *p, const struct router_metrics *m) {
    describe(p, "engine_tries", "counter", "tries of requests on workers by how they ended");
    for (size_t i = 0; i < m->n_workers; i++)
        for (size_t k = 0; k < OUTCOMES; k++) {
            if (!m->workers[i].tries[k]) continue;
            evbuffer_add_printf(p->out, PREFIX "engine_tries_total{");
            add_label(p, "pool", m->workers[i].pool);
            evbuffer_add_printf(p->out, ",");
            add_label(p, "worker", m->workers[i].worker);
            evbuffer_add_printf(p->out, ",outcome=\"%s\"} %" PRIu64 "\n", outcome_names[k],
                                m->workers[i].tries[k]);
        }
    if (m->workers_unnamed)
        evbuffer_add_printf(
            p->out, PREFIX "engine_tries_total{pool=\"\",worker=\"\",outcome=\"\"} %" PRIu64 "\n",
            m->workers_unnamed);
}

struct of_pool {
    struct kvr_client_stats client;
    int64_t workers, workers_ready, open_circuits, requests, blocks, selects;
    uint64_t unsent;
};

static void collect(const struct router_pool *p, struct of_pool *n) {
    kvr_client_stats(p->client, &n->client);
    n->workers = (int64_t)p->n_workers;
    n->workers_ready = n->open_circuits = 0;
    for (size_t i = 0; i < p->n_workers; i++) {
        n->workers_ready += p->workers[i].state == KVR_READY;
        n->open_circuits += p->workers[i].circuit != KVR_CLOSED;
    }
    n->unsent = p->unsent;
    n->requests = p->requests;
    n->blocks = p->blocks;
}

static const struct {
    const char *name, *help;
    bool gauge;
    size_t at, size;
} of_pools[] = {
#define AT(field) offsetof(struct of_pool, field), sizeof(((struct of_pool *)0)->field)
    {"redis_connected", "whether a primary is known", true, AT(client.connected)},
    {"pool_workers", "registered", true, AT(workers)},
    {"pool_workers_ready", "of these, ready", true, AT(workers_ready)},
    {"pool_open_circuits", "of these, with a circuit that isn't closed", true, AT(open_circuits)},
    {"pool_requests", "live in the pool", true, AT(requests)},
    {"pool_blocks", "distinct blocks held", true, AT(blocks)},
    {"live_requests", "booked by this router", true, AT(client.live)},
    {"pending_commands", "sent or waiting to be", true, AT(client.pending)},
    {"redis_connects", "primaries reached", false, AT(client.connects)},
    {"redis_losses", "times when Redis had lost writes", false, AT(client.losses)},
    {"lost_requests", "bookings that were missing then", false, AT(client.lost)},
    {"repaired_requests", "of these and of degraded choices, booked", false, AT(client.repaired)},
    {"redis_timeouts", "commands without an answer in time", false, AT(client.timeouts)},
    {"unsent_commands", "not taken, too many being under way", false, AT(unsent)},
#undef AT
};

static void add_pools(struct page *p, const struct router *r) {
    for (size_t k = 0; k < sizeof of_pools / sizeof *of_pools; k++) {
        describe(p, of_pools[k].name, of_pools[k].gauge ? "gauge" : "counter", of_pools[k].help);
        for (const struct router_pool *pool = router_pools_first(r->pools); pool;
             pool = pool->next) {
            struct of_pool n;
            uint64_t value = 0; // little-endian: a bool's byte comes first, too
            collect(pool, &n);
            memcpy(&value, (const char *)&n + of_pools[k].at, of_pools[k].size);
            evbuffer_add_printf(p->out, PREFIX "%s%s{", of_pools[k].name,
                                of_pools[k].gauge ? "" : "_total");
            add_label(p, "pool", pool->options.name);
            evbuffer_add_printf(p->out, "} %" PRIu64 "\n", value);
        }
    }
}

void router_metrics_handle(struct router_exchange *x) {
    const struct router_metrics *m = x->router->metrics;
    const char *accept = h1_find_header(&x->h1.head, "accept");
    struct page p = {evbuffer_new(), accept && strstr(accept, "application/openmetrics-text")};
    struct h1_server_stats st;
    if (!p.out) {
        router_error(x, 503, "NOMEM", "no memory");
        return;
    }
    h1_server_stats(x->router->server, &st);
    gauge(&p, "draining", "whether it is leaving", x->router->draining);
    gauge(&p, "connections", "open", (int64_t)st.connections);
    gauge(&p, "requests_in_flight", "not yet answered", (int64_t)st.requests);
    gauge(&p, "queued_bytes", "of their bodies", (int64_t)st.queued);
    counter(&p, "connections_accepted", "since the start", st.accepted);
    counter(&p, "requests_refused", "at the door", st.refused);
    counter(&p, "received_bytes", "of requests", m->in_bytes);
    counter(&p, "sent_bytes", "of answers' bodies", m->out_bytes);
    counter(&p, "answers_cut", "that ended before their end", m->cut);
    counter(&p, "clients_gone", "before their answer's end", m->gone);
    counter(&p, "access_log_lost", "lines that couldn't be written", m->lost_lines);
    add_routes(&p, m);
    add_choices(&p, m);
    add_tokens(&p, m);
    add_engines(&p, m);
    add_pools(&p, x->router);
    if (p.open) evbuffer_add_printf(p.out, "# EOF\n");
    h1_exchange_start(&x->h1, 200,
                      p.open ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                             : "text/plain; version=0.0.4; charset=utf-8",
                      (int64_t)evbuffer_get_length(p.out));
    h1_exchange_data(&x->h1, p.out);
    evbuffer_free(p.out);
    h1_exchange_end(&x->h1);
}
