// SPDX-License-Identifier: Apache-2.0
#include "router_prefill.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/common/log.h"
#include "client/common/random.h"
#include "client/http1/h1_buffer.h"
#include "client/router/pools/router_degraded.h"
#include "client/router/prompt/router_json.h"
#include "client/router/router_metrics.h"
#include "client/router/router_reading.h"
#include "router_booking.h"
#include "router_detokenize.h"
#include "router_engine_failure.h"
#include "router_headers.h"
#include "router_outgoing.h"
#include "router_prefill_leg.h"
#include "router_request_spans.h"

enum {
    PREFILL_MAX_ANSWER = 64 << 20, // a million token ids and room
    PREFILL_FACTS_MS = 5000,       // that what a bootstrap port said is good for
    PREFILL_BOOTSTRAP_PORT = 8998,
};

// ---- Whether, and who ----------------------------------------------------------------------------

static bool may_prefill(const struct router_worker *w) {
    return w->state == KVR_READY && w->role != KVR_ROLE_DECODE && *w->addr;
}

bool router_prefill_wanted(const struct router_request *r) {
    const struct router_pool *pool = r->pool;
    // What the tokens so far say isn't certain yet, so both engines might take the prompt for another one.
    if (!r->splits || r->unpaired || !pool->has_pairs || router_detokenize_is_due(r)) return false;
    for (size_t i = 0; i < pool->n_workers; i++)
        if (may_prefill(&pool->workers[i])) return true;
    return false;
}

// Whether the pool leaves an engine alone that can't do without another one: it can't be asked, sees no need, or may
// choose nobody.
static bool is_left_alone(const struct router_request *r, const struct kvr_choice *c) {
    const struct router_connector *connector = router_connector_of(r->pool->options.connector);
    const struct router_worker *decode = router_pool_worker(r->pool, c->worker);
    return connector && connector->must_pair && r->splits && !router_detokenize_is_due(r) &&
           !c->prefill_worker.n && decode && decode->role == KVR_ROLE_DECODE;
}

// The other one then. With an open circuit if there is no better: trying it is better than refusing. NULL: there is
// none.
static struct router_worker *choose_here(const struct router_request *r) {
    struct router_worker *best = NULL;
    for (size_t i = 0; i < r->pool->n_workers; i++) {
        struct router_worker *w = &r->pool->workers[i];
        if (may_prefill(w) && !router_request_was_tried(r, kvr_text(w->name)) &&
            router_degraded_is_better(r->pool, r->proxy->circuits, w, best))
            best = w;
    }
    return best;
}

bool router_prefill_is_lacking(const struct router_request *r, const struct kvr_choice *c) {
    return is_left_alone(r, c) && !choose_here(r);
}

bool router_prefill_can_change(const struct router_request *r) {
    const struct router_prefill *leg = r->prefill;
    if (!leg->connector->must_pair) return true;
    for (size_t i = 0; i < r->pool->n_workers; i++) {
        const struct router_worker *w = &r->pool->workers[i];
        if (may_prefill(w) && !router_request_was_tried(r, kvr_text(w->name)) &&
            !router_name_is(&leg->worker, kvr_text(w->name)))
            return true;
    }
    return false;
}

// Several engines of one machine can't have one port: a label says what the settings don't.
static uint32_t port_of(const struct router_pool *pool, const struct router_worker *w) {
    static const char label[] = "bootstrap_port=";
    size_t i;
    json_t *text;
    json_array_foreach(w ? w->labels : NULL, i, text) {
        const char *value = json_string_value(text);
        unsigned long port = value && !strncmp(value, label, sizeof label - 1)
                                 ? strtoul(value + sizeof label - 1, NULL, 10)
                                 : 0;
        if (port > 0 && port < 65536) return (uint32_t)port;
    }
    return pool->options.bootstrap_port ? pool->options.bootstrap_port : PREFILL_BOOTSTRAP_PORT;
}

static struct router_worker *worker_of(const struct router_request *r) {
    return router_pool_worker(r->pool, router_name_bytes(&r->prefill->worker));
}

static void set_place(struct router_prefill *leg, struct kvr_bytes worker, struct kvr_bytes addr) {
    bool wrong;
    router_name_set(&leg->worker, worker);
    snprintf(leg->address, sizeof leg->address, "%.*s", (int)addr.n, addr.p);
    if (!h1_address_parse(&leg->place, leg->address, &wrong))
        leg->place = (struct h1_address){.host = NULL};
    if (!h1_address_parse(&leg->decode_place, leg->r->address, &wrong))
        leg->decode_place = (struct h1_address){.host = NULL};
    leg->pair.prefill_host = leg->place.host ? leg->place.host : "";
    leg->pair.decode_host = leg->decode_place.host ? leg->decode_place.host : "";
}

