// SPDX-License-Identifier: Apache-2.0
// Looks up by name what newer servers offer.
#include "redis.h"

struct redis_features redis_features;

// The server writes a function pointer through the void pointer that it is given.
void redis_find_features(void) {
    struct redis_features *f = &redis_features;
    if (RedisModule_GetApi("RedisModule_TryRealloc", (void *)&f->try_realloc) != REDISMODULE_OK)
        f->try_realloc = NULL;
    if (RedisModule_GetApi("RedisModule_AddACLCategory", (void *)&f->add_acl_category) !=
        REDISMODULE_OK)
        f->add_acl_category = NULL;
    if (RedisModule_GetApi("RedisModule_SetCommandACLCategories", (void *)&f->set_acl_categories) !=
        REDISMODULE_OK)
        f->set_acl_categories = NULL;
}
