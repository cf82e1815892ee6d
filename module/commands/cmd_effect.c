// SPDX-License-Identifier: Apache-2.0
// Commands that only effects use: FORGET and LOAD. Ordinary clients are refused.
#include <string.h>

#include "commands.h"
#include "module/command_io/replicate.h"
#include "module/keyspace/keytype.h"
#include "module/keyspace/redis_alloc.h"

static const char EFFECTS_ONLY[] = "this command is for replication only";

// KVROUTE.FORGET key at n
// Drops the first n predictions that were due at `at`.
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
    size_t n = kvr_forget(c.pool, at, max);
    mod_reply_u64(ctx, n);
    if (n) {
        mod_replicate(&c, "KVROUTE.FORGET");
        mod_call_changed(&c, "kvroute.forget");
    }
    return mod_call_end(&c);
}

// The pool that a rewritten AOF is just spelling out. It comes to the keyspace when it is whole: so
// no key ever holds half a pool. The chunks of one key stand together.
static struct {
    struct kvr_loader *loader; // NULL: none
    int db;
    RedisModuleString *name;
} pending;

static void pending_drop(void) {
    kvr_loader_free(pending.loader);
    if (pending.name) RedisModule_FreeString(NULL, pending.name);
    memset(&pending, 0, sizeof pending);
}

void cmd_load_ended(RedisModuleCtx *ctx) {
    if (!pending.loader) return;
    RedisModule_Log(ctx, "warning", "a saved pool is cut off in the middle and is dropped");
    pending_drop();
}

static bool pending_is(const struct mod_call *c) {
    return pending.loader && pending.db == RedisModule_GetSelectedDb(c->ctx) &&
           RedisModule_StringCompare(pending.name, c->name) == 0;
}

static enum kvr_err pending_feed(struct mod_call *c, struct kvr_bytes chunk) {
    if (!pending_is(c)) {
        cmd_load_ended(c->ctx);
        pending.loader = kvr_loader_new(&mod_redis_alloc, mod_keytype_seed());
        if (!pending.loader) return KVR_NOMEM;
        pending.db = RedisModule_GetSelectedDb(c->ctx);
        pending.name = RedisModule_CreateStringFromString(NULL, c->name);
    }
    enum kvr_err err = kvr_loader_feed(pending.loader, chunk.p, chunk.n);
    if (err != KVR_OK || !kvr_loader_done(pending.loader)) {
        if (err != KVR_OK) pending_drop();
        return err;
    }
    struct kvr_pool *pool = kvr_loader_finish(pending.loader);
    pending.loader = NULL;
    pending_drop();
    if (!pool) return KVR_CORRUPT;
    c->value = mod_value_new(pool);
    mod_value_place(c->value, RedisModule_GetSelectedDb(c->ctx), c->name);
    mod_keytype_set(c->key, c->value);
    return KVR_OK;
}

// KVROUTE.LOAD key chunk
// One chunk of a saved pool, as a rewritten AOF holds it; the last one makes the key.
int cmd_load(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    struct kvr_bytes chunk;
    if (!mod_call_key(&c, MOD_COMMAND_LOAD, ctx, argv, argc, 1, MOD_FOR_WRITE))
        return REDISMODULE_OK;
    if (!c.trusted) return mod_call_error(&c, MOD_ERROR_ERR, EFFECTS_ONLY);
    if (c.value) return mod_call_error(&c, MOD_ERROR_EXISTS, NULL);
    if (!mod_args_bytes(&c.args, &chunk) || !mod_args_end(&c.args)) return mod_call_bad_args(&c);
    enum kvr_err err = pending_feed(&c, chunk);
    if (err != KVR_OK) {
        RedisModule_Log(ctx, "warning", "a saved pool can't be loaded");
        return mod_call_core_error(&c, err);
    }
    RedisModule_ReplyWithSimpleString(ctx, "OK");
    mod_replicate(&c, "KVROUTE.LOAD");
    if (c.value) mod_call_changed(&c, "kvroute.load");
    return mod_call_end(&c);
}
