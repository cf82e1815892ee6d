// SPDX-License-Identifier: Apache-2.0
// The one timer of the module: when it fires next.
#ifndef MOD_WAKEUP_H
#define MOD_WAKEUP_H

#include <stdint.h>

#include "redis_api.h"

// Has it call `fire` after so many ms, and forgets what was said before.
void mod_wakeup_after(RedisModuleCtx *ctx, int64_t ms, void (*fire)(RedisModuleCtx *ctx));
// There is something to do: if it is set, it is to fire at once.
void mod_wakeup_soon(RedisModuleCtx *ctx);

#endif
