// SPDX-License-Identifier: Apache-2.0
#include "router_admit.h"

#include <stdlib.h>
#include <string.h>

#include "client/router/pools/router_pools.h"
#include "client/router/pools/router_served.h"
#include "client/router/prompt/router_json.h"
#include "client/router/prompt/router_service.h"
#include "client/router/router.h"
#include "client/router/router_exchange.h"
#include "client/router/router_reading.h"
#include "router_advice_body.h"

enum {
    ADMIT_FLOWS = 1000,    // a part of the list of flows
    ADMIT_MAX_PARTS = 100, // that are looked at for one name
    ADMIT_MAX_BLOCKS = 1 << 16,
    ADMIT_LATER_MS = 1000, // where nothing is known
};

// ---- The decision --------------------------------------------------------------------------------

bool router_admit_fits(const struct kvr_score *s, int64_t percent, int64_t max_requests,
                       int64_t max_prefill) {
    if (!s->room) return false;
    if (!s->requests || percent < 0 || percent >= 100) return true;
    return (!max_requests || s->requests * 100 < percent * max_requests) &&
           (!max_prefill || s->prefill_tokens * 100 < percent * max_prefill);
}

// ms until the flow has enough; 0: it has.
static int64_t limited_for(const struct router_admit_facts *f) {
    const struct kvr_flow *l = &f->limit;
    int64_t later = f->estimate > 0 ? f->estimate : ADMIT_LATER_MS;
    if (l->max_requests && l->requests >= l->max_requests) return later;
    if (!l->rate) return 0;
    int64_t burst = l->burst ? l->burst : l->rate;
    int64_t needs = f->tokens < burst ? f->tokens : burst;
    if (l->left >= needs) return 0;
    return (int64_t)((double)(needs - l->left) * 1000 / (double)l->rate) + 1;
}

enum kvr_code router_admit_decide(const struct router_admit_facts *f, int64_t *ms) {
    *ms = 0;
    if (!f->eligible) return KVR_CODE_NOWORKER;
    if (f->limited && (*ms = limited_for(f))) return KVR_CODE_LIMITED;
    // With an estimate of 0 those who wait do so for something else than room.
    if (f->room && (!f->ahead || !f->estimate)) return KVR_CODE_OK;
    *ms = f->estimate > 0 ? f->estimate : ADMIT_LATER_MS;
    return KVR_CODE_NOROOM;
}

// ---- The questions -------------------------------------------------------------------------------

struct admit_call {
    struct router_exchange *x; // NULL: its client has left
    struct router_pool *pool;
    unsigned asking, parts;
    enum kvr_code failed; // OK: none has so far
    struct router_admit_facts facts;
    double ttft;
    int64_t waiting, percent; // percent: the class's ROOM
    size_t flow_size;
    char flow[KVR_MAX_ID];
};

static void on_gone(struct h1_exchange *h1) {
    struct admit_call *a = h1->arg;
    a->x = NULL;
}

// Without Redis nothing waits and nothing is limited: what counts is that the router itself isn't full, and that
// it is not was checked before.
static void answer(struct admit_call *a) {
    struct router_exchange *x = a->x;
    bool degraded = a->failed == KVR_CODE_TIMEOUT && a->pool->n_workers;
    int64_t ms;
    struct kvr_result r = {.code = a->failed, .message = ""};
    if (r.code == KVR_CODE_OK) {
        r.code = router_admit_decide(&a->facts, &ms);
        r.number = ms;
    }
    if (r.code != KVR_CODE_OK && !degraded) {
        router_pool_refusal(x, &r);
        return;
    }
    router_json(x, 200,
                json_pack("{s:b,s:s,s:o,s:o,s:I,s:f,s:b}", "admitted", true, "pool",
                          a->pool->options.name, "class",
                          router_json_text(x->service && x->service->class_size
                                               ? router_service_class(x->service)
                                               : kvr_text("default")),
                          "flow", router_json_text(router_service_flow(x->service)), "waiting",
                          (json_int_t)a->waiting, "ttft", a->ttft, "degraded", degraded));
}

