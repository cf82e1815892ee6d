// SPDX-License-Identifier: Apache-2.0
#include "router_advice.h"

#include <kvroute/hash.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/router/pools/router_pools.h"
#include "client/router/pools/router_served.h"
#include "client/router/pools/router_waiters.h"
#include "client/router/prompt/router_json.h"
#include "client/router/prompt/router_prompt.h"
#include "client/router/prompt/router_service.h"
#include "client/router/router.h"
#include "client/router/router_exchange.h"
#include "client/router/router_metrics.h"
#include "client/router/router_reading.h"
#include "router_advice_answer.h"
#include "router_advice_body.h"
#include "router_workers.h"

// A call under way. It outlives the exchange when the client leaves.
struct advice_call {
    struct router_exchange *x; // NULL: nobody waits for the answer
    struct router *router;
    struct router_pool *pool;
    int64_t since;
    size_t n;
    char request[KVR_MAX_ID];    // of SELECT
    struct router_waiter waiter; // its waiting for room
};

static void count_share(const struct advice_call *a, enum router_share_outcome how,
                        int64_t waited) {
    const struct router_service *s = a->x->service;
    router_shares_count(&a->router->metrics->shares, router_service_class(s),
                        router_service_flow(s), how, waited);
}

static void on_gone(struct h1_exchange *x) {
    struct advice_call *a = x->arg;
    if (router_waiter_is_on(&a->waiter)) count_share(a, ROUTER_SHARE_LEFT, 0);
    router_waiter_leave(&a->waiter);
    a->x = NULL;
}

static struct advice_call *advice_new(struct router_exchange *x) {
    struct advice_call *a = calloc(1, sizeof *a);
    if (!a) return NULL;
    a->x = x;
    a->router = x->router;
    a->pool = x->pool;
    a->since = kvr_clock_us();
    x->h1.arg = a;
    x->h1.on_gone = on_gone;
    return a;
}

// The exchange of an advice that has its answer, if anybody still waits; the advice is no more.
static struct router_exchange *finish(struct advice_call *a, const struct kvr_result *r) {
    struct router_exchange *x = a->x;
    free(a);
    if (!x) return NULL;
    x->h1.on_gone = NULL;
    x->record.degraded = r->degraded;
    if (r->code == KVR_CODE_OK) return x;
    router_pool_refusal(x, r);
    return NULL;
}

// A call that couldn't even begin.
static void give_up(struct router_exchange *x, struct advice_call *a, enum kvr_code code) {
    free(a);
    x->h1.on_gone = NULL;
    router_pool_error(x, code, NULL);
}

// ---- What is asked -------------------------------------------------------------------------------

static void note_model(struct router_exchange *x, struct kvr_bytes model) {
    size_t n = model.n < sizeof x->record.model ? model.n : sizeof x->record.model - 1;
    if (n) memcpy(x->record.model, model.p, n);
}

static struct kvr_blocks blocks_of(const struct router_advice_body *a) {
    if (a->tokens)
        return (struct kvr_blocks){
            .tokens = a->tokens, .n = a->n_tokens, .lora = a->lora, .space = a->space};
    return (struct kvr_blocks){.hashes = a->hashes, .n = a->n_hashes};
}

static struct kvr_select_call call_of(const struct router_advice_body *a) {
    return (struct kvr_select_call){.request = a->request,
                                    .blocks = blocks_of(a),
                                    .isl = a->isl,
                                    .osl = a->osl,
                                    .lease = a->lease,
                                    .among = a->among.p,
                                    .n_among = a->among.n,
                                    .exclude = a->exclude.p,
                                    .n_exclude = a->exclude.n,
                                    .policy = a->policy.n ? a->policy.p : NULL,
                                    .weigh = a->weigh,
                                    .overlap = a->overlap,
                                    .prefill = a->prefill,
                                    .requests = a->requests_weight,
                                    .temperature = a->temperature,
                                    .session = a->session,
                                    .with = a->with.p,
                                    .n_with = a->with.n,
                                    .without = a->without.p,
                                    .n_without = a->without.n,
                                    .wait = a->wait,
                                    .service_class = a->class_name,
                                    .flow = a->flow};
}

