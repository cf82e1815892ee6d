// SPDX-License-Identifier: Apache-2.0
// The key type: how Redis saves, loads, copies, measures, digests, defragments and frees a pool.
//
// RDB, encoding version 0: the chunks of kvr_pool_save, each a string, then an empty string. The
// chunks carry their own version, counts and checksum; the core checks all of it. A rewritten AOF
// holds the same chunks, one to a KVROUTE.LOAD command.
#include <stdlib.h>
#include <unistd.h>

#include "blocked_callers.h"
#include "half_loaded.h"
#include "keytype.h"
#include "module/core/decisions/decision_log.h"
#include "redis_alloc.h"
#include "server_clock.h"

enum { ENCODING = 0 };

static RedisModuleType *type;

bool mod_keytype_is(RedisModuleKey *key) {
    return RedisModule_ModuleTypeGetType(key) == type;
}

struct mod_value *mod_keytype_value(RedisModuleKey *key) {
    return RedisModule_ModuleTypeGetValue(key);
}

void mod_keytype_set(RedisModuleKey *key, struct mod_value *v) {
    RedisModule_ModuleTypeSetValue(key, type, v);
}

uint64_t mod_keytype_seed(void) {
    uint64_t seed;
    RedisModule_GetRandomBytes((unsigned char *)&seed, sizeof seed);
    return seed;
}

// ---- RDB and AOF ---------------------------------------------------------------------------------

// Saving can only fail for want of memory. In a child, leaving makes the server keep the file that
// it has; in the server itself all that can be done is to say so.
static void save_failed(RedisModuleIO *io) {
    RedisModule_LogIOError(io, "warning", "kvroute: out of memory while saving a pool");
    RedisModuleCtx *ctx = RedisModule_GetContextFromIO(io);
    if (RedisModule_GetContextFlags(ctx) & REDISMODULE_CTX_FLAGS_IS_CHILD) _exit(1);
}

static int save_chunk(void *io, const void *bytes, size_t n) {
    RedisModule_SaveStringBuffer(io, bytes, n);
    return 0;
}

static void rdb_save(RedisModuleIO *io, void *value) {
    struct mod_value *v = value;
    if (kvr_pool_save(v->pool, save_chunk, io) != KVR_OK) save_failed(io);
    RedisModule_SaveStringBuffer(io, "", 0);
}

// Feeds the loader with strings up to the empty one. false: a read failed or the loader refused.
static bool load_chunks(RedisModuleIO *io, struct kvr_loader *loader) {
    for (;;) {
        size_t n;
        char *chunk = RedisModule_LoadStringBuffer(io, &n);
        if (!chunk || RedisModule_IsIOError(io)) {
            RedisModule_Free(chunk);
            return false;
        }
        if (n == 0) {
            RedisModule_Free(chunk);
            return true;
        }
        enum kvr_err err = kvr_loader_feed(loader, chunk, n);
        RedisModule_Free(chunk);
        if (err != KVR_OK) return false;
    }
}

static struct kvr_pool *load_pool(RedisModuleIO *io) {
    struct kvr_loader *loader = kvr_loader_new(&mod_redis_alloc, mod_keytype_seed());
    if (!loader) return NULL;
    if (load_chunks(io, loader)) return kvr_loader_finish(loader);
    kvr_loader_free(loader);
    return NULL;
}

// A pool that RESTORE brings to a primary starts its time anew, like everything that a server loads
// at start-up (which the loading event sees to). A replica leaves time alone.
static bool restored_on_primary(RedisModuleIO *io) {
    const int elsewhere = REDISMODULE_CTX_FLAGS_LOADING | REDISMODULE_CTX_FLAGS_ASYNC_LOADING |
                          REDISMODULE_CTX_FLAGS_REPLICATED;
    int flags = RedisModule_GetContextFlags(RedisModule_GetContextFromIO(io));
    return (flags & REDISMODULE_CTX_FLAGS_MASTER) && !(flags & elsewhere);
}

static void *rdb_load(RedisModuleIO *io, int encoding) {
    struct kvr_pool *pool = encoding == ENCODING ? load_pool(io) : NULL;
    if (!pool) {
        RedisModule_LogIOError(io, "warning", "kvroute: a saved pool can't be loaded");
        return NULL;
    }
    if (restored_on_primary(io)) kvr_renew_all(pool, mod_server_time());
    struct mod_value *v = mod_value_new(pool);
    const RedisModuleString *name = RedisModule_GetKeyNameFromIO(io);
    if (name) mod_value_place(v, RedisModule_GetDbIdFromIO(io), name);
    return v;
}

struct rewrite {
    RedisModuleIO *io;
    RedisModuleString *key;
};

static int rewrite_chunk(void *ctx, const void *bytes, size_t n) {
    struct rewrite *r = ctx;
    RedisModule_EmitAOF(r->io, "KVROUTE.LOAD", "sb", r->key, (const char *)bytes, n);
    return 0;
}