static void set_ranks(struct router_prefill *leg, uint32_t rank) {
    struct router_request *r = leg->r;
    const struct router_worker *decode = router_pool_worker(r->pool, router_request_worker(r));
    struct router_worker *prefill = worker_of(r);
    leg->pair.prefill_rank = rank;
    leg->pair.prefill_ranks = prefill ? prefill->ranks : 1;
    leg->pair.decode_rank = r->rank;
    leg->pair.decode_ranks = decode ? decode->ranks : 1;
    leg->pair.bootstrap_port = port_of(r->pool, prefill);
    if (prefill) prefill->here.live++;
}

static void note_leg(const struct router_prefill *leg) {
    struct router_record *record = &leg->r->x->record;
    snprintf(record->prefill_worker, sizeof record->prefill_worker, "%.*s", (int)leg->worker.n,
             leg->worker.text);
    record->prefill_rank = leg->pair.prefill_rank;
    record->prefill_us = -1;
}

bool router_prefill_take(struct router_request *r, const struct kvr_choice *c) {
    const struct router_connector *connector = router_connector_of(r->pool->options.connector);
    router_prefill_end(r); // that of a try before, if its answer had begun
    *r->x->record.prefill_worker = 0;
    if (!connector || !r->splits || router_detokenize_is_due(r)) return true;
    struct router_worker *here = is_left_alone(r, c) ? choose_here(r) : NULL;
    if (!c->prefill_worker.n && !here) return true;
    struct router_prefill *leg = calloc(1, sizeof *leg);
    if (!leg) return false;
    r->prefill = leg;
    leg->r = r;
    leg->connector = connector;
    leg->pair = (struct router_pair){
        .kind = r->kind, .draw = kvr_random(&r->proxy->random), .handover = {.cached = -1}};
    if (here) {
        here->here.chosen_us = kvr_clock_us();
        set_place(leg, kvr_text(here->name), kvr_text(here->addr));
    } else {
        set_place(leg, c->prefill_worker, c->prefill_addr);
    }
    set_ranks(leg, here ? 0 : c->prefill_rank);
    leg->given_up = router_failure_prefill_is_dead(r);
    leg->answer = evbuffer_new();
    note_leg(leg);
    return leg->answer != NULL;
}

// data: {"error": … comes before any token, or not at all.
bool router_prefill_is_error(struct evbuffer *events) {
    char text[40];
    ev_ssize_t n = evbuffer_copyout(events, text, sizeof text - 1);
    text[n > 0 ? n : 0] = 0;
    if (strncmp(text, "data:", 5) != 0) return false;
    const char *at = text + 5 + strspn(text + 5, " ");
    if (*at++ != '{') return false;
    return !strncmp(at + strspn(at, " "), "\"error\"", 7);
}

// ---- Its end -------------------------------------------------------------------------------------

void router_prefill_count(struct router_request *r, enum router_engine_outcome how) {
    struct router_prefill *leg = r->prefill;
    struct router_metrics *m = r->proxy->router->metrics;
    if (leg->counted) return;
    leg->counted = true;
    router_spans_prefill_over(r, how);
    m->prefills[how]++;
    router_metrics_engine(m, r->pool->options.name, r->x->record.prefill_worker, how);
}

static void free_leg(struct router_prefill *leg) {
    router_handover_free(&leg->pair.handover);
    h1_address_free(&leg->place);
    h1_address_free(&leg->decode_place);
    if (leg->answer) evbuffer_free(leg->answer);
    free(leg);
}

// After a failure it is asked again: it may be another life of the engine.
static void forget_facts(struct router_worker *w) {
    json_decref(w->here.facts);
    w->here.facts = NULL;
}

static bool is_trying(const struct router_request *r) {
    return r->state == ROUTER_PREFILL || r->state == ROUTER_SEND || r->state == ROUTER_HEAD;
}

void router_prefill_end(struct router_request *r) {
    struct router_prefill *leg = r->prefill;
    if (!leg) return;
    struct router_worker *w = worker_of(r);
    if (w && w->here.live) w->here.live--;
    if (w && is_trying(r)) forget_facts(w);
    if (leg->call) router_prefill_count(r, ROUTER_ENGINE_CANCELLED);
    h1_call_cancel(leg->call);
    leg->call = NULL;
    leg->r = NULL;
    r->prefill = NULL;
    router_outgoing_drop(r);
    if (!leg->reading || router_offload_cancel(r->proxy->router->offload, &leg->job)) free_leg(leg);
}