static void answered(struct admit_call *a, enum kvr_code code) {
    if (code != KVR_CODE_OK && a->failed == KVR_CODE_OK) a->failed = code;
    if (--a->asking) return;
    if (a->x) {
        a->x->h1.on_gone = NULL;
        answer(a);
    }
    free(a);
}

static int64_t limit_of(const struct router_pool *p, const struct kvr_score *s) {
    const struct router_worker *w = router_pool_worker(p, s->worker);
    return w && w->max_requests ? w->max_requests : p->max_requests;
}

static void on_scored(void *ctx, const struct kvr_result *r) {
    struct admit_call *a = ctx;
    a->facts.eligible = r->code == KVR_CODE_OK && r->n;
    if (a->facts.eligible) a->ttft = r->scores[0].ttft;
    for (size_t i = 0; i < r->n && !a->facts.room; i++)
        a->facts.room = router_admit_fits(&r->scores[i], a->percent,
                                          limit_of(a->pool, &r->scores[i]), a->pool->max_prefill);
    answered(a, r->code == KVR_CODE_NOWORKER ? KVR_CODE_OK : r->code);
}

static void on_queue(void *ctx, const struct kvr_result *r) {
    struct admit_call *a = ctx;
    if (r->code == KVR_CODE_OK) {
        a->facts.estimate = r->queue.estimate;
        a->waiting = r->queue.waiting;
        if (!a->waiting) a->facts.ahead = 0;
    }
    answered(a, r->code);
}

static void on_flows(void *ctx, const struct kvr_result *r);

static enum kvr_code ask_flows(struct admit_call *a, uint64_t cursor) {
    a->parts++;
    return kvr_client_flow_list_async(a->pool->client, cursor, ADMIT_FLOWS, on_flows, a);
}

// A flow that isn't registered has no limits.
static void on_flows(void *ctx, const struct kvr_result *r) {
    struct admit_call *a = ctx;
    enum kvr_code code = r->code;
    for (size_t i = 0; i < r->n && !a->facts.limited; i++) {
        const struct kvr_flow *f = &r->flows[i];
        if (f->name.n != a->flow_size || memcmp(f->name.p, a->flow, a->flow_size) != 0) continue;
        a->facts.limited = true;
        a->facts.limit = *f;
    }
    bool more =
        a->x && code == KVR_CODE_OK && !a->facts.limited && r->cursor && a->parts < ADMIT_MAX_PARTS;
    if (more && (code = ask_flows(a, r->cursor)) == KVR_CODE_OK) return;
    answered(a, code);
}

// Those who wait in classes of the same or a higher priority, as last seen.
static int64_t count_ahead(const struct router_queue *q, const struct router_queue_class *own) {
    int64_t ahead = 0;
    for (size_t i = 0; i < q->n_classes; i++)
        if (!own || q->classes[i].priority >= own->priority) ahead += q->classes[i].waiting;
    return ahead;
}

// Blocks that nobody has: only their number matters, and only where MAXBLOCKS is set.
static uint64_t *blocks_for(const struct router_pool *p, int64_t tokens, size_t *n) {
    *n = 0;
    if (!p->max_blocks || !p->block_size) return NULL;
    *n = (size_t)(tokens / p->block_size);
    if (*n > ADMIT_MAX_BLOCKS) *n = ADMIT_MAX_BLOCKS;
    uint64_t *hashes = malloc((*n + 1) * sizeof *hashes);
    if (!hashes) *n = 0;
    for (size_t i = 0; i < *n; i++)
        hashes[i] = UINT64_MAX - i;
    return hashes;
}

static void note_asked(struct admit_call *a, enum kvr_code code) {
    if (code == KVR_CODE_OK)
        a->asking++;
    else if (a->failed == KVR_CODE_OK)
        a->failed = code;
}

