// SPDX-License-Identifier: Apache-2.0
#include "eviction.h"

#include <string.h>

static void warn(RedisModuleCtx *ctx) {
    RedisModuleServerInfoData *info = RedisModule_GetServerInfo(ctx, "memory");
    const char *policy = info ? RedisModule_ServerInfoGetFieldC(info, "maxmemory_policy") : NULL;
    if (policy && strncmp(policy, "allkeys-", 8) == 0)
        RedisModule_Log(ctx, "warning",
                        "maxmemory-policy %s may evict a whole pool, which is one key, and with it "
                        "all that is known of its workers: use noeviction, or a volatile- policy",
                        policy);
    if (info) RedisModule_FreeServerInfo(ctx, info);
}

static void on_config(RedisModuleCtx *ctx, RedisModuleEvent event, uint64_t sub, void *data) {
    (void)event;
    (void)sub;
    const RedisModuleConfigChange *change = data;
    for (uint32_t i = 0; i < change->num_changes; i++)
        if (strcmp(change->config_names[i], "maxmemory-policy") == 0) warn(ctx);
}

int mod_eviction_watch(RedisModuleCtx *ctx) {
    warn(ctx);
    return RedisModule_SubscribeToServerEvent(ctx, RedisModuleEvent_Config, on_config);
}
