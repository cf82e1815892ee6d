// SPDX-License-Identifier: Apache-2.0
// Requests after the choice: CLAIM, UPDATE, RELEASE, REQUEST GET, REQUEST LIST.
#include <stddef.h>

#include "commands.h"
#include "module/command_io/replicate.h"
#include "module/command_io/scan_reply.h"
#include "module/core/decisions/decision_log.h"
#include "module/keyspace/blocked_callers.h"

#define FIELD(name) .at = offsetof(struct kvr_booking, name)
static const struct mod_option claim_options[] = {
    {"ISL", MOD_OPTION_I64, FIELD(isl), 0, KVR_MAX_TOKENS},
    {"CACHED", MOD_OPTION_I64, FIELD(cached), 0, KVR_MAX_TOKENS},
    {"OUTPUT", MOD_OPTION_I64, FIELD(output), 0, KVR_MAX_TOKENS},
    {"PREFILLED", MOD_OPTION_FLAG, FIELD(prefilled)},
    {"LEASE", MOD_OPTION_I64, FIELD(lease), 0, KVR_MAX_MS},
    {"OSL", MOD_OPTION_I64, FIELD(osl), 0, KVR_MAX_TOKENS},
    {"SESSION", MOD_OPTION_NAME, FIELD(session), 1, KVR_MAX_ID},
    {"CLASS", MOD_OPTION_NAME, FIELD(service_class), 1, KVR_MAX_ID},
    {"FLOW", MOD_OPTION_NAME, FIELD(flow), 1, KVR_MAX_ID},
    {"PREFILLER", MOD_OPTION_RANK, FIELD(prefill_worker), 1, KVR_MAX_NAME,
     .count_at = offsetof(struct kvr_booking, prefill_rank)},
    {"CREATED", MOD_OPTION_TIME, FIELD(created)},
    {"RENEWED", MOD_OPTION_TIME, FIELD(renewed)},
    {"PREDICTED", MOD_OPTION_TIME, FIELD(predict_until)},
    {"OVERLAP", MOD_OPTION_U32, FIELD(overlap), 0, KVR_MAX_BLOCKS, .effect = true},
    {"COST", MOD_OPTION_DOUBLE, FIELD(cost), -1e300, 1e300, .effect = true},
    {"EXPECTED", MOD_OPTION_U32, FIELD(expected), 0, KVR_MAX_BLOCKS, .effect = true},
    {"PREFILLCACHED", MOD_OPTION_I64, FIELD(prefill_cached), 0, KVR_MAX_TOKENS, .effect = true},
    {"PREFILLOVERLAP", MOD_OPTION_U32, FIELD(prefill_overlap), 0, KVR_MAX_BLOCKS, .effect = true},
    {"LEFT", MOD_OPTION_SIGNED, FIELD(left), -0x1p62, 0x1p62, .effect = true}, // last
};
#undef FIELD
enum {
    CLAIM_OPTIONS = sizeof claim_options / sizeof *claim_options,
    CLAIM_LEFT_GIVEN = 1 << (CLAIM_OPTIONS - 1),
};

// What is decided, an effect must tell.
static bool parse_booking(struct mod_call *c, struct kvr_booking *b) {
    enum { NOT_GIVEN = -1 };
    unsigned seen;
    b->created = b->renewed = NOT_GIVEN;
    if (!mod_args_options(&c->args, claim_options, CLAIM_OPTIONS, b, &seen)) return false;
    b->has_left = seen & CLAIM_LEFT_GIVEN;
    if (c->trusted && b->created == NOT_GIVEN) return mod_args_fail(&c->args, "CREATED is missing");
    if (!c->trusted) b->created = c->now;
    if (b->renewed == NOT_GIVEN) b->renewed = b->created;
    return true;
}

// What an ordinary client leaves open is expired here, so that the effect says all of it.
static void complete_booking(struct mod_call *c, const struct mod_block_list *list,
                             struct kvr_booking *b) {
    const struct kvr_options *o = kvr_pool_options(c->pool);
    if (b->isl < 0)
        b->isl = (int64_t)(mod_blocks_are_tokens(list) ? list->count : b->n * o->block_size);
    if (b->lease < 0) b->lease = o->lease;
    if (!c->trusted && o->predict) b->predict_until = c->now + o->predict;
}

// What the flow has left after it, which a copy that was renewed at another time wouldn't find by itself.
static void find_left(struct mod_call *c, struct kvr_booking *b) {
    struct kvr_flow_info f;
    if (!b->flow.n || !kvr_flow_get(c->pool, b->created, b->flow, &f)) return;
    b->has_left = f.rate > 0;
    b->left = f.exact;
}

