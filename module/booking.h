// SPDX-License-Identifier: Apache-2.0
// A booking as a command: KVROUTE.CLAIM with absolute times, the effect of SELECT and of CLAIM.
#ifndef KVR_BOOKING_H
#define KVR_BOOKING_H

#include "blocks.h"
#include "call.h"

// Makes the words that every effect repeats; call once at load.
void booking_start(void);
// Replicates `b`, booked for `id` on (worker, rank). list: as the blocks came. b->lease is not -1.
void booking_replicate(struct call *c, RedisModuleString *id, struct kvr_bytes worker,
                       uint32_t rank, const struct kvr_booking *b, const struct block_list *list);

#endif
