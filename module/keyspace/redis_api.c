// SPDX-License-Identifier: Apache-2.0
#include "redis_api.h"

struct mod_redis_features mod_redis;

// The server writes a function pointer through the void pointer that it is given.
void mod_redis_find_features(void) {
    struct mod_redis_features *f = &mod_redis;
    if (RedisModule_GetApi("RedisModule_TryRealloc", (void *)&f->try_realloc) != REDISMODULE_OK)
        f->try_realloc = NULL;
    if (RedisModule_GetApi("RedisModule_AddACLCategory", (void *)&f->add_acl_category) !=
        REDISMODULE_OK)
        f->add_acl_category = NULL;
    if (RedisModule_GetApi("RedisModule_SetCommandACLCategories", (void *)&f->set_acl_categories) !=
        REDISMODULE_OK)
        f->set_acl_categories = NULL;
}

struct kvr_bytes mod_bytes_of(const RedisModuleString *s) {
    struct kvr_bytes b;
    b.p = RedisModule_StringPtrLen(s, &b.n);
    return b;
}