// KVROUTE.CLAIM key request worker rank blocks [ISL tokens] [CACHED tokens] [OUTPUT tokens]
//     [PREFILLED] [LEASE ms] [OSL tokens] [SESSION name] [CLASS name] [FLOW name] [PREFILLER worker rank]
// Replicated with CREATED ms [RENEWED ms] [PREDICTED ms] [OVERLAP blocks] [COST x] [EXPECTED blocks] [PREFILLCACHED
// tokens] [PREFILLOVERLAP blocks] [LEFT n]:
// when it was booked, when it was last renewed, until when its blocks count as held, the rest of
// what SELECT answered, for a repeat, and what its flow has left, in thousandths of a token. Of an id that is live,
// and whose owner was still to come, as KVROUTE.UPDATE.
int cmd_claim(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_CLAIM, ctx, argv, argc, 1, MOD_FOR_WRITE))
        return REDISMODULE_OK;
    struct mod_args *a = &c.args;
    struct kvr_bytes id, worker;
    uint64_t rank;
    struct mod_block_list list;
    struct kvr_booking b = {.isl = -1, .lease = -1};
    uint64_t *hashes = NULL;
    if (!mod_args_name(a, KVR_MAX_ID, &id) || !mod_args_bytes(a, &worker) ||
        !mod_args_u64(a, 0, UINT32_MAX, &rank) || !mod_blocks_parse(a, false, &list) ||
        !parse_booking(&c, &b) ||
        !mod_blocks_hashes(a, &list, kvr_pool_options(c.pool)->block_size, NULL, &hashes, &b.n))
        return mod_call_bad_args(&c);
    b.hashes = hashes;
    complete_booking(&c, &list, &b);
    int booked = 0;
    struct kvr_request_info live; // then nothing is booked, whatever it says
    bool ask = !c.trusted && b.prefill_worker.n && !b.prefilled &&
               !kvr_request_get(c.pool, c.now, id, &live);
    enum kvr_err err = ask ? kvr_prefill_cached(c.pool, c.now, &b) : KVR_OK;
    if (err == KVR_OK) err = kvr_claim(c.pool, id, worker, (uint32_t)rank, &b, &booked);
    if (err != KVR_OK) return mod_call_core_error(&c, err);
    RedisModule_ReplyWithLongLong(ctx, booked);
    bool came = false;
    if (booked) {
        if (!c.trusted) find_left(&c, &b);
        mod_replicate_booking(&c, argv[2], worker, (uint32_t)rank, &b, &list);
        if (c.value->callers) mod_callers_booked(c.value, id, c.now);
    } else if (!c.trusted && kvr_come(c.pool, c.now, id, &came) == KVR_OK && came) {
        mod_replicate_coming(&c, argv[2], c.now);
    }
    if (booked || came) mod_call_changed(&c, "kvroute.claim");
    return mod_call_end(&c);
}

// KVROUTE.UPDATE key request [PREFILLED] [OUTPUT tokens] [LEASE ms]
// Replicated with AT ms, the time of the renewal.
int cmd_update(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct request_update {
        bool prefilled;
        int64_t output, lease, at;
    };
    static const struct mod_option options[] = {
        {"PREFILLED", MOD_OPTION_FLAG, .at = offsetof(struct request_update, prefilled)},
        {"OUTPUT", MOD_OPTION_I64, .at = offsetof(struct request_update, output), 0,
         KVR_MAX_TOKENS},
        {"LEASE", MOD_OPTION_I64, .at = offsetof(struct request_update, lease), 0, KVR_MAX_MS},
        {"AT", MOD_OPTION_TIME, .at = offsetof(struct request_update, at)},
    };
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_UPDATE, ctx, argv, argc, 1, MOD_FOR_WRITE))
        return REDISMODULE_OK;
    struct kvr_bytes id;
    struct request_update u = {.output = -1, .lease = -1, .at = c.trusted ? -1 : c.now};
    unsigned seen;
    if (!mod_args_name(&c.args, KVR_MAX_ID, &id) ||
        !mod_args_options(&c.args, options, sizeof options / sizeof *options, &u, &seen))
        return mod_call_bad_args(&c);
    if (u.at < 0) return mod_call_error(&c, MOD_ERROR_ERR, "AT is missing");
    int live = 0;
    enum kvr_err err = kvr_update(c.pool, u.at, id, u.prefilled, u.output, u.lease, &live);
    if (err != KVR_OK) return mod_call_core_error(&c, err);
    RedisModule_ReplyWithLongLong(ctx, live);
    if (live) {
        mod_replicate_with_time(&c, "KVROUTE.UPDATE", MOD_EFFECT_AT, u.at);
        mod_call_changed(&c, "kvroute.update");
    }
    return mod_call_end(&c);
}