// ---- SELECT and SCORE ----------------------------------------------------------------------------

// One that waited has asked again for what was booked then: for its caller that is no repeat.
static bool is_repeat(const struct kvr_result *r) {
    return r->choice.repeat && !(r->sendings > 1 && r->choice.waited);
}

static void note_share(const struct advice_call *a, const struct kvr_result *r) {
    int64_t waited = r->choice.waited;
    if (!a->x) return;
    if (r->code == KVR_CODE_OK && !is_repeat(r))
        count_share(a, waited ? ROUTER_SHARE_WAITED : ROUTER_SHARE_BOOKED, waited);
    if (r->code == KVR_CODE_NOROOM) count_share(a, ROUTER_SHARE_REFUSED, 0);
    if (r->code == KVR_CODE_LIMITED) count_share(a, ROUTER_SHARE_LIMITED, 0);
    if (r->code == KVR_CODE_RELEASED) count_share(a, ROUTER_SHARE_LEFT, 0);
}

static void on_selected(void *ctx, const struct kvr_result *r) {
    struct advice_call *a = ctx;
    const struct kvr_choice *c = &r->choice;
    router_waiter_end(&a->waiter);
    note_share(a, r);
    router_metrics_select(a->router->metrics, kvr_clock_us() - a->since, r);
    if (!a->x && r->code == KVR_CODE_OK && (!c->repeat || r->sendings > 1)) {
        // Nobody heard of this booking, so nobody will end it. One that had to be sent again may be the
        // repeat of its own first sending.
        struct kvr_bytes id = {a->request, a->n};
        router_pool_release(a->pool, id);
    }
    char request[KVR_MAX_ID];
    size_t size = a->n;
    memcpy(request, a->request, size);
    struct router_exchange *x = finish(a, r);
    if (!x) return;
    size_t n = c->worker.n < KVR_MAX_NAME ? c->worker.n : KVR_MAX_NAME;
    memcpy(x->record.worker, c->worker.p, n);
    x->record.rank = c->rank;
    x->record.blocks = c->blocks;
    x->record.block_size = x->pool->block_size;
    x->record.overlap = c->overlap;
    x->record.expected = c->expected;
    x->record.waited = c->waited;
    router_advice_answer(x, (struct kvr_bytes){request, size}, r, is_repeat(r));
}

static json_t *score_json(const struct kvr_score *s) {
    return json_pack("{s:o,s:o,s:i,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:I,s:f,s:f,s:b}", "worker",
                     router_json_text(s->worker), "address", router_json_text(s->addr), "rank",
                     (int)s->rank, "overlap", (json_int_t)s->overlap, "device",
                     (json_int_t)s->device, "host", (json_int_t)s->host, "disk",
                     (json_int_t)s->disk, "cached", (json_int_t)s->cached, "prefill_tokens",
                     (json_int_t)s->prefill_tokens, "decode_blocks", (json_int_t)s->decode_blocks,
                     "requests", (json_int_t)s->requests, "cost", s->cost, "expected",
                     (json_int_t)s->expected, "ttft", s->ttft, "tpot", s->tpot, "room", s->room);
}

static void on_scored(void *ctx, const struct kvr_result *r) {
    struct router_exchange *x = finish(ctx, r);
    if (!x) return;
    json_t *scores = json_array();
    for (size_t i = 0; i < r->n; i++)
        json_array_append_new(scores, score_json(&r->scores[i]));
    router_json(x, 200, json_pack("{s:o}", "scores", scores));
}

// ---- UPDATE, RELEASE and REPORT ------------------------------------------------------------------

static void on_updated(void *ctx, const struct kvr_result *r) {
    struct router_exchange *x = finish(ctx, r);
    if (x)
        router_json(x, 200, json_pack("{s:b,s:b}", "live", r->number > 0, "degraded", r->degraded));
}

static void on_released(void *ctx, const struct kvr_result *r) {
    struct router_exchange *x = finish(ctx, r);
    if (x)
        router_json(x, 200,
                    json_pack("{s:I,s:b}", "released", (json_int_t)(r->number > 0 ? r->number : 0),
                              "degraded", r->degraded));
}

