// SPDX-License-Identifier: Apache-2.0
// Flows, which are tenants: FLOW SET, DEL, LIST.
#include <stddef.h>

#include "commands.h"
#include "module/command_io/replicate.h"
#include "module/command_io/scan_reply.h"

struct flow_settings {
    struct kvr_flow_info info;
    int64_t at, left;
};

#define FIELD(name) .at = offsetof(struct flow_settings, name)
// In the order of kvr_flow_set's bits; the effect's own come last.
static const struct mod_option set_options[] = {
    {"WEIGHT", MOD_OPTION_DOUBLE, FIELD(info.weight), 0, KVR_MAX_SHARE},
    {"REQUESTS", MOD_OPTION_U64, FIELD(info.max_requests), 0, 0x1p53},
    {"RATE", MOD_OPTION_I64, FIELD(info.rate), 0, KVR_MAX_TOKENS},
    {"BURST", MOD_OPTION_I64, FIELD(info.burst), 0, KVR_MAX_TOKENS},
    {"AT", MOD_OPTION_TIME, FIELD(at)},
    {"LEFT", MOD_OPTION_SIGNED, FIELD(left), -0x1p62, 0x1p62, .effect = true},
};
#undef FIELD
enum {
    FLOW_OPTIONS = sizeof set_options / sizeof *set_options,
    FLOW_BITS = (KVR_FLOW_BURST << 1) - 1,
    FLOW_LEFT_GIVEN = 1 << (FLOW_OPTIONS - 1),
};
_Static_assert(KVR_FLOW_WEIGHT == 1 && KVR_FLOW_BURST == 1 << (FLOW_OPTIONS - 3), "bits by row");

// KVROUTE.FLOW SET key flow [WEIGHT w] [REQUESTS n] [RATE tokens] [BURST tokens]
// Replicated with AT ms LEFT n: when, and what its bucket holds since, in thousandths of a token.
int cmd_flow_set(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_FLOW_SET, ctx, argv, argc, 2, MOD_FOR_WRITE))
        return REDISMODULE_OK;
    struct kvr_bytes name;
    struct kvr_flow_info known;
    struct flow_settings f = {.at = c.trusted ? -1 : c.now};
    unsigned seen;
    int created = 0;
    if (!mod_args_name(&c.args, KVR_MAX_ID, &name) ||
        !mod_args_options(&c.args, set_options, FLOW_OPTIONS, &f, &seen))
        return mod_call_bad_args(&c);
    if (f.at < 0) return mod_call_error(&c, MOD_ERROR_ERR, "AT is missing");
    if (c.full && !kvr_flow_get(c.pool, c.now, name, &known)) return mod_call_refuse_growth(&c);
    uint64_t version = kvr_pool_version(c.pool);
    enum kvr_err err = kvr_flow_set(c.pool, f.at, name, seen & FLOW_BITS, &f.info,
                                    seen & FLOW_LEFT_GIVEN, &f.left, &created);
    if (err != KVR_OK) return mod_call_core_error(&c, err);
    RedisModule_ReplyWithLongLong(ctx, created);
    if (kvr_pool_version(c.pool) != version) {
        if (c.trusted)
            mod_replicate(&c, "KVROUTE.FLOW");
        else
            RedisModule_Replicate(ctx, "KVROUTE.FLOW", "vsssl", argv + 1, (size_t)argc - 1,
                                  mod_effect_word(MOD_EFFECT_AT), mod_effect_time(f.at),
                                  mod_effect_word(MOD_EFFECT_LEFT), (long long)f.left);
        mod_call_changed(&c, "kvroute.flow.set");
    }
    return mod_call_end(&c);
}

// KVROUTE.FLOW DEL key flow
int cmd_flow_del(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_FLOW_DEL, ctx, argv, argc, 2, MOD_FOR_WRITE))
        return REDISMODULE_OK;
    struct kvr_bytes name;
    int deleted = 0;
    if (!mod_args_bytes(&c.args, &name) || !mod_args_end(&c.args)) return mod_call_bad_args(&c);
    enum kvr_err err = kvr_flow_del(c.pool, name, &deleted);
    if (err != KVR_OK) return mod_call_core_error(&c, err);
    RedisModule_ReplyWithLongLong(ctx, deleted);
    if (deleted) {
        mod_replicate(&c, "KVROUTE.FLOW");
        mod_call_changed(&c, "kvroute.flow.del");
    }
    return mod_call_end(&c);
}

static void reply_flow(struct mod_call *c, struct kvr_bytes name) {
    struct kvr_flow_info f = {.name = name, .weight = 1, .left = -1};
    kvr_flow_get(c->pool, c->now, name, &f);
    RedisModule_ReplyWithMap(c->ctx, 8);
    mod_field_bytes(c->ctx, "flow", f.name);
    mod_field_double(c->ctx, "weight", f.weight);
    mod_field_u64(c->ctx, "max_requests", f.max_requests);
    mod_field_int(c->ctx, "rate", f.rate);
    mod_field_int(c->ctx, "burst", f.burst);
    mod_field_u64(c->ctx, "requests", f.requests);
    mod_field_u64(c->ctx, "waiting", f.waiting);
    mod_field_int(c->ctx, "left", f.left);
}

// KVROUTE.FLOW LIST key [cursor] [COUNT n]
int cmd_flow_list(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_FLOW_LIST, ctx, argv, argc, 2, MOD_FOR_READ))
        return REDISMODULE_OK;
    return mod_scan_reply_each(&c, kvr_flow_scan, reply_flow);
}
