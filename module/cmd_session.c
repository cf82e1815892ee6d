// SPDX-License-Identifier: Apache-2.0
// Sessions: SESSION GET, LIST, DEL.
#include "call.h"
#include "commands.h"
#include "scan_reply.h"

// KVROUTE.SESSION GET key session
int cmd_session_get(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct call c;
    if (!call_pool(&c, CMD_SESSION_GET, ctx, argv, argc, 2, FOR_READ)) return REDISMODULE_OK;
    struct kvr_bytes name;
    struct kvr_session_info s;
    if (!args_bytes(&c.args, &name) || !args_end(&c.args)) return call_bad_args(&c);
    if (!kvr_session_get(c.pool, c.now, name, &s)) {
        RedisModule_ReplyWithNull(ctx);
        return call_end(&c);
    }
    RedisModule_ReplyWithMap(ctx, 5);
    field_bytes(ctx, "session", s.name);
    field_bytes(ctx, "worker", s.worker);
    field_u64(ctx, "rank", s.rank);
    field_u64(ctx, "requests", s.requests);
    field_int(ctx, "ttl_left", s.ttl_left);
    return call_end(&c);
}

// KVROUTE.SESSION LIST key [cursor] [COUNT n]
int cmd_session_list(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct call c;
    if (!call_pool(&c, CMD_SESSION_LIST, ctx, argv, argc, 2, FOR_READ)) return REDISMODULE_OK;
    return scan_reply(&c, kvr_session_scan);
}

// KVROUTE.SESSION DEL key session [session ...]
int cmd_session_del(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct call c;
    if (!call_pool(&c, CMD_SESSION_DEL, ctx, argv, argc, 2, FOR_WRITE)) return REDISMODULE_OK;
    struct args *a = &c.args;
    size_t n = args_left(a);
    struct kvr_bytes *names = arena_array(a->arena, n, sizeof *names);
    if (!names) return call_core_error(&c, KVR_NOMEM);
    for (size_t i = 0; i < n; i++)
        args_bytes(a, &names[i]);
    uint64_t version = kvr_pool_version(c.pool);
    reply_u64(ctx, kvr_session_del(c.pool, names, n));
    if (kvr_pool_version(c.pool) != version) {
        call_replicate(&c, "KVROUTE.SESSION", NULL, 0);
        call_changed(&c, "kvroute.session.del");
    }
    return call_end(&c);
}