// How and when the requests of an effect came to their end: its last two words. Older servers say nothing.
static enum kvr_end release_end(struct mod_args *a, int64_t *at) {
    struct mod_args tail = *a;
    if (mod_args_left(a) < 3) return KVR_UNTOLD;
    tail.at = a->argc - 2;
    bool released = mod_args_is(&tail, "AT");
    if ((!released && !mod_args_is(&tail, "LAPSED")) || !mod_args_i64(&tail, 0, INT64_MAX, at))
        return KVR_UNTOLD;
    a->argc -= 2;
    return released ? KVR_RELEASED : KVR_LAPSED;
}

// KVROUTE.RELEASE key request [request ...]
// Replicated with AT ms, the time of the end; a lease that has ended with LAPSED ms. Where the time teaches
// nothing it is left out, as the command itself makes a cheaper effect; and it must be told from two ids.
int cmd_release(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_RELEASE, ctx, argv, argc, 1, MOD_FOR_WRITE))
        return REDISMODULE_OK;
    struct mod_args *a = &c.args;
    int64_t at = c.now;
    enum kvr_end how = c.trusted ? release_end(a, &at) : KVR_RELEASED;
    size_t n = mod_args_left(a);
    struct kvr_bytes *ids = mod_arena_array(a->arena, n, sizeof *ids);
    if (!ids) return mod_call_core_error(&c, KVR_NOMEM);
    for (size_t i = 0; i < n; i++)
        mod_args_bytes(a, &ids[i]);
    enum { SURELY_IDS = 2 };
    bool tell = !c.trusted && (n > SURELY_IDS || kvr_release_teaches(c.pool, ids, n));
    for (size_t i = 0; i < n && c.value->decisions && !c.trusted; i++)
        kvr_decision_log_ended(c.value->decisions, c.pool, at, ids[i], false);
    size_t live = kvr_release(c.pool, at, ids, n, how);
    for (size_t i = 0; i < n && c.value->callers; i++)
        mod_callers_no_room(c.value, ids[i], c.now);
    mod_reply_u64(ctx, live);
    if (live) {
        a->argc = argc; // with the words of an effect
        if (tell)
            mod_replicate_with_time(&c, "KVROUTE.RELEASE", MOD_EFFECT_AT, at);
        else
            mod_replicate(&c, "KVROUTE.RELEASE");
        mod_call_changed(&c, "kvroute.release");
    }
    return mod_call_end(&c);
}

// KVROUTE.REQUEST GET key request
int cmd_request_get(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_REQUEST_GET, ctx, argv, argc, 2, MOD_FOR_READ))
        return REDISMODULE_OK;
    struct kvr_bytes id;
    struct kvr_request_info r;
    if (!mod_args_bytes(&c.args, &id) || !mod_args_end(&c.args)) return mod_call_bad_args(&c);
    if (!kvr_request_get(c.pool, c.now, id, &r)) {
        RedisModule_ReplyWithNull(ctx);
        return mod_call_end(&c);
    }
    RedisModule_ReplyWithMap(ctx, 16);
    mod_field_bytes(ctx, "request", r.id);
    mod_field_bytes(ctx, "worker", r.worker);
    mod_field_u64(ctx, "rank", r.rank);
    mod_field_int(ctx, "isl", r.isl);
    mod_field_int(ctx, "cached", r.cached);
    mod_field_int(ctx, "output", r.output);
    mod_field_u64(ctx, "blocks", r.blocks);
    mod_field_int(ctx, "prefilled", r.prefilled);
    mod_field_int(ctx, "age", r.age);
    mod_field_int(ctx, "lease_left", r.lease_left);
    mod_field_int(ctx, "osl", r.osl);
    mod_field_bytes(ctx, "session", r.session);
    mod_field_bytes(ctx, "class", r.service_class);
    mod_field_bytes(ctx, "flow", r.flow);
    mod_field_bytes(ctx, "prefill_worker", r.prefill_worker);
    mod_field_int(ctx, "prefill_rank", r.prefill_worker.n ? (int64_t)r.prefill_rank : -1);
    return mod_call_end(&c);
}

// KVROUTE.REQUEST LIST key [cursor] [COUNT n]
int cmd_request_list(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_REQUEST_LIST, ctx, argv, argc, 2, MOD_FOR_READ))
        return REDISMODULE_OK;
    return mod_scan_reply(&c, kvr_request_scan);
}
