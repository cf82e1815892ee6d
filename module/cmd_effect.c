// SPDX-License-Identifier: Apache-2.0
// Commands that only effects use: FORGET and LOAD. Ordinary clients are refused.
#include <string.h>

#include "call.h"
#include "commands.h"
#include "heap.h"
#include "keytype.h"

static const char EFFECTS_ONLY[] = "this command is for replication only";

// KVROUTE.FORGET key at n
// Drops the first n predictions that were due at `at`.
int cmd_forget(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct call c;
    if (!call_pool(&c, CMD_FORGET, ctx, argv, argc, 1, FOR_WRITE)) return REDISMODULE_OK;
    if (!c.trusted) return call_error(&c, ERROR_ERR, EFFECTS_ONLY);
    int64_t at;
    uint64_t most;
    if (!args_i64(&c.args, 0, INT64_MAX, &at) || !args_u64(&c.args, 1, SIZE_MAX, &most) ||
        !args_end(&c.args))
        return call_bad_args(&c);
    size_t n = kvr_forget(c.pool, at, most);
    reply_u64(ctx, n);
    if (n) {
        call_replicate(&c, "KVROUTE.FORGET", NULL, 0);
        call_changed(&c, "kvroute.forget");
    }
    return call_end(&c);
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

static void pending_cut_off(RedisModuleCtx *ctx) {
    if (!pending.loader) return;
    RedisModule_Log(ctx, "warning", "a saved pool is cut off in the middle and is dropped");
    pending_drop();
}

void cmd_load_ended(RedisModuleCtx *ctx) {
    pending_cut_off(ctx);
}

static bool pending_is(const struct call *c) {
    return pending.loader && pending.db == RedisModule_GetSelectedDb(c->ctx) &&
           RedisModule_StringCompare(pending.name, c->name) == 0;
}

static enum kvr_err pending_feed(struct call *c, struct kvr_bytes chunk) {
    if (!pending_is(c)) {
        pending_cut_off(c->ctx);
        pending.loader = kvr_loader_new(&heap_alloc, keytype_seed());
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
    c->value = value_new(pool);
    value_place(c->value, RedisModule_GetSelectedDb(c->ctx), c->name);
    keytype_set(c->key, c->value);
    return KVR_OK;
}

// KVROUTE.LOAD key chunk
// One chunk of a saved pool, as a rewritten AOF holds it; the last one makes the key.
int cmd_load(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct call c;
    struct kvr_bytes chunk;
    if (!call_key(&c, CMD_LOAD, ctx, argv, argc, 1, FOR_WRITE)) return REDISMODULE_OK;
    if (!c.trusted) return call_error(&c, ERROR_ERR, EFFECTS_ONLY);
    if (c.value) return call_error(&c, ERROR_EXISTS, NULL);
    if (!args_bytes(&c.args, &chunk) || !args_end(&c.args)) return call_bad_args(&c);
    enum kvr_err err = pending_feed(&c, chunk);
    if (err != KVR_OK) {
        RedisModule_Log(ctx, "warning", "a saved pool can't be loaded");
        return call_core_error(&c, err);
    }
    RedisModule_ReplyWithSimpleString(ctx, "OK");
    call_replicate(&c, "KVROUTE.LOAD", NULL, 0);
    if (c.value) call_changed(&c, "kvroute.load");
    return call_end(&c);
}
