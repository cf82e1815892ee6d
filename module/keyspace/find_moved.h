// SPDX-License-Identifier: Apache-2.0
// Pools that changed their place: RENAME, MOVE. A notification tells where they went.
//
// But Valkey from 8.1.0 to 9.1.1 leaves a client that runs MOVE or COPY ... DB in the other database, and so the
// stream to its replicas, as soon as any module listens. There nobody listens: a command on such a pool tells
// where it is, and for one that nobody asks for, the timer looks through the keys.
#ifndef MOD_FIND_MOVED_H
#define MOD_FIND_MOVED_H

#include "redis_api.h"

int mod_find_moved_start(RedisModuleCtx *ctx); // REDISMODULE_OK or REDISMODULE_ERR
// Looks through some of the keys if there is a pool whose place isn't known and no notification would tell.
void mod_find_moved(RedisModuleCtx *ctx);

#endif
