// SPDX-License-Identifier: Apache-2.0
#include "slot_import.h"

#include "half_loaded.h"
#include "server_clock.h"

// As Valkey 9 declares it; the header of Redis doesn't have it.
enum {
    EVENT_SLOT_MIGRATION = 19,
    IMPORT_STARTED = 0,
    IMPORT_ABORTED = 2,
    IMPORT_COMPLETED = 4,
    NODE_NAME_LENGTH = 40
};
struct slot_range {
    int start, end; // both included
};
struct slot_migration {
    uint64_t version;
    char job[NODE_NAME_LENGTH + 1];
    struct slot_range *ranges;
    uint32_t n_ranges;
};

enum { SLOTS = 16384 };
static bool importing[SLOTS];
static size_t n_importing;
static const struct slot_migration *ended; // that is just being dealt with

bool mod_slot_import_has(RedisModuleString *key) {
    return n_importing && importing[mod_redis.cluster_key_slot(key)];
}

static void mark(const struct slot_migration *m, bool on) {
    for (uint32_t i = 0; i < m->n_ranges; i++)
        for (int slot = m->ranges[i].start; slot <= m->ranges[i].end && slot < SLOTS; slot++) {
            if (importing[slot] == on) continue;
            importing[slot] = on;
            n_importing += on ? 1 : -(size_t)1;
        }
}

static bool in_ended(RedisModuleString *key) {
    int slot = (int)mod_redis.cluster_key_slot(key);
    for (uint32_t i = 0; i < ended->n_ranges; i++)
        if (slot >= ended->ranges[i].start && slot <= ended->ranges[i].end) return true;
    return false;
}

static void renew(RedisModuleCtx *ctx) {
    int64_t now = mod_server_time();
    mod_registry_lock();
    for (struct mod_value *v = mod_registry_first(); v; v = mod_registry_next(v)) {
        if (!v->placed) continue;
        RedisModuleString *name = RedisModule_CreateString(ctx, v->name, v->name_len);
        if (in_ended(name)) kvr_renew_all(v->pool, now);
        RedisModule_FreeString(ctx, name);
    }
    mod_registry_unlock();
}

static void on_migration(RedisModuleCtx *ctx, RedisModuleEvent event, uint64_t sub, void *data) {
    (void)event;
    const struct slot_migration *m = data;
    if (sub == IMPORT_STARTED) mark(m, true);
    if (sub != IMPORT_ABORTED && sub != IMPORT_COMPLETED) return;
    mark(m, false);
    ended = m;
    size_t dropped = mod_half_loaded_drop(in_ended);
    if (dropped)
        RedisModule_Log(ctx, "notice", "%zu pools of an import that was given up are dropped",
                        dropped);
    if (sub == IMPORT_COMPLETED &&
        (RedisModule_GetContextFlags(ctx) & REDISMODULE_CTX_FLAGS_MASTER))
        renew(ctx);
    ended = NULL;
}

bool mod_slot_import_follow(RedisModuleCtx *ctx) {
    static const RedisModuleEvent event = {EVENT_SLOT_MIGRATION, 1};
    return mod_redis.valkey >= MOD_VERSION(9, 0, 0) && mod_redis.cluster_key_slot &&
           RedisModule_SubscribeToServerEvent(ctx, event, on_migration) == REDISMODULE_OK;
}
