// SPDX-License-Identifier: Apache-2.0
// A warning where the server may evict any key: a pool is one key, and would be forgotten as a whole.
#ifndef MOD_EVICTION_H
#define MOD_EVICTION_H

#include "redis_api.h"

// Warns now if need be, and whenever the policy changes. REDISMODULE_OK or REDISMODULE_ERR.
int mod_eviction_watch(RedisModuleCtx *ctx);

#endif
