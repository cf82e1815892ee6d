// SPDX-License-Identifier: Apache-2.0
// The queue of those who wait: QUEUE, and its effects ENQUEUE and ADMIT, which ordinary clients are refused.
#include <stddef.h>

#include "commands.h"
#include "module/command_io/replicate.h"
#include "route_args.h"

static const char EFFECTS_ONLY[] = "this command is for replication only";

struct first_waiting {
    struct kvr_waiting_info *at;
    size_t n;
};

static void keep_waiting(void *ctx, const struct kvr_waiting_info *w) {
    struct first_waiting *first = ctx;
    first->at[first->n++] = *w;
}

static void reply_one(RedisModuleCtx *ctx, const struct kvr_waiting_info *w) {
    RedisModule_ReplyWithMap(ctx, 6);
    mod_field_bytes(ctx, "id", w->id);
    mod_field_bytes(ctx, "class", w->service_class);
    mod_field_bytes(ctx, "flow", w->flow);
    mod_field_u64(ctx, "position", w->position);
    mod_field_int(ctx, "waited", w->waited);
    mod_field_u64(ctx, "blocks", w->blocks);
}

// KVROUTE.QUEUE key [COUNT n]
int cmd_queue(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    enum { QUEUE_COUNT = 10, QUEUE_MAX_COUNT = 4096 };
    static const struct mod_option options[] = {
        {"COUNT", MOD_OPTION_U64, .at = 0, 0, 0x1p53},
    };
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_QUEUE, ctx, argv, argc, 1, MOD_FOR_READ))
        return REDISMODULE_OK;
    uint64_t count = QUEUE_COUNT;
    unsigned seen;
    if (!mod_args_options(&c.args, options, 1, &count, &seen)) return mod_call_bad_args(&c);
    struct kvr_stats stats;
    kvr_pool_stats(c.pool, c.now, &stats);
    if (count > QUEUE_MAX_COUNT) count = QUEUE_MAX_COUNT;
    if (count > stats.waiting) count = stats.waiting;
    struct first_waiting first = {
        mod_arena_array(c.args.arena, count, sizeof *first.at),
        0,
    };
    if (!first.at) return mod_call_core_error(&c, KVR_NOMEM);
    int64_t estimate = -1;
    enum kvr_err err = kvr_queue(c.pool, c.now, count, keep_waiting, &first, &estimate);
    if (err != KVR_OK) return mod_call_core_error(&c, err);
    RedisModule_ReplyWithMap(ctx, 4);
    mod_field_u64(ctx, "waiting", stats.waiting);
    mod_field_u64(ctx, "tokens", stats.waiting_tokens);
    mod_field_int(ctx, "estimate", estimate);
    mod_reply_text(ctx, "first");
    RedisModule_ReplyWithArray(ctx, (long)first.n);
    for (size_t i = 0; i < first.n; i++)
        reply_one(ctx, &first.at[i]);
    return mod_call_end(&c);
}

// KVROUTE.ENQUEUE key request blocks [the options of SELECT] AT ms
// The request waits since then; one that waits already tells another channel, and needn't say WAIT for that.
int cmd_enqueue(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_ENQUEUE, ctx, argv, argc, 1, MOD_FOR_WRITE))
        return REDISMODULE_OK;
    if (!c.trusted) return mod_call_error(&c, MOD_ERROR_ERR, EFFECTS_ONLY);
    struct kvr_bytes id;
    struct cmd_route r;
    if (!mod_args_name(&c.args, KVR_MAX_ID, &id) || !cmd_route_parse(&c, CMD_ROUTE_ENQUEUE, &r))
        return mod_call_bad_args(&c);
    if (r.at < 0) return mod_call_error(&c, MOD_ERROR_ERR, "AT is missing");
    bool applied = false;
    enum kvr_err err = kvr_enqueue(c.pool, r.at, id, &r.query, r.lease, &applied);
    if (err != KVR_OK) return mod_call_core_error(&c, err);
    RedisModule_ReplyWithLongLong(ctx, applied);
    if (applied) {
        mod_replicate(&c, "KVROUTE.ENQUEUE");
        mod_call_changed(&c, "kvroute.enqueue");
    }
    return mod_call_end(&c);
}

#define FIELD(name) .at = offsetof(struct kvr_booking, name)
static const struct mod_option admit_options[] = {
    {"CACHED", MOD_OPTION_I64, FIELD(cached), 0, KVR_MAX_TOKENS},
    {"CREATED", MOD_OPTION_TIME, FIELD(created)},
    {"OVERLAP", MOD_OPTION_U32, FIELD(overlap), 0, KVR_MAX_BLOCKS},
    {"EXPECTED", MOD_OPTION_U32, FIELD(expected), 0, KVR_MAX_BLOCKS},
    {"COST", MOD_OPTION_DOUBLE, FIELD(cost), -1e300, 1e300},
    {"PREDICTED", MOD_OPTION_TIME, FIELD(predict_until)},
    {"UNCALLED", MOD_OPTION_FLAG, FIELD(uncalled)},
    {"PREFILLER", MOD_OPTION_RANK, FIELD(prefill_worker), 1, KVR_MAX_NAME,
     .count_at = offsetof(struct kvr_booking, prefill_rank)},
    {"PREFILLCACHED", MOD_OPTION_I64, FIELD(prefill_cached), 0, KVR_MAX_TOKENS},
    {"PREFILLOVERLAP", MOD_OPTION_U32, FIELD(prefill_overlap), 0, KVR_MAX_BLOCKS},
    {"LEFT", MOD_OPTION_SIGNED, FIELD(left), -0x1p62, 0x1p62}, // last
};
#undef FIELD
enum {
    ADMIT_OPTIONS = sizeof admit_options / sizeof *admit_options,
    ADMIT_LEFT_GIVEN = 1 << (ADMIT_OPTIONS - 1),
};

// KVROUTE.ADMIT key request worker rank CREATED ms [CACHED tokens] [OVERLAP blocks] [EXPECTED blocks] [COST x]
//     [PREDICTED ms] [UNCALLED] [PREFILLER worker rank] [PREFILLCACHED tokens] [PREFILLOVERLAP blocks] [LEFT n]
// One that waits is booked; what it asked for it has said as it began to wait.
int cmd_admit(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_ADMIT, ctx, argv, argc, 1, MOD_FOR_WRITE))
        return REDISMODULE_OK;
    if (!c.trusted) return mod_call_error(&c, MOD_ERROR_ERR, EFFECTS_ONLY);
    struct kvr_bytes id, worker;
    uint64_t rank;
    unsigned seen = 0;
    struct kvr_booking b = {.created = -1};
    if (!mod_args_name(&c.args, KVR_MAX_ID, &id) || !mod_args_bytes(&c.args, &worker) ||
        !mod_args_u64(&c.args, 0, UINT32_MAX, &rank) ||
        !mod_args_options(&c.args, admit_options, ADMIT_OPTIONS, &b, &seen))
        return mod_call_bad_args(&c);
    if (b.created < 0) return mod_call_error(&c, MOD_ERROR_ERR, "CREATED is missing");
    b.has_left = seen & ADMIT_LEFT_GIVEN;
    bool applied = false;
    enum kvr_err err = kvr_admitted(c.pool, id, worker, (uint32_t)rank, &b, &applied);
    if (err != KVR_OK) return mod_call_core_error(&c, err);
    RedisModule_ReplyWithLongLong(ctx, applied);
    if (applied) {
        mod_replicate(&c, "KVROUTE.ADMIT");
        mod_call_changed(&c, "kvroute.admit");
    }
    return mod_call_end(&c);
}