static void on_reported(void *ctx, const struct kvr_result *r) {
    struct router_exchange *x = finish(ctx, r);
    if (x)
        router_json(x, 200,
                    json_pack("{s:s,s:b}", "circuit", router_workers_circuit(r->circuit),
                              "degraded", r->degraded));
}

// ---- The call ------------------------------------------------------------------------------------

static enum kvr_code send_select(struct advice_call *v, struct kvr_select_call *choice) {
    if (!choice->request.n) choice->request = kvr_text(v->x->record.id);
    v->n = choice->request.n;
    memcpy(v->request, choice->request.p, v->n);
    if (v->pool->has_queue) {
        choice->service_class = router_service_class(v->x->service);
        choice->flow = router_service_flow(v->x->service);
    }
    enum kvr_code code = kvr_client_select_async(v->pool->client, choice, on_selected, v);
    if (code == KVR_CODE_OK && choice->wait)
        router_waiter_begin(v->router, &v->waiter, v->pool, (struct kvr_bytes){v->request, v->n});
    return code;
}

static enum kvr_code send_call(struct advice_call *v, enum router_advice_kind kind,
                               struct router_advice_body *a) {
    struct kvr_client *client = v->pool->client;
    struct kvr_select_call choice = call_of(a);
    struct kvr_update_call update = {
        .request = a->request, .prefilled = a->prefilled, .output = a->output, .lease = a->lease};
    switch (kind) {
    case ROUTER_ADVICE_SELECT:
        return send_select(v, &choice);
    case ROUTER_ADVICE_SCORE:
        return kvr_client_score_async(client, &choice, on_scored, v);
    case ROUTER_ADVICE_UPDATE:
        return kvr_client_update_async(client, &update, on_updated, v);
    case ROUTER_ADVICE_RELEASE:
        return kvr_client_release_async(client, a->requests.n ? a->requests.p : &a->request,
                                        a->requests.n ? a->requests.n : 1, on_released, v);
    case ROUTER_ADVICE_REPORT:
        return kvr_client_report_async(client, a->worker, a->ok, on_reported, v);
    case ROUTER_ADVICE_ADMIT: // router_admit.c
        break;
    }
    return KVR_CODE_INVALID;
}

// ---- The body ------------------------------------------------------------------------------------

struct advice_reading {
    struct router_reading reading; // first
    enum router_advice_kind kind;
    struct router_advice_body body;
    struct router_prompt_config how; // the pool's; a copy
    bool good;
    char why[160];
};

static void drop_reading(struct router_reading *reading) {
    struct advice_reading *q = (struct advice_reading *)reading;
    router_advice_body_free(&q->body);
    router_prompt_config_free(&q->how);
}

static void read_body(struct router_reading *reading) {
    struct advice_reading *q = (struct advice_reading *)reading;
    q->good = router_advice_body_read(&q->body, q->kind, reading->body, q->why, sizeof q->why);
}

// Hashed here, so that Redis, which all routers share, needn't.
static bool hash_tokens(struct router_advice_body *a, size_t block_size) {
    size_t n = block_size ? a->n_tokens / block_size : 0;
    if (!n || n > KVR_MAX_BLOCKS) return true; // Redis knows the size, or refuses so many
    if (!(a->hashes = malloc(n * sizeof *a->hashes))) return false;
    uint64_t seed = kvr_hash_salt(a->lora.p, a->lora.n, a->space.p, a->space.n);
    a->n_hashes = kvr_hash_tokens(a->tokens, a->n_tokens, block_size, seed, NULL, a->hashes);
    if (!a->isl) a->isl = (int64_t)a->n_tokens;
    free(a->tokens);
    a->tokens = NULL;
    return true;
}

// The text's blocks, in the way of the proxy, so that both find the same.
static bool hash_text(struct router_advice_body *a, struct router_prompt_config how) {
    how.way = ROUTER_PROMPT_TEXT;
    how.lora = a->lora;
    if (a->space.n) how.space = a->space;
    struct router_prompt p;
    json_t *body = json_pack("{s:O}", "prompt", json_object_get(a->root, "text"));
    bool good = body && router_prompt_read(&p, ROUTER_PROMPT_COMPLETION, body, &how);
    json_decref(body);
    if (!good) return false;
    a->hashes = p.hashes;
    a->n_hashes = p.n;
    if (!a->isl) a->isl = p.isl;
    p.hashes = NULL;
    router_prompt_free(&p);
    return true;
}

