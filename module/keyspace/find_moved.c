// SPDX-License-Identifier: Apache-2.0
#include "find_moved.h"

#include <string.h>

#include "keytype.h"
#include "registry.h"

static bool listens;

// Loaded and copied ones know their place from the start.
static int on_moved(RedisModuleCtx *ctx, int type, const char *event, RedisModuleString *name) {
    static const char *const events[] = {"rename_to", "move_to", "copy_to", "restore"};
    (void)type;
    bool moved = false;
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        moved |= strcmp(event, events[i]) == 0;
    if (!moved) return REDISMODULE_OK;
    RedisModuleKey *key = RedisModule_OpenKey(ctx, name, REDISMODULE_READ);
    if (key && mod_keytype_is(key))
        mod_value_place(mod_keytype_value(key), RedisModule_GetSelectedDb(ctx), name);
    RedisModule_CloseKey(key);
    return REDISMODULE_OK;
}

int mod_find_moved_start(RedisModuleCtx *ctx) {
    listens = mod_redis.valkey < MOD_VERSION(8, 1, 0) || mod_redis.valkey > MOD_VERSION(9, 1, 1);
    if (!listens) return REDISMODULE_OK;
    return RedisModule_SubscribeToKeyspaceEvents(ctx, REDISMODULE_NOTIFY_GENERIC, on_moved);
}

static void on_key(RedisModuleCtx *ctx, RedisModuleString *name, RedisModuleKey *key, void *data) {
    (void)data;
    if (key && mod_keytype_is(key))
        mod_value_place(mod_keytype_value(key), RedisModule_GetSelectedDb(ctx), name);
}

void mod_find_moved(RedisModuleCtx *ctx) {
    enum { STEPS = 64 }; // a bucket of the keyspace each
    static RedisModuleScanCursor *cursor;
    static int db;
    if (listens) return;
    mod_registry_lock();
    bool any = mod_registry_any_unplaced();
    mod_registry_unlock();
    if (!any) return;
    if (!cursor) cursor = RedisModule_ScanCursorCreate();
    if (RedisModule_SelectDb(ctx, db) != REDISMODULE_OK) db = 0;
    for (int i = 0; i < STEPS && RedisModule_SelectDb(ctx, db) == REDISMODULE_OK; i++) {
        if (RedisModule_Scan(ctx, cursor, on_key, NULL)) continue;
        RedisModule_ScanCursorRestart(cursor);
        db++;
    }
}
