// SPDX-License-Identifier: Apache-2.0
// The module's entry point, and the server events that it follows.
#define REDISMODULE_MAIN
#include "module/command_io/pool_defaults.h"
#include "module/commands/commands.h"
#include "module/keyspace/blocked_callers.h"
#include "module/keyspace/cron.h"
#include "module/keyspace/effect.h"
#include "module/keyspace/eviction.h"
#include "module/keyspace/find_moved.h"
#include "module/keyspace/fork_without.h"
#include "module/keyspace/half_loaded.h"
#include "module/keyspace/info_section.h"
#include "module/keyspace/keytype.h"
#include "module/keyspace/redis_api.h"
#include "module/keyspace/registry.h"
#include "module/keyspace/server_clock.h"
#include "module/keyspace/slot_import.h"
#include "module/keyspace/wakeup.h"

// What couldn't be renewed while the server was away must not expire for that: a server that starts
// to decide takes everything for renewed at that moment.
static void renew_all(void) {
    int64_t now = mod_server_time();
    mod_registry_lock();
    mod_registry_renew_all(now);
    mod_registry_unlock();
}

static void on_role_changed(RedisModuleCtx *ctx, RedisModuleEvent event, uint64_t sub, void *data) {
    (void)event;
    (void)data;
    mod_callers_role_changed();
    if (sub != REDISMODULE_EVENT_REPLROLECHANGED_NOW_MASTER) return;
    renew_all();
    mod_wakeup_soon(ctx); // those who wait are its business now
}

static void on_loading(RedisModuleCtx *ctx, RedisModuleEvent event, uint64_t sub, void *data) {
    (void)event;
    (void)data;
    bool primary = RedisModule_GetContextFlags(ctx) & REDISMODULE_CTX_FLAGS_MASTER;
    bool ended = sub == REDISMODULE_SUBEVENT_LOADING_ENDED;
    if (!ended && sub != REDISMODULE_SUBEVENT_LOADING_FAILED) {
        mod_half_loaded_load_starts(sub == REDISMODULE_SUBEVENT_LOADING_AOF_START);
        return;
    }
    if (mod_half_loaded_load_ends(ended && !primary))
        RedisModule_Log(ctx, "warning", "a saved pool is cut off in the middle and is dropped");
    if (ended && primary) renew_all();
}

static void on_swap(RedisModuleCtx *ctx, RedisModuleEvent event, uint64_t sub, void *data) {
    (void)ctx;
    (void)event;
    (void)sub;
    const RedisModuleSwapDbInfo *info = data;
    mod_callers_no_pools((int)info->dbnum_first, (int)info->dbnum_second);
    mod_registry_lock();
    mod_registry_swap_databases(info->dbnum_first, info->dbnum_second);
    mod_registry_unlock();
}

// FLUSHALL and FLUSHDB unlink no key.
static void on_flush(RedisModuleCtx *ctx, RedisModuleEvent event, uint64_t sub, void *data) {
    (void)ctx;
    (void)event;
    const RedisModuleFlushInfo *info = data;
    if (sub == REDISMODULE_SUBEVENT_FLUSHDB_START)
        mod_callers_no_pools((int)info->dbnum, (int)info->dbnum);
}

static int follow_events(RedisModuleCtx *ctx) {
    static const struct {
        const RedisModuleEvent *event;
        RedisModuleEventCallback callback;
    } events[] = {
        {&RedisModuleEvent_ReplicationRoleChanged, on_role_changed},
        {&RedisModuleEvent_Loading, on_loading},
        {&RedisModuleEvent_SwapDB, on_swap},
        {&RedisModuleEvent_FlushDB, on_flush},
    };
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        if (RedisModule_SubscribeToServerEvent(ctx, *events[i].event, events[i].callback) !=
            REDISMODULE_OK)
            return REDISMODULE_ERR;
    return mod_find_moved_start(ctx);
}

static void set_options(RedisModuleCtx *ctx) {
    // Valkey's; means nothing, or something else, elsewhere.
    enum { HANDLE_ATOMIC_SLOT_MIGRATION = 1 << 5 };
    // A key counts as modified only where a command says so; many writes turn out to be repeats.
    int options = REDISMODULE_OPTIONS_HANDLE_IO_ERRORS |
                  REDISMODULE_OPTIONS_HANDLE_REPL_ASYNC_LOAD |
                  REDISMODULE_OPTION_NO_IMPLICIT_SIGNAL_MODIFIED;
    if (mod_slot_import_follow(ctx)) options |= HANDLE_ATOMIC_SLOT_MIGRATION;
    RedisModule_SetModuleOptions(ctx, options);
}

// The server looks this name up; no header declares it.
int RedisModule_OnLoad(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);

int RedisModule_OnLoad(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    (void)argv;
    if (RedisModule_Init(ctx, "kvroute", KVROUTE_VERSION_NUMBER, REDISMODULE_APIVER_1) !=
        REDISMODULE_OK) {
        // The one reason for which this fails.
        RedisModule_Log(
            ctx, "warning",
            "kvroute is loaded already: one loadmodule line is enough. CONFIG REWRITE, and "
            "so a Sentinel, writes it into the main file, even if an included one has it");
        return REDISMODULE_ERR;
    }
    if (!RMAPI_FUNC_SUPPORTED(RedisModule_SetCommandInfo)) {
        RedisModule_Log(ctx, "warning", "kvroute needs a server of version 7.0 or later");
        return REDISMODULE_ERR;
    }
    if (argc > 0) {
        RedisModule_Log(ctx, "warning", "kvroute takes no arguments");
        return REDISMODULE_ERR;
    }
    mod_redis_find_features(ctx);
    mod_effect_start();
    cmd_select_start(ctx);
    if (mod_keytype_register(ctx) != REDISMODULE_OK || cmd_register(ctx) != REDISMODULE_OK ||
        mod_info_register(ctx) != REDISMODULE_OK || mod_defaults_register(ctx) != REDISMODULE_OK ||
        RedisModule_LoadConfigs(ctx) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    // Redis 7 goes on to tell events to a module whose load has failed: so nothing is followed before all
    // that depends on what a user said has gone well.
    set_options(ctx);
    if (follow_events(ctx) != REDISMODULE_OK || mod_cron_start(ctx) != REDISMODULE_OK ||
        mod_fork_without_start())
        return REDISMODULE_ERR;
    return mod_eviction_watch(ctx);
}
