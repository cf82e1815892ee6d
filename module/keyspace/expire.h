// SPDX-License-Identifier: Apache-2.0
// Ending what time has ended: leases, workers past their grace, predictions.
//
// A primary does it, in small steps: before each write to a pool, so that commands see the truth to
// the millisecond, and from the timer. Each step is replicated as the command that has the same
// effect, one for each change of the pool's version, so replicas and the AOF need no clock.
#ifndef MOD_EXPIRE_H
#define MOD_EXPIRE_H

#include "registry.h"

struct mod_expire_limit {
    size_t requests, workers, predictions; // how many to end at most
    int64_t until;                         // mod_expire_clock() after which no further one is begun
};

int64_t mod_expire_clock(void); // monotonic, µs
bool mod_expire_any(struct mod_value *v, int64_t now);
// v lies at `name` in the context's database. Returns whether it has ended anything.
bool mod_expire(RedisModuleCtx *ctx, RedisModuleString *name, struct mod_value *v, int64_t now,
                const struct mod_expire_limit *limit);
// Whether this server decides, and may replicate, now. flags: RedisModule_GetContextFlags.
bool mod_expire_allowed(int flags);

#endif
