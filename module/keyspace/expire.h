// SPDX-License-Identifier: Apache-2.0
// Expiry: ending what time has ended, which are leases, sessions, predictions, the patience of those who wait, and
// workers past their grace; and requests whose callers have gone.
//
// A primary does it, in small steps: before each write to a pool, so that commands see the truth to
// the millisecond, and from the timer. Each step is replicated as the command that has the same
// effect, one for each change of the pool's version, so replicas and the AOF need no clock.
#ifndef MOD_EXPIRE_H
#define MOD_EXPIRE_H

#include "registry.h"

bool mod_expire_any(struct mod_value *v, int64_t now);
// Ends what is due, of each kind something, until it is mod_server_steady() `until`. v lies at `name` in the
// context's database. Returns whether it has ended anything.
bool mod_expire(RedisModuleCtx *ctx, RedisModuleString *name, struct mod_value *v, int64_t now,
                int64_t until);
// Whether this server decides, and may replicate, now. flags: RedisModule_GetContextFlags.
bool mod_expire_allowed(int flags);

#endif
