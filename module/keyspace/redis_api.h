// SPDX-License-Identifier: Apache-2.0
// The Redis module API, and the functions of newer servers that its header doesn't declare.
//
// One .so serves Redis 7.0 to 8.x and Valkey. What came after 7.0 is looked up by name at load and
// is NULL where the server lacks it: ask before the call.
#ifndef MOD_REDIS_API_H
#define MOD_REDIS_API_H

#include <kvroute/types.h>
#include <redismodule.h>

struct mod_redis_features {
    void *(*try_realloc)(void *p, size_t size);                              // 7.4
    int (*add_acl_category)(RedisModuleCtx *ctx, const char *name);          // 7.4
    int (*set_acl_categories)(RedisModuleCommand *command, const char *acl); // 7.2
    unsigned (*cluster_key_slot)(RedisModuleString *key);                    // 7.4
    int valkey; // MOD_VERSION of a Valkey; 0: it is none
};
extern struct mod_redis_features mod_redis;

#define MOD_VERSION(major, minor, patch) ((major)*10000 + (minor)*100 + (patch))

// Call once, after RedisModule_Init.
void mod_redis_find_features(RedisModuleCtx *ctx);

struct kvr_bytes mod_bytes_of(const RedisModuleString *s);

#endif
