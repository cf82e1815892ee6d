// SPDX-License-Identifier: Apache-2.0
// Events: how they are sent and answered, and when a new epoch begins.
//
// Up to KVR_EVENT_WINDOW events are under way. The first bad answer stops the sending; when all that was
// under way is answered, it is clear where the pool is, and the answer is acted upon:
//
//   answer to an event          what follows
//   OK, number = seq or more    acknowledged up to that number
//   OK, a number never sent     somebody else has used this epoch: a new one
//   GAP expected n              n and on are sent again, if the ring has them; else a new epoch
//   BADCHAIN                    publisher_refusal.h
//   NOPARENT                    a new epoch at once
//   STALE                       at first: a new epoch, above the pool's; after an OK: superseded
//   NOWORKER, NOPOOL, OOM       in 20 ms to 1 s once more, from the first that isn't acknowledged
//   anything else               the same in 50 ms to 5 s: only an operator can change it
//   CLOSED                      the handle is going: nothing any more
#ifndef KVR_PUBLISHER_PUBLISHER_SEND_H
#define KVR_PUBLISHER_PUBLISHER_SEND_H

#include "publisher_stream.h"

void kvr_publisher_arm(struct kvr_publisher *p); // sees to being woken
void kvr_publisher_history(struct kvr_follower *f);
void kvr_publisher_wake(struct kvr_follower *f, int64_t now);

#endif
