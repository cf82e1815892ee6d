// SPDX-License-Identifier: Apache-2.0
// Requests once they are chosen for: CLAIM, UPDATE, RELEASE, REQUEST GET, REQUEST LIST.
#include "blocks.h"
#include "booking.h"
#include "call.h"
#include "commands.h"
#include "scan_reply.h"

static bool parse_booking(struct call *c, struct kvr_booking *b) {
    enum {
        ISL,
        CACHED,
        OUTPUT,
        PREFILLED,
        LEASE,
        OSL,
        SESSION,
        CREATED,
        RENEWED,
        PREDICTED,
        OVERLAP,
        COST,
        EXPECTED,
        WORDS
    };
    static const char *const words[WORDS] = {
        "ISL",     "CACHED",  "OUTPUT",    "PREFILLED", "LEASE", "OSL",     "SESSION",
        "CREATED", "RENEWED", "PREDICTED", "OVERLAP",   "COST",  "EXPECTED"};
    const double most = 1e300;
    struct args *a = &c->args;
    uint64_t overlap = 0, expected = 0;
    unsigned seen = 0;
    for (int i; (i = args_option(a, words, WORDS, &seen)) >= 0;) {
        bool ok = false;
        switch (i) {
        case ISL:
            ok = args_i64(a, 0, KVR_MAX_TOKENS, &b->isl);
            break;
        case CACHED:
            ok = args_i64(a, 0, KVR_MAX_TOKENS, &b->cached);
            break;
        case OUTPUT:
            ok = args_i64(a, 0, KVR_MAX_TOKENS, &b->output);
            break;
        case PREFILLED:
            ok = b->prefilled = true;
            break;
        case LEASE:
            ok = args_i64(a, 0, KVR_MAX_MS, &b->lease);
            break;
        case OSL:
            ok = args_i64(a, 0, KVR_MAX_TOKENS, &b->osl);
            break;
        case SESSION:
            ok = args_name(a, KVR_MAX_ID, &b->session);
            break;
        case CREATED:
            ok = call_effect_time(c, &b->created);
            b->renewed = seen & 1u << RENEWED ? b->renewed : b->created;
            break;
        case RENEWED:
            ok = call_effect_time(c, &b->renewed);
            break;
        case PREDICTED:
            ok = call_effect_time(c, &b->predict_until);
            break;
        case OVERLAP:
            ok = call_effect(c) && args_u64(a, 0, KVR_MAX_BLOCKS, &overlap);
            b->overlap = (uint32_t)overlap;
            break;
        case COST:
            ok = call_effect(c) && args_double(a, -most, most, &b->cost);
            break;
        case EXPECTED:
            ok = call_effect(c) && args_u64(a, 0, KVR_MAX_BLOCKS, &expected);
            b->expected = (uint32_t)expected;
            break;
        }
        if (!ok) return false;
    }
    if (c->trusted && !(seen & 1u << CREATED)) args_fail(a, "CREATED is missing");
    return !a->error;
}

// What an ordinary client leaves open is settled here, so that the effect says all of it.
static void complete_booking(struct call *c, const struct block_list *list, struct kvr_booking *b) {
    const struct kvr_options *o = kvr_pool_options(c->pool);
    if (b->isl < 0)
        b->isl = (int64_t)(blocks_are_tokens(list) ? list->count : b->n * o->block_size);
    if (b->lease < 0) b->lease = o->lease;
    if (!c->trusted && o->predict) b->predict_until = c->now + o->predict;
}

// KVROUTE.CLAIM key request worker rank blocks [ISL tokens] [CACHED tokens] [OUTPUT tokens]
//     [PREFILLED] [LEASE ms] [OSL tokens] [SESSION name]
// Replicated with CREATED ms [RENEWED ms] [PREDICTED ms] [OVERLAP blocks] [COST x] [EXPECTED blocks]:
// when it was booked, when it was last renewed, until when its blocks count as held, and the rest of
// what SELECT answered, for a repeat.
int cmd_claim(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct call c;
    if (!call_pool(&c, CMD_CLAIM, ctx, argv, argc, 1, FOR_WRITE)) return REDISMODULE_OK;
    struct args *a = &c.args;
    struct kvr_bytes id, worker;
    uint64_t rank;
    struct block_list list;
    struct kvr_booking b = {.isl = -1, .lease = -1, .created = c.now, .renewed = c.now};
    uint64_t *hashes = NULL;
    if (!args_name(a, KVR_MAX_ID, &id) || !args_bytes(a, &worker) ||
        !args_u64(a, 0, UINT32_MAX, &rank) || !blocks_parse(a, false, &list) ||
        !parse_booking(&c, &b) ||
        !blocks_hashes(a, &list, kvr_pool_options(c.pool)->block_size, NULL, &hashes, &b.n))
        return call_bad_args(&c);
    b.hashes = hashes;
    complete_booking(&c, &list, &b);
    int booked = 0;
    enum kvr_err err = kvr_claim(c.pool, id, worker, (uint32_t)rank, &b, &booked);
    if (err != KVR_OK) return call_core_error(&c, err);
    RedisModule_ReplyWithLongLong(ctx, booked);
    if (booked) {
        booking_replicate(&c, argv[2], worker, (uint32_t)rank, &b, &list);
        call_changed(&c, "kvroute.claim");
    }
    return call_end(&c);
}

