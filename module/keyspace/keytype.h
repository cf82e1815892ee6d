// SPDX-License-Identifier: Apache-2.0
// The key type: how Redis saves, loads, copies, measures, digests, defragments and frees a pool.
#ifndef MOD_KEYTYPE_H
#define MOD_KEYTYPE_H

#include "redis_api.h"
#include "registry.h"

int mod_keytype_register(RedisModuleCtx *ctx); // REDISMODULE_OK or REDISMODULE_ERR
bool mod_keytype_is(RedisModuleKey *key);      // an open key that isn't empty
// The value of an open key that mod_keytype_is.
struct mod_value *mod_keytype_value(RedisModuleKey *key);
// Hands v over to an empty key that is open for writing.
void mod_keytype_set(RedisModuleKey *key, struct mod_value *v);
// Secret of the hash tables of a new pool.
uint64_t mod_keytype_seed(void);

#endif