static void ask(struct admit_call *a, const struct router_advice_body *body) {
    struct kvr_bytes *among = NULL;
    size_t n_among = 0, n;
    uint64_t *hashes = blocks_for(a->pool, body->prompt_tokens, &n);
    enum kvr_code scored = KVR_CODE_NOMEM;
    struct kvr_client *c = a->pool->client;
    if (!body->model.n || router_served_among(a->pool, body->model.p, &among, &n_among)) {
        struct kvr_select_call call = {.blocks = {.hashes = hashes, .n = n},
                                       .isl = body->prompt_tokens,
                                       .osl = body->osl,
                                       .among = among,
                                       .n_among = n_among};
        scored = kvr_client_score_async(c, &call, on_scored, a);
    }
    free(among);
    free(hashes);
    a->asking = 1; // this function
    note_asked(a, scored);
    if (a->pool->has_queue) note_asked(a, kvr_client_queue_async(c, 1, on_queue, a));
    if (a->pool->has_queue && a->flow_size) note_asked(a, ask_flows(a, 0));
    answered(a, KVR_CODE_OK);
}

// ---- The body ------------------------------------------------------------------------------------

struct admit_reading {
    struct router_reading reading; // first
    struct router_advice_body body;
    bool good;
    char why[160];
};

static void drop_reading(struct router_reading *reading) {
    router_advice_body_free(&((struct admit_reading *)reading)->body);
}

static void read_body(struct router_reading *reading) {
    struct admit_reading *q = (struct admit_reading *)reading;
    q->good = router_advice_body_read(&q->body, ROUTER_ADVICE_ADMIT, reading->body, q->why,
                                      sizeof q->why);
}

// A frontend speaks for others; what a user says of himself goes as far as it would at the proxy.
static bool find_service(struct router_exchange *x, const struct router_advice_body *body) {
    const struct router_config *o = &x->router->config;
    bool flow = *o->flow_header || !x->may || x->may & ROUTER_FRONTEND;
    struct router_service_said said = {.class_name = body->class_name,
                                       .trusted = o->trust_headers || x->may & ROUTER_FRONTEND};
    if (flow) said.flow = body->flow;
    return router_service_find(o, x->tenant, &said, &x->service);
}

static struct admit_call *new_call(struct router_exchange *x) {
    struct admit_call *a = calloc(1, sizeof *a);
    if (!a) return NULL;
    struct kvr_bytes flow = router_service_flow(x->service);
    const struct router_queue *q = &x->pool->queue;
    const struct router_queue_class *own = router_queue_class(q, router_service_class(x->service));
    a->x = x;
    a->pool = x->pool;
    a->ttft = -1;
    a->percent = own ? own->room : -1;
    a->facts.ahead = count_ahead(q, own);
    a->flow_size = flow.n;
    if (flow.n) memcpy(a->flow, flow.p, flow.n);
    x->h1.arg = a;
    x->h1.on_gone = on_gone;
    return a;
}

static void decide(struct router_reading *reading) {
    struct admit_reading *q = (struct admit_reading *)reading;
    struct router_exchange *x = reading->x;
    const struct router_advice_body *body = &q->body;
    if (!q->good) {
        router_reading_refuse(reading, 400, "BADREQUEST", q->why);
        return;
    }
    struct router_pool *p =
        body->pool.n ? router_pools_named(x->router->pools, body->pool.p)
                     : router_pools_for(x->router->pools, body->model.n ? body->model.p : NULL);
    if (!p) {
        bool named = body->pool.n || body->model.n;
        router_reading_refuse(reading, named ? 404 : 400, named ? "NOPOOL" : "BADREQUEST",
                              named ? "no such pool here"
                                    : "there are several pools: name pool or model");
        return;
    }
    router_pools_take(x, p);
    struct admit_call *a = find_service(x, body) ? new_call(x) : NULL;
    if (!a) {
        router_reading_refuse(reading, 503, "NOMEM", "no memory");
        return;
    }
    a->facts.tokens = body->prompt_tokens + body->osl;
    ask(a, body);
    router_reading_drop(reading);
}

void router_admit(struct router_exchange *x) {
    x->record.question = true;
    struct admit_reading *q = calloc(1, sizeof *q);
    router_reading_start(q ? &q->reading : NULL, x, read_body, decide, drop_reading);
}
