// SPDX-License-Identifier: Apache-2.0
#include "redis_api.h"

#include <stdio.h>

struct mod_redis_features mod_redis;

static int valkey_version(RedisModuleCtx *ctx) {
    RedisModuleServerInfoData *info = RedisModule_GetServerInfo(ctx, "server");
    const char *text = info ? RedisModule_ServerInfoGetFieldC(info, "valkey_version") : NULL;
    int major = 0, minor = 0, patch = 0;
    if (text) sscanf(text, "%d.%d.%d", &major, &minor, &patch);
    if (info) RedisModule_FreeServerInfo(ctx, info);
    return MOD_VERSION(major, minor, patch);
}

// The server writes a function pointer through the void pointer that it is given.
void mod_redis_find_features(RedisModuleCtx *ctx) {
    struct mod_redis_features *f = &mod_redis;
    if (RedisModule_GetApi("RedisModule_TryRealloc", (void *)&f->try_realloc) != REDISMODULE_OK)
        f->try_realloc = NULL;
    if (RedisModule_GetApi("RedisModule_AddACLCategory", (void *)&f->add_acl_category) !=
        REDISMODULE_OK)
        f->add_acl_category = NULL;
    if (RedisModule_GetApi("RedisModule_SetCommandACLCategories", (void *)&f->set_acl_categories) !=
        REDISMODULE_OK)
        f->set_acl_categories = NULL;
    if (RedisModule_GetApi("RedisModule_ClusterKeySlot", (void *)&f->cluster_key_slot) !=
        REDISMODULE_OK)
        f->cluster_key_slot = NULL;
    f->valkey = valkey_version(ctx);
}

struct kvr_bytes mod_bytes_of(const RedisModuleString *s) {
    struct kvr_bytes b;
    b.p = RedisModule_StringPtrLen(s, &b.n);
    return b;
}
