// SPDX-License-Identifier: Apache-2.0
// The timer: sweeps every pool and ends what is due, in slices.
#ifndef KVR_CRON_H
#define KVR_CRON_H

#include "redis.h"

void cron_start(RedisModuleCtx *ctx);

#endif