// *r may be over then. Once the client has something of the answer, the prompt has been where it was needed.
static void fail(struct router_request *r, enum router_failure what) {
    if (r->state == ROUTER_RELAY) {
        router_prefill_count(r, what == ROUTER_FAILURE_NONE ? ROUTER_ENGINE_REFUSED
                                                            : ROUTER_ENGINE_FAILED);
        return;
    }
    r->proxy->prefill_failed(r, what);
}

void router_prefill_answer(struct router_request *r) {
    static const struct h1_head none = {.status = 200};
    struct router_prefill *leg = r->prefill;
    struct h1_exchange *x = &r->x->h1;
    const struct h1_head *reply = leg->reply ? leg->reply : &none;
    struct evbuffer *answer = leg->answer;
    leg->answer = NULL;
    r->status = reply->status;
    router_headers_to_client(r->x, reply);
    h1_exchange_start(x, r->status, leg->reply ? NULL : "application/json",
                      (int64_t)evbuffer_get_length(answer));
    if (evbuffer_get_length(answer)) h1_exchange_data(x, answer);
    evbuffer_free(answer);
    h1_exchange_end(&router_request_end(r)->h1);
}

// ---- What it brought -----------------------------------------------------------------------------

static void prefilled(struct router_request *r) {
    struct router_prefill *leg = r->prefill;
    struct router_metrics *m = r->proxy->router->metrics;
    int64_t now = kvr_clock_us();
    router_prefill_count(r, ROUTER_ENGINE_OK);
    r->x->record.prefill_us = now - leg->began_us;
    kvr_prom_observe(&m->prefill, now - leg->began_us);
    router_failure_prefill_answers(r);
    if (r->state != ROUTER_RELAY) router_booking_prefilled(r);
}

// An answer that is complete, in place of what it was made of.
static bool set_answer(struct router_prefill *leg) {
    const char *text = leg->pair.handover.answer;
    evbuffer_drain(leg->answer, evbuffer_get_length(leg->answer));
    return !evbuffer_add(leg->answer, text, strlen(text));
}

static void have_read(struct router_request *r) {
    struct router_prefill *leg = r->prefill;
    const struct router_handover *h = &leg->pair.handover;
    bool needed = leg->connector->read != NULL;
    if (needed && !h->params && !h->answer) r->proxy->router->metrics->prefills_unused++;
    // Of a stream the decoding engine makes the one token.
    if (h->answer && !r->prompt.stream && set_answer(leg))
        router_prefill_answer(r);
    else
        router_request_move(r, ROUTER_SEND);
}

static void run_read(struct router_job *j) {
    struct router_prefill *leg = (struct router_prefill *)j;
    const char *text = (const char *)evbuffer_pullup(leg->answer, -1);
    if (text)
        leg->connector->read(&leg->pair, text, evbuffer_get_length(leg->answer),
                             &leg->pair.handover);
}

static void on_read(struct router_job *j) {
    struct router_prefill *leg = (struct router_prefill *)j;
    leg->reading = false;
    if (leg->r)
        have_read(leg->r);
    else
        free_leg(leg);
}

static void read_answer(struct router_request *r) {
    struct router_prefill *leg = r->prefill;
    leg->job = (struct router_job){.run = run_read, .done = on_read};
    if (leg->connector->read && evbuffer_get_length(leg->answer) > ROUTER_READING_SMALL) {
        leg->reading = true;
        r->proxy->router->metrics->bodies_apart++;
        router_offload_add(r->proxy->router->offload, &leg->job, true);
        return;
    }
    if (leg->connector->read) run_read(&leg->job);
    have_read(r);
}

// ---- The call ------------------------------------------------------------------------------------

static void start(struct router_request *r);

static void on_head(void *ctx, const struct h1_head *reply) {
    struct router_request *r = ctx;
    r->prefill->reply = reply;
    router_failure_prefill_heard(r);
}

static void on_data(void *ctx, struct evbuffer *bytes) {
    struct router_request *r = ctx;
    struct router_prefill *leg = r->prefill;
    h1_buffer_move(bytes, leg->answer, evbuffer_get_length(bytes));
    if (evbuffer_get_length(leg->answer) <= PREFILL_MAX_ANSWER) return;
    h1_call_cancel(leg->call);
    leg->call = NULL;
    leg->reply = NULL;
    evbuffer_drain(leg->answer, evbuffer_get_length(leg->answer));
    fail(r, ROUTER_FAILURE_BROKEN);
}

