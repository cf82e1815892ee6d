// SPDX-License-Identifier: Apache-2.0
// The timer: sweeps every pool, ends what is due and admits who waits, in slices.
#ifndef MOD_CRON_H
#define MOD_CRON_H

#include "redis_api.h"

// Runs it while there are pools. REDISMODULE_OK or REDISMODULE_ERR.
int mod_cron_start(RedisModuleCtx *ctx);

#endif
