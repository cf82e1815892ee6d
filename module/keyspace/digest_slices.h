// SPDX-License-Identifier: Apache-2.0
// DIGEST of a large pool: its caller is blocked while the timer looks at the holdings in slices.
//
// Those who ask while it is under way get what comes out at its end: it is the digest of that moment, and they had
// asked before. Nothing of it is state: another server, or the same after a restart, knows nothing of them.
#ifndef MOD_DIGEST_SLICES_H
#define MOD_DIGEST_SLICES_H

#include "registry.h"

// How callers are answered. digest: NULL, the pool has gone.
typedef void mod_digest_answer(RedisModuleCtx *ctx, const uint8_t *digest);

// Blocks the client of the command that runs until the pool's digest is known. `answer` is the same each time.
void mod_digest_block(RedisModuleCtx *ctx, struct mod_value *v, mod_digest_answer *answer);
// Looks on for a while, and answers whom it can. Whether more is left.
bool mod_digest_slice(void);
bool mod_digest_waits(void); // whether somebody waits, also for that of a pool that has gone

#endif
