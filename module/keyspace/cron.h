// SPDX-License-Identifier: Apache-2.0
// The timer: sweeps every pool and ends what is due, in slices.
#ifndef MOD_CRON_H
#define MOD_CRON_H

#include "redis_api.h"

void mod_cron_start(RedisModuleCtx *ctx);

#endif
