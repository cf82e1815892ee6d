// SPDX-License-Identifier: Apache-2.0
// Commands that only effects use: FORGET and LOAD. Ordinary clients are refused.
#include <stdlib.h>

#include "commands.h"
#include "module/command_io/replicate.h"
#include "module/keyspace/half_loaded.h"
#include "module/keyspace/keytype.h"

static const char EFFECTS_ONLY[] = "this command is for replication only";

// KVROUTE.FORGET key at n
// Drops the first n predictions: those that had run out at `at` by the clock of a primary.
int cmd_forget(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_FORGET, ctx, argv, argc, 1, MOD_FOR_WRITE))
        return REDISMODULE_OK;
    if (!c.trusted) return mod_call_error(&c, MOD_ERROR_ERR, EFFECTS_ONLY);
    int64_t at;
    uint64_t max;
    if (!mod_args_i64(&c.args, 0, INT64_MAX, &at) || !mod_args_u64(&c.args, 1, SIZE_MAX, &max) ||
        !mod_args_end(&c.args))
        return mod_call_bad_args(&c);
    size_t n = kvr_forget(c.pool, INT64_MAX, max);
    mod_reply_u64(ctx, n);
    if (n) {
        mod_replicate(&c, "KVROUTE.FORGET");
        mod_call_changed(&c, "kvroute.forget");
    }
    return mod_call_end(&c);
}

// An AOF that says what can't be is damaged. The server ends at such a place with other commands, and with an
// RDB; an error in a reply, which nobody reads here, would have it go on without the pool.
static void end_if_from_aof(RedisModuleCtx *ctx) {
    if (!(RedisModule_GetContextFlags(ctx) & REDISMODULE_CTX_FLAGS_LOADING)) return;
    RedisModule_Log(
        ctx, "warning",
        "the append-only file is damaged: a pool in database %d can't be loaded from it. "
        "The server ends, as it does when an RDB is damaged",
        RedisModule_GetSelectedDb(ctx));
    exit(1);
}

// KVROUTE.LOAD key chunk
// One chunk of a saved pool, as a rewritten AOF holds it; the last one makes the key, and all are replicated
// with it.
int cmd_load(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    struct kvr_bytes chunk;
    if (!mod_call_key(&c, MOD_COMMAND_LOAD, ctx, argv, argc, 1, MOD_FOR_WRITE)) {
        end_if_from_aof(ctx);
        return REDISMODULE_OK;
    }
    if (!c.trusted) return mod_call_error(&c, MOD_ERROR_ERR, EFFECTS_ONLY);
    struct kvr_pool *pool = NULL;
    if (c.value || !mod_args_bytes(&c.args, &chunk) || !mod_args_end(&c.args)) {
        end_if_from_aof(ctx);
        return c.value ? mod_call_error(&c, MOD_ERROR_EXISTS, NULL) : mod_call_bad_args(&c);
    }
    bool loading = RedisModule_GetContextFlags(ctx) & REDISMODULE_CTX_FLAGS_LOADING;
    enum kvr_err err = mod_half_loaded_take(ctx, c.name, argv[2], loading, &pool);
    if (err != KVR_OK) {
        end_if_from_aof(ctx);
        RedisModule_Log(ctx, "warning", "a saved pool can't be loaded");
        return mod_call_core_error(&c, err);
    }
    RedisModule_ReplyWithSimpleString(ctx, "OK");
    if (!pool) return mod_call_end(&c);
    c.value = mod_value_new(pool);
    mod_value_place(c.value, RedisModule_GetSelectedDb(ctx), c.name);
    mod_keytype_set(c.key, c.value);
    mod_call_changed(&c, "kvroute.load");
    return mod_call_end(&c);
}