static void aof_rewrite(RedisModuleIO *io, RedisModuleString *key, void *value) {
    struct mod_value *v = value;
    struct rewrite r = {io, key};
    if (kvr_pool_save(v->pool, rewrite_chunk, &r) != KVR_OK) save_failed(io);
}

// ---- Copying, measuring, freeing -----------------------------------------------------------------

static int feed_chunk(void *loader, const void *bytes, size_t n) {
    return kvr_loader_feed(loader, bytes, n) == KVR_OK ? 0 : -1;
}

static void *copy(RedisModuleKeyOptCtx *ctx, const void *value) {
    const struct mod_value *v = value;
    struct kvr_loader *loader = kvr_loader_new(&mod_redis_alloc, mod_keytype_seed());
    if (!loader) return NULL;
    if (kvr_pool_save(v->pool, feed_chunk, loader) != KVR_OK) {
        kvr_loader_free(loader);
        return NULL;
    }
    struct kvr_pool *pool = kvr_loader_finish(loader);
    if (!pool) return NULL;
    kvr_renew_like(pool, v->pool);
    struct mod_value *twin = mod_value_new(pool);
    mod_value_place(twin, RedisModule_GetToDbIdFromOptCtx(ctx),
                    RedisModule_GetToKeyNameFromOptCtx(ctx));
    return twin;
}

static void digest(RedisModuleDigest *md, void *value) {
    struct mod_value *v = value;
    uint8_t bytes[KVR_DIGEST_BYTES];
    kvr_pool_digest(v->pool, bytes);
    RedisModule_DigestAddStringBuffer(md, (const char *)bytes, sizeof bytes);
    RedisModule_DigestEndSequence(md);
}

static size_t mem_usage(RedisModuleKeyOptCtx *ctx, const void *value, size_t sample_size) {
    (void)ctx;
    (void)sample_size;
    return mod_value_memory(value, RedisModule_Milliseconds());
}

// Above 64 the server frees in the background.
static size_t free_effort(RedisModuleKeyOptCtx *ctx, const void *value) {
    (void)ctx;
    const struct mod_value *v = value;
    struct kvr_stats s;
    kvr_pool_stats(v->pool, RedisModule_Milliseconds(), &s);
    struct kvr_decision_stats log = {0};
    if (v->decisions) kvr_decision_log_stats(v->decisions, &log);
    return 1 + log.records + s.workers + s.requests + s.sessions + s.holdings + s.predicted +
           s.waiting + s.flows + s.unswept;
}

// Also called by RENAME and MOVE, where the value lives on: a notification then says where. Whoever is blocked on
// it asked for it by the key that it leaves.
static void unlink_key(RedisModuleKeyOptCtx *ctx, const void *value) {
    (void)ctx;
    struct mod_value *v = (struct mod_value *)value;
    mod_callers_no_pool(v);
    mod_value_unplace(v);
}

static void free_value(void *value) {
    mod_value_free(value);
}

static void *move_allocation(void *ctx, void *p) {
    return RedisModule_DefragAlloc(ctx, p);
}

static bool defrag_should_stop(void *ctx) {
    return RedisModule_DefragShouldStop(ctx);
}

// The value itself stays where it is, because the registry points to it.
static int defrag(RedisModuleDefragCtx *ctx, RedisModuleString *key, void **value) {
    (void)key;
    struct mod_value *v = *value;
    unsigned long at = 0;
    if (RedisModule_DefragCursorGet(ctx, &at) != REDISMODULE_OK) at = 0;
    uint64_t cursor = at;
    if (kvr_pool_defrag(v->pool, &cursor, move_allocation, defrag_should_stop, ctx)) return 0;
    RedisModule_DefragCursorSet(ctx, (unsigned long)cursor);
    return 1;
}

int mod_keytype_register(RedisModuleCtx *ctx) {
    RedisModuleTypeMethods methods = {
        .version = REDISMODULE_TYPE_METHOD_VERSION,
        .rdb_load = rdb_load,
        .rdb_save = rdb_save,
        .aof_rewrite = aof_rewrite,
        .digest = digest,
        .free = free_value,
        .defrag = defrag,
        .mem_usage2 = mem_usage,
        .free_effort2 = free_effort,
        .unlink2 = unlink_key,
        .copy2 = copy,
    };
    // As newer servers have it; with the aux_save of before, every RDB would ask for the module.
    struct {
        RedisModuleTypeMethods methods;
        RedisModuleTypeAuxSaveFunc aux_save2;
    } version_5 = {methods, mod_half_loaded_save};
    // Only there pools arrive in pieces from elsewhere.
    if (mod_redis.valkey >= MOD_VERSION(9, 0, 0)) {
        version_5.methods.version = 5;
        version_5.methods.aux_load = mod_half_loaded_load;
        version_5.methods.aux_save_triggers = REDISMODULE_AUX_AFTER_RDB;
    }
    type = RedisModule_CreateDataType(ctx, "kvrt-pool", ENCODING, &version_5.methods);
    return type ? REDISMODULE_OK : REDISMODULE_ERR;
}