static void hash_prompt(struct router_reading *reading) {
    struct advice_reading *q = (struct advice_reading *)reading;
    struct router_advice_body *a = &q->body;
    q->good =
        (!a->text.p || hash_text(a, q->how)) && (!a->tokens || hash_tokens(a, q->how.block_size));
}

// A model goes where it is served, unless the caller says where. The names are the pool's, and it may have
// others by the next time. False: no memory.
static bool choose_among(const struct router_pool *p, struct router_advice_body *a) {
    return !a->model.n || a->among.p ||
           router_served_among(p, a->model.p, &a->among.p, &a->among.n);
}

// A frontend speaks for others: what it says goes before what its token says.
static bool find_service(struct router_exchange *x, const struct router_advice_body *a) {
    struct router_service_said said = {
        .class_name = a->class_name, .flow = a->flow, .trusted = true};
    return router_service_find(&x->router->config, x->tenant, &said, &x->service);
}

static void send_body(struct router_reading *reading) {
    struct advice_reading *q = (struct advice_reading *)reading;
    struct router_exchange *x = reading->x;
    bool chooses = q->kind & (ROUTER_ADVICE_SELECT | ROUTER_ADVICE_SCORE);
    bool good = q->good && (q->kind != ROUTER_ADVICE_SELECT || find_service(x, &q->body)) &&
                (!chooses || choose_among(x->pool, &q->body));
    struct advice_call *v = good ? advice_new(x) : NULL;
    enum kvr_code code = v ? send_call(v, q->kind, &q->body) : KVR_CODE_NOMEM;
    router_reading_drop(reading);
    if (code != KVR_CODE_OK) give_up(x, v, code);
}

// An adapter's blocks are its own.
static void mind_adapter(const struct router_pool *p, struct router_advice_body *a) {
    if (a->model.n && !a->lora.n) a->lora = router_served_adapter(p, a->model.p);
}

// With the pool it is known what the prompt's blocks are.
static void enter_pool(struct advice_reading *q, struct router_pool *p) {
    struct router_exchange *x = q->reading.x;
    struct router_prompt_config how = router_pool_prompt_config(p);
    router_pools_take(x, p);
    if (!(q->kind & (ROUTER_ADVICE_SELECT | ROUTER_ADVICE_SCORE))) {
        send_body(&q->reading);
    } else if (router_prompt_config_copy(&q->how, &how)) {
        mind_adapter(p, &q->body);
        router_reading_again(&q->reading, hash_prompt, send_body);
    } else {
        router_reading_refuse(&q->reading, 503, "NOMEM", "no memory");
    }
}

// The pool that it is about.
static void find_pool(struct router_reading *reading) {
    struct advice_reading *q = (struct advice_reading *)reading;
    const struct router_advice_body *a = &q->body;
    struct router_exchange *x = reading->x;
    const struct router_pools *pools = x->router->pools;
    if (!q->good) {
        router_reading_refuse(reading, 400, "BADREQUEST", q->why);
        return;
    }
    note_model(x, a->model);
    struct router_pool *p = a->pool.n ? router_pools_named(pools, a->pool.p)
                                      : router_pools_for(pools, a->model.n ? a->model.p : NULL);
    if (p) {
        enter_pool(q, p);
    } else if (a->pool.n || a->model.n) {
        router_reading_refuse(reading, 404, "NOPOOL", "no such pool here");
    } else {
        router_reading_refuse(reading, 400, "BADREQUEST",
                              "there are several pools: name pool or model");
    }
}

static void begin(struct router_exchange *x, enum router_advice_kind kind) {
    struct advice_reading *q = calloc(1, sizeof *q);
    if (q) q->kind = kind;
    router_reading_start(q ? &q->reading : NULL, x, read_body, find_pool, drop_reading);
}

void router_advice(struct router_exchange *x) {
    begin(x, (enum router_advice_kind)x->route->kind);
}

void router_advice_score(struct router_exchange *x) {
    begin(x, ROUTER_ADVICE_SCORE);
}
