// SPDX-License-Identifier: Apache-2.0
// Putting back what the present history lacks. Blocks aren't among it: each publisher sends its own again
// (publisher/publisher_send.h).
//
// Everything that waits is looked at, up to KVR_MAX_CHECKS at a time:
//   a worker     what was said of it is said again;
//   a release    is sent again; while an ACL forbids it, it is retried with pauses;
//   a request    is asked for (REQUEST GET), and told its progress (UPDATE), or that its owner has come for
//                what was admitted out of the queue. Where the pool has it on
//                the instance that its caller was told, it is confirmed. Where it has none, CLAIM
//                books it back; where it has another, RELEASE and CLAIM set that right.
// A request that was chosen without a primary may have been booked elsewhere by a SELECT that came
// through late: RELEASE and CLAIM at once, and again if the CLAIM finds it live.
//
// None of these commands is an operation: when the connection breaks, what was being checked goes back to
// waiting and is checked again with the next primary.
#ifndef KVR_RECOVERY_REPAIR_H
#define KVR_RECOVERY_REPAIR_H

#include "recovery.h"

enum { KVR_MAX_CHECKS = 64 };

// From the tick, while there is a primary.
void kvr_repair_step(struct kvr_recovery *r, int64_t now);
void kvr_repair_create_pool(struct kvr_recovery *r);

#endif
