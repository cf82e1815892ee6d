// SPDX-License-Identifier: Apache-2.0
// Requests once they are chosen for: CLAIM, UPDATE, RELEASE, REQUEST GET, REQUEST LIST.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "blocks.h"
#include "booking.h"
#include "call.h"
#include "commands.h"

static bool parse_booking(struct call *c, struct kvr_booking *b) {
    enum {
        ISL,
        CACHED,
        OUTPUT,
        PREFILLED,
        LEASE,
        OSL,
        CREATED,
        RENEWED,
        PREDICTED,
        OVERLAP,
        COST,
        WORDS
    };
    static const char *const words[WORDS] = {"ISL",       "CACHED",  "OUTPUT",  "PREFILLED",
                                             "LEASE",     "OSL",     "CREATED", "RENEWED",
                                             "PREDICTED", "OVERLAP", "COST"};
    const double most = 1e300;
    struct args *a = &c->args;
    uint64_t overlap = 0;
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
//     [PREFILLED] [LEASE ms] [OSL tokens]
// Replicated with CREATED ms [RENEWED ms] [PREDICTED ms] [OVERLAP blocks] [COST x]: when it was
// booked, when it was last renewed, until when its blocks count as held, and the rest of what SELECT
// answered, for a repeat.
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

// KVROUTE.RELEASE key request [request ...]
int cmd_release(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct call c;
    if (!call_pool(&c, CMD_RELEASE, ctx, argv, argc, 1, FOR_WRITE)) return REDISMODULE_OK;
    struct args *a = &c.args;
    size_t n = args_left(a);
    struct kvr_bytes *ids = arena_array(a->arena, n, sizeof *ids);
    if (!ids) return call_core_error(&c, KVR_NOMEM);
    for (size_t i = 0; i < n; i++)
        args_bytes(a, &ids[i]);
    size_t live = kvr_release(c.pool, ids, n);
    reply_u64(ctx, live);
    if (live) {
        call_replicate(&c, "KVROUTE.RELEASE", NULL, 0);
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
    RedisModule_ReplyWithMap(ctx, 11);
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
    return call_end(&c);
}

// The ids of a scan, kept because the next cursor stands before them in the reply.
struct ids {
    struct arena *arena;
    struct kvr_bytes *at;
    size_t n, room;
    bool no_memory;
};

static void keep_id(void *ctx, struct kvr_bytes id) {
    struct ids *ids = ctx;
    if (ids->n == ids->room) {
        size_t room = ids->room ? 2 * ids->room : 64;
        struct kvr_bytes *wider = arena_array(ids->arena, room, sizeof *wider);
        ids->no_memory |= !wider;
        if (ids->no_memory) return;
        if (ids->n) memcpy(wider, ids->at, ids->n * sizeof *wider);
        ids->at = wider;
        ids->room = room;
    }
    ids->at[ids->n++] = id;
}

// KVROUTE.REQUEST LIST key [cursor] [COUNT n]
int cmd_request_list(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    enum { USUAL = 10, MOST = 10000 };
    struct call c;
    if (!call_pool(&c, CMD_REQUEST_LIST, ctx, argv, argc, 2, FOR_READ)) return REDISMODULE_OK;
    struct args *a = &c.args;
    uint64_t cursor = 0, count = USUAL;
    bool counted = args_is(a, "COUNT");
    if (!counted && args_left(a)) {
        if (!args_u64(a, 0, UINT64_MAX, &cursor)) return call_bad_args(&c);
        counted = args_is(a, "COUNT");
    }
    if ((counted && !args_u64(a, 1, UINT64_MAX, &count)) || !args_end(a)) return call_bad_args(&c);
    struct ids ids = {.arena = a->arena};
    cursor = kvr_request_scan(c.pool, cursor, count > MOST ? MOST : count, keep_id, &ids);
    if (ids.no_memory) return call_core_error(&c, KVR_NOMEM);
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, cursor);
    RedisModule_ReplyWithArray(ctx, 2);
    reply_text(ctx, text);
    RedisModule_ReplyWithArray(ctx, (long)ids.n);
    for (size_t i = 0; i < ids.n; i++)
        reply_bytes(ctx, ids.at[i]);
    return call_end(&c);
}
