// SPDX-License-Identifier: Apache-2.0
// The module's entry point, and the server events that it follows.
#include <string.h>
#include <strings.h>

#define REDISMODULE_MAIN
#include "module/command_io/replicate.h"
#include "module/commands/commands.h"
#include "module/keyspace/cron.h"
#include "module/keyspace/info_section.h"
#include "module/keyspace/keytype.h"
#include "module/keyspace/redis_api.h"
#include "module/keyspace/registry.h"

enum { MODULE_VERSION = 1 };

// What couldn't be renewed while the server was away must not expire for that: a server that starts
// to decide takes everything for renewed at that moment.
static void renew_all(void) {
    mod_registry_lock();
    mod_registry_renew_all(RedisModule_Milliseconds());
    mod_registry_unlock();
}

static void on_role_changed(RedisModuleCtx *ctx, RedisModuleEvent event, uint64_t sub, void *data) {
    (void)ctx;
    (void)event;
    (void)data;
    if (sub == REDISMODULE_EVENT_REPLROLECHANGED_NOW_MASTER) renew_all();
}

static void on_loading(RedisModuleCtx *ctx, RedisModuleEvent event, uint64_t sub, void *data) {
    (void)event;
    (void)data;
    bool ended = sub == REDISMODULE_SUBEVENT_LOADING_ENDED;
    if (!ended && sub != REDISMODULE_SUBEVENT_LOADING_FAILED) return;
    cmd_load_ended(ctx);
    if (ended && (RedisModule_GetContextFlags(ctx) & REDISMODULE_CTX_FLAGS_MASTER)) renew_all();
}

static void on_swap(RedisModuleCtx *ctx, RedisModuleEvent event, uint64_t sub, void *data) {
    (void)ctx;
    (void)event;
    (void)sub;
    const RedisModuleSwapDbInfo *info = data;
    mod_registry_lock();
    mod_registry_swap_databases(info->dbnum_first, info->dbnum_second);
    mod_registry_unlock();
}

// Pools that changed their place. Loaded ones know it from the start.
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

static int follow_events(RedisModuleCtx *ctx) {
    static const struct {
        const RedisModuleEvent *event;
        RedisModuleEventCallback callback;
    } events[] = {
        {&RedisModuleEvent_ReplicationRoleChanged, on_role_changed},
        {&RedisModuleEvent_Loading, on_loading},
        {&RedisModuleEvent_SwapDB, on_swap},
    };
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        if (RedisModule_SubscribeToServerEvent(ctx, *events[i].event, events[i].callback) !=
            REDISMODULE_OK)
            return REDISMODULE_ERR;
    return RedisModule_SubscribeToKeyspaceEvents(ctx, REDISMODULE_NOTIFY_GENERIC, on_moved);
}

// The server looks this name up; no header declares it.
int RedisModule_OnLoad(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);

int RedisModule_OnLoad(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    (void)argv;
    if (RedisModule_Init(ctx, "kvroute", MODULE_VERSION, REDISMODULE_APIVER_1) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    if (!RMAPI_FUNC_SUPPORTED(RedisModule_SetCommandInfo)) {
        RedisModule_Log(ctx, "warning", "kvroute needs a server of version 7.0 or later");
        return REDISMODULE_ERR;
    }
    if (argc > 0) {
        RedisModule_Log(ctx, "warning", "kvroute takes no arguments");
        return REDISMODULE_ERR;
    }
    mod_redis_find_features();
    // A key counts as modified only where a command says so; many writes turn out to be repeats.
    RedisModule_SetModuleOptions(ctx, REDISMODULE_OPTIONS_HANDLE_IO_ERRORS |
                                          REDISMODULE_OPTIONS_HANDLE_REPL_ASYNC_LOAD |
                                          REDISMODULE_OPTION_NO_IMPLICIT_SIGNAL_MODIFIED);
    mod_replicate_start();
    cmd_select_start(ctx);
    if (mod_keytype_register(ctx) != REDISMODULE_OK || cmd_register(ctx) != REDISMODULE_OK ||
        mod_info_register(ctx) != REDISMODULE_OK || follow_events(ctx) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    mod_cron_start(ctx);
    return REDISMODULE_OK;
}
