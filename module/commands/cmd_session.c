// SPDX-License-Identifier: Apache-2.0
// Sessions: SESSION GET, LIST, DEL.
#include "commands.h"
#include "module/command_io/replicate.h"
#include "module/command_io/scan_reply.h"

// KVROUTE.SESSION GET key session
int cmd_session_get(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_SESSION_GET, ctx, argv, argc, 2, MOD_FOR_READ))
        return REDISMODULE_OK;
    struct kvr_bytes name;
    struct kvr_session_info s;
    if (!mod_args_bytes(&c.args, &name) || !mod_args_end(&c.args)) return mod_call_bad_args(&c);
    if (!kvr_session_get(c.pool, c.now, name, &s)) {
        RedisModule_ReplyWithNull(ctx);
        return mod_call_end(&c);
    }
    RedisModule_ReplyWithMap(ctx, 5);
    mod_field_bytes(ctx, "session", s.name);
    mod_field_bytes(ctx, "worker", s.worker);
    mod_field_u64(ctx, "rank", s.rank);
    mod_field_u64(ctx, "requests", s.requests);
    mod_field_int(ctx, "ttl_left", s.ttl_left);
    return mod_call_end(&c);
}

// KVROUTE.SESSION LIST key [cursor] [COUNT n]
int cmd_session_list(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_SESSION_LIST, ctx, argv, argc, 2, MOD_FOR_READ))
        return REDISMODULE_OK;
    return mod_scan_reply(&c, kvr_session_scan);
}

// KVROUTE.SESSION DEL key session [session ...]
int cmd_session_del(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_SESSION_DEL, ctx, argv, argc, 2, MOD_FOR_WRITE))
        return REDISMODULE_OK;
    struct mod_args *a = &c.args;
    size_t n = mod_args_left(a);
    struct kvr_bytes *names = mod_arena_array(a->arena, n, sizeof *names);
    if (!names) return mod_call_core_error(&c, KVR_NOMEM);
    for (size_t i = 0; i < n; i++)
        mod_args_bytes(a, &names[i]);
    uint64_t version = kvr_pool_version(c.pool);
    mod_reply_u64(ctx, kvr_session_del(c.pool, names, n));
    if (kvr_pool_version(c.pool) != version) {
        mod_replicate(&c, "KVROUTE.SESSION");
        mod_call_changed(&c, "kvroute.session.del");
    }
    return mod_call_end(&c);
}
