// SPDX-License-Identifier: Apache-2.0
// EXPLAIN: why SELECT would choose what it would choose.
#include "commands.h"
#include "route_args.h"

enum { EXPLAIN_TOP = 16 }; // candidates, unless it is said

// A reply under way: whether doubles are told as such is asked once, as that costs as much as a field.
struct explain_reply {
    RedisModuleCtx *ctx;
    bool resp3, pair;
    const struct kvr_policy *policy;
    long fields;
};

static void put_name(struct explain_reply *r, const char *name) {
    mod_reply_text(r->ctx, name);
    r->fields++;
}

static void put_text(struct explain_reply *r, const char *name, const char *text) {
    put_name(r, name);
    mod_reply_text(r->ctx, text);
}

static void put_bytes(struct explain_reply *r, const char *name, struct kvr_bytes b) {
    put_name(r, name);
    mod_reply_bytes(r->ctx, b);
}

static void put_int(struct explain_reply *r, const char *name, int64_t v) {
    put_name(r, name);
    RedisModule_ReplyWithLongLong(r->ctx, v);
}

static void put_real(struct explain_reply *r, const char *name, double v) {
    put_name(r, name);
    mod_reply_double(r->ctx, r->resp3, v);
}

// '' and -1 where there is none.
static void put_instance(struct explain_reply *r, const char *worker_field, const char *rank_field,
                         struct kvr_bytes worker, uint32_t rank) {
    put_bytes(r, worker_field, worker);
    put_int(r, rank_field, worker.n ? (int64_t)rank : -1);
}

static const char *result_name(enum kvr_err result) {
    switch (result) {
    case KVR_OK:
        return "OK";
    case KVR_NOROOM:
        return mod_error_codes[MOD_ERROR_NOROOM];
    case KVR_LIMITED:
        return mod_error_codes[MOD_ERROR_LIMITED];
    default:
        return mod_error_codes[MOD_ERROR_NOWORKER];
    }
}

// ---- A candidate ---------------------------------------------------------------------------------

static void reply_terms(struct explain_reply *r, const struct kvr_pool_candidate *c) {
    long n = 0;
    put_name(r, "terms");
    while (r->policy->terms[n])
        n++;
    RedisModule_ReplyWithMap(r->ctx, n);
    for (long i = 0; i < n; i++) {
        mod_reply_text(r->ctx, r->policy->terms[i]);
        mod_reply_double(r->ctx, r->resp3, c->terms[i]);
    }
    put_real(r, "sum", c->sum);
}

static void reply_pair(struct explain_reply *r, const struct kvr_pool_candidate *c) {
    put_instance(r, "prefill_worker", "prefill_rank", c->prefill_worker, c->prefill_rank);
    put_real(r, "prefill_cost", c->prefill_cost);
    put_real(r, "decode_cost", c->decode_cost);
    put_real(r, "transfer_cost", c->transfer_cost);
    put_real(r, "prompt_cost", c->prompt_cost);
    put_text(r, "prompt_reason", kvr_reason_names[c->prefill_reason]);
}

static void reply_candidate(struct explain_reply *all, const struct kvr_pool_candidate *c) {
    struct explain_reply one = *all, *r = &one;
    const struct kvr_pool_score *s = &c->score;
    r->fields = 0;
    RedisModule_ReplyWithMap(r->ctx, REDISMODULE_POSTPONED_LEN);
    put_instance(r, "worker", "rank", s->worker, s->rank);
    put_int(r, "place", (int64_t)c->place);
    put_text(r, "reason", kvr_reason_names[c->reason]);
    put_real(r, "cost", s->cost);
    put_real(r, "chance", c->chance);
    put_int(r, "booked", (int64_t)c->booked);
    if (r->pair) reply_pair(r, c);
    reply_terms(r, c);
    put_int(r, "overlap", s->overlap);
    put_int(r, "device", s->by_tier[KVR_DEVICE]);
    put_int(r, "host", s->by_tier[KVR_HOST]);
    put_int(r, "disk", s->by_tier[KVR_DISK]);
    put_int(r, "expected", s->expected);
    put_int(r, "cached", s->cached);
    put_real(r, "credit", c->credit);
    put_real(r, "live", c->live);
    put_real(r, "known", c->known);
    put_real(r, "own", c->own);
    put_int(r, "requests", (int64_t)s->requests);
    put_int(r, "prefill_tokens", (int64_t)s->prefill_tokens);
    put_real(r, "queue", c->queue);
    put_int(r, "decode_blocks", (int64_t)s->decode_blocks);
    put_real(r, "pace", c->pace);
    put_real(r, "full", c->full);
    put_real(r, "ttft", s->ttft);
    put_real(r, "tpot", s->tpot);
    RedisModule_ReplySetMapLength(r->ctx, r->fields);
}

