// SPDX-License-Identifier: Apache-2.0
// Admission: booking those who wait as soon as an instance has room for them.
//
// A primary does it, in the command that makes room and in the timer. Each admission is replicated, told to
// the channel that its owner named, and answered to the callers that are blocked on it.
#ifndef MOD_ADMISSION_H
#define MOD_ADMISSION_H

#include "registry.h"

// Admits while there is somebody to admit and *looks are left, which are counted down. v lies at `name` in the
// context's database; mod_expire_allowed. asking: the id whose owner waits for an answer of the command that
// runs, may be empty. Returns how many.
size_t mod_admit(RedisModuleCtx *ctx, RedisModuleString *name, struct mod_value *v, int64_t now,
                 size_t *looks, struct kvr_bytes asking);
// Channels that begin with `__` are the server's own: what a Sentinel hears there, it believes.
bool mod_channel_reserved(struct kvr_bytes channel);
// Uniform in [0, 1), with all 53 bits of a double.
double mod_random_fraction(void);

#endif
