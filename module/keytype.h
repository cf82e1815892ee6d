// SPDX-License-Identifier: Apache-2.0
// The key type: how Redis saves, loads, copies, measures, digests, defragments and frees a pool.
#ifndef KVR_KEYTYPE_H
#define KVR_KEYTYPE_H

#include "redis.h"
#include "value.h"

int keytype_register(RedisModuleCtx *ctx); // REDISMODULE_OK or REDISMODULE_ERR
bool keytype_is(RedisModuleKey *key);      // an open key that isn't empty
// The value of an open key that keytype_is.
struct value *keytype_value(RedisModuleKey *key);
// Hands v over to an empty key that is open for writing.
void keytype_set(RedisModuleKey *key, struct value *v);
// Secret of the hash tables of a new pool.
uint64_t keytype_seed(void);

#endif