// ---- The whole -----------------------------------------------------------------------------------

// As SELECT would answer; of a refusal '', -1 and 0.
static void reply_chosen(struct explain_reply *r, const struct kvr_pool_explanation *e,
                         const struct kvr_pool_candidate *first) {
    static const struct kvr_pool_candidate nobody = {.score = {.ttft = -1, .tpot = -1}};
    const struct kvr_pool_candidate *c = e->result == KVR_OK ? first : &nobody;
    put_text(r, "result", result_name(e->result));
    put_text(r, "by", kvr_decider_names[e->by]);
    put_int(r, "retry", e->retry);
    put_instance(r, "worker", "rank", c->score.worker, c->score.rank);
    put_bytes(r, "addr", c->score.addr);
    put_int(r, "overlap", c->score.overlap);
    put_int(r, "expected", c->score.expected);
    put_int(r, "cached", c->score.cached);
    put_real(r, "cost", c->score.cost);
    put_real(r, "ttft", c->score.ttft);
    put_real(r, "tpot", c->score.tpot);
    if (!r->pair) return;
    put_instance(r, "prefill_worker", "prefill_rank", c->prefill_worker, c->prefill_rank);
    put_bytes(r, "prefill_addr", c->prefill_addr);
    put_int(r, "prefill_overlap", c->prefill_overlap);
}

static void reply_rule(struct explain_reply *r, const struct kvr_rule *rule,
                       const struct kvr_pool_explanation *e) {
    put_text(r, "policy", r->policy->name);
    put_real(r, "overlap_weight", rule->overlap);
    put_real(r, "prefill_weight", rule->prefill);
    put_real(r, "requests_weight", rule->requests);
    put_real(r, "temperature", rule->temperature);
    put_int(r, "isl", e->isl);
    put_real(r, "osl", e->output);
    put_real(r, "first_weight", e->first_weight);
    put_real(r, "arrivals", e->arrivals);
    put_real(r, "reuse", e->reuse);
    if (r->pair) put_real(r, "transfer", e->transfer);
    put_instance(r, "session_worker", "session_rank", e->session_worker, e->session_rank);
    put_real(r, "session_allowance", e->allowance);
}

// KVROUTE.EXPLAIN key blocks [the options of SCORE] [CLASS name] [FLOW name] [PAIR] [TOP n]
int cmd_explain(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_EXPLAIN, ctx, argv, argc, 1, MOD_FOR_READ))
        return REDISMODULE_OK;
    struct cmd_route route;
    if (!cmd_route_parse(&c, CMD_ROUTE_EXPLAIN, &route)) return mod_call_bad_args(&c);
    size_t top = route.top ? route.top : EXPLAIN_TOP;
    struct kvr_pool_candidate *candidates = mod_arena_array(c.args.arena, top, sizeof *candidates);
    if (!candidates) return mod_call_core_error(&c, KVR_NOMEM);
    struct kvr_pool_explanation e;
    enum kvr_err err = kvr_explain(c.pool, c.now, &route.query, top, candidates, &e);
    if (err != KVR_OK) return mod_call_core_error(&c, err);
    const struct kvr_rule *rule = &route.query.rule;
    struct explain_reply r = {.ctx = ctx,
                              .resp3 = mod_reply_resp3(ctx),
                              .pair = route.query.pair,
                              .policy = &kvr_policies[rule->policy]};
    RedisModule_ReplyWithMap(ctx, REDISMODULE_POSTPONED_LEN);
    reply_chosen(&r, &e, candidates);
    reply_rule(&r, rule, &e);
    put_int(&r, "instances", (int64_t)e.instances);
    put_int(&r, "places", (int64_t)e.places);
    put_name(&r, "candidates");
    RedisModule_ReplyWithArray(ctx, (long)e.n);
    for (size_t i = 0; i < e.n; i++)
        reply_candidate(&r, &candidates[i]);
    RedisModule_ReplySetMapLength(ctx, r.fields);
    return mod_call_end(&c);
}