static void on_end(void *ctx) {
    struct router_request *r = ctx;
    struct router_prefill *leg = r->prefill;
    int status = leg->reply->status;
    leg->call = NULL;
    if (status >= 300) {
        fail(r, router_retry_failure_of(status));
        return;
    }
    leg->reply = NULL;
    prefilled(r);
    if (r->state == ROUTER_PREFILL) read_answer(r);
}

static void on_failed(void *ctx, enum h1_failure why) {
    struct router_request *r = ctx;
    r->prefill->call = NULL;
    r->prefill->reply = NULL;
    fail(r, router_failure_of_call(why));
}

// ---- Asking where the two meet -------------------------------------------------------------------

static bool knows_facts(const struct router_worker *w, int64_t now) {
    return w && w->here.facts && w->here.facts_us > w->here.changed_us &&
           now - w->here.facts_us < (int64_t)PREFILL_FACTS_MS * 1000;
}

static void on_told(void *ctx) {
    struct router_request *r = ctx;
    struct router_prefill *leg = r->prefill;
    struct router_worker *w = worker_of(r);
    char why[100];
    json_t *facts =
        leg->reply->status == 200 ? router_json_parse(leg->answer, why, sizeof why) : NULL;
    leg->call = NULL;
    leg->reply = NULL;
    leg->asking = false;
    evbuffer_drain(leg->answer, evbuffer_get_length(leg->answer));
    bool told = leg->connector->told(&leg->pair, facts);
    if (told && w) {
        json_decref(w->here.facts);
        w->here.facts = json_incref(facts);
        w->here.facts_us = kvr_clock_us();
    }
    json_decref(facts);
    if (told)
        start(r);
    else
        fail(r, ROUTER_FAILURE_BROKEN);
}

void router_prefill_again(struct router_request *r) {
    r->prefill->fresh = true;
    evbuffer_drain(r->prefill->answer, evbuffer_get_length(r->prefill->answer));
    if (r->prefill->asking)
        router_prefill_enter(r);
    else
        start(r);
}

// False: it can't be, and *r may be over.
static bool call(struct router_request *r, const struct h1_request *request,
                 const struct h1_callbacks *port) {
    struct router_prefill *leg = r->prefill;
    bool wrong = false;
    leg->call = h1_call_start(r->proxy->router->upstream, request, port, r, &wrong);
    if (leg->call) return true;
    if (wrong)
        fail(r, ROUTER_FAILURE_CONNECT);
    else
        router_request_refuse(r, 503, "NOMEM", "no memory");
    return false;
}

static void ask(struct router_request *r) {
    static const struct h1_callbacks port = {on_head, on_data, on_told, on_failed};
    struct router_prefill *leg = r->prefill;
    char address[KVR_MAX_ADDR + 40];
    bool six = strchr(leg->pair.prefill_host, ':') != NULL;
    snprintf(address, sizeof address, "http://%s%s%s:%u", six ? "[" : "", leg->pair.prefill_host,
             six ? "]" : "", leg->pair.bootstrap_port);
    struct h1_request request = {.address = address,
                                 .method = "GET",
                                 .path = leg->connector->asks,
                                 .fresh = leg->fresh,
                                 .all_ms = PREFILL_FACTS_MS};
    leg->asking = true;
    call(r, &request, &port);
}

static void start(struct router_request *r) {
    static const struct h1_callbacks port = {on_head, on_data, on_end, on_failed};
    struct router_prefill *leg = r->prefill;
    struct evbuffer *body = router_outgoing_body(r, ROUTER_LEG_PREFILL);
    char path[ROUTER_MAX_TARGET + 8];
    if (!body) {
        router_request_refuse(r, 503, "NOMEM", "no memory");
        return;
    }
    struct h1_request request = {.address = leg->address,
                                 .method = "POST",
                                 .path = router_outgoing_target(r, path, sizeof path),
                                 .headers = r->headers,
                                 .body = body,
                                 .fresh = leg->fresh};
    router_headers_set_rank(r->headers, r->headers_size, leg->pair.prefill_rank, "");
    router_spans_prefill_call(r);
    bool called = call(r, &request, &port);
    evbuffer_free(body);
    if (called && r->state == ROUTER_PREFILL && leg->connector->together)
        router_request_move(r, ROUTER_SEND);
}

void router_prefill_enter(struct router_request *r) {
    struct router_prefill *leg = r->prefill;
    const struct router_worker *w = worker_of(r);
    int64_t now = kvr_clock_us();
    if (!leg->began_us) leg->began_us = now;
    if (!leg->connector->asks ||
        (knows_facts(w, now) && leg->connector->told(&leg->pair, w->here.facts)))
        start(r);
    else
        ask(r);
}