// KVROUTE.UPDATE key request [PREFILLED] [OUTPUT tokens] [LEASE ms]
// Replicated with AT ms, the time of the renewal.
int cmd_update(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    enum { PREFILLED, OUTPUT, LEASE, AT, WORDS };
    static const char *const words[WORDS] = {"PREFILLED", "OUTPUT", "LEASE", "AT"};
    struct call c;
    if (!call_pool(&c, CMD_UPDATE, ctx, argv, argc, 1, FOR_WRITE)) return REDISMODULE_OK;
    struct args *a = &c.args;
    struct kvr_bytes id;
    int64_t output = -1, lease = -1, at = c.now;
    unsigned seen = 0;
    if (!args_name(a, KVR_MAX_ID, &id)) return call_bad_args(&c);
    for (int i; (i = args_option(a, words, WORDS, &seen)) >= 0;) {
        if (i == OUTPUT) args_i64(a, 0, KVR_MAX_TOKENS, &output);
        if (i == LEASE) args_i64(a, 0, KVR_MAX_MS, &lease);
        if (i == AT) call_effect_time(&c, &at);
    }
    if (c.trusted && !(seen & 1u << AT)) args_fail(a, "AT is missing");
    if (a->error) return call_bad_args(&c);
    int live = 0;
    enum kvr_err err = kvr_update(c.pool, at, id, seen & 1u << PREFILLED, output, lease, &live);
    if (err != KVR_OK) return call_core_error(&c, err);
    RedisModule_ReplyWithLongLong(ctx, live);
    if (live) {
        call_replicate(&c, "KVROUTE.UPDATE", c.trusted ? NULL : "AT", at);
        call_changed(&c, "kvroute.update");
    }
    return call_end(&c);
}

// How and when the requests of an effect came to their end: its last two words. Older servers say nothing.
static enum kvr_end release_end(struct args *a, int64_t *at) {
    static const char *const words[] = {"AT", "LAPSED"};
    static const enum kvr_end ends[] = {KVR_RELEASED, KVR_LAPSED};
    struct args tail = *a;
    if (args_left(a) < 3) return KVR_UNTOLD;
    tail.at = a->argc - 2;
    for (size_t i = 0; i < 2; i++)
        if (args_is(&tail, words[i]) && args_i64(&tail, 0, INT64_MAX, at)) {
            a->argc -= 2;
            return ends[i];
        }
    return KVR_UNTOLD;
}

// KVROUTE.RELEASE key request [request ...]
// Replicated with AT ms, the time of the end; a lease that has ended with LAPSED ms. Where the time teaches
// nothing it is left out, as the command itself makes a cheaper effect; and it must be told from two ids.
int cmd_release(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct call c;
    if (!call_pool(&c, CMD_RELEASE, ctx, argv, argc, 1, FOR_WRITE)) return REDISMODULE_OK;
    struct args *a = &c.args;
    int64_t at = c.now;
    enum kvr_end how = c.trusted ? release_end(a, &at) : KVR_RELEASED;
    size_t n = args_left(a);
    struct kvr_bytes *ids = arena_array(a->arena, n, sizeof *ids);
    if (!ids) return call_core_error(&c, KVR_NOMEM);
    for (size_t i = 0; i < n; i++)
        args_bytes(a, &ids[i]);
    enum { SURELY_IDS = 2 };
    bool tell = !c.trusted && (n > SURELY_IDS || kvr_release_teaches(c.pool, ids, n));
    size_t live = kvr_release(c.pool, at, ids, n, how);
    reply_u64(ctx, live);
    if (live) {
        a->argc = argc; // with the words of an effect
        call_replicate(&c, "KVROUTE.RELEASE", tell ? "AT" : NULL, at);
        call_changed(&c, "kvroute.release");
    }
    return call_end(&c);
}

// KVROUTE.REQUEST GET key request
int cmd_request_get(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct call c;
    if (!call_pool(&c, CMD_REQUEST_GET, ctx, argv, argc, 2, FOR_READ)) return REDISMODULE_OK;
    struct kvr_bytes id;
    struct kvr_request_info r;
    if (!args_bytes(&c.args, &id) || !args_end(&c.args)) return call_bad_args(&c);
    if (!kvr_request_get(c.pool, c.now, id, &r)) {
        RedisModule_ReplyWithNull(ctx);
        return call_end(&c);
    }
    RedisModule_ReplyWithMap(ctx, 12);
    field_bytes(ctx, "request", r.id);
    field_bytes(ctx, "worker", r.worker);
    field_u64(ctx, "rank", r.rank);
    field_int(ctx, "isl", r.isl);
    field_int(ctx, "cached", r.cached);
    field_int(ctx, "output", r.output);
    field_u64(ctx, "blocks", r.blocks);
    field_int(ctx, "prefilled", r.prefilled);
    field_int(ctx, "age", r.age);
    field_int(ctx, "lease_left", r.lease_left);
    field_int(ctx, "osl", r.osl);
    field_bytes(ctx, "session", r.session);
    return call_end(&c);
}

// KVROUTE.REQUEST LIST key [cursor] [COUNT n]
int cmd_request_list(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct call c;
    if (!call_pool(&c, CMD_REQUEST_LIST, ctx, argv, argc, 2, FOR_READ)) return REDISMODULE_OK;
    return scan_reply(&c, kvr_request_scan);
}
