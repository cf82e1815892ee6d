// SPDX-License-Identifier: Apache-2.0
// Room: what an instance may have to do at once, and how fast it comes free.
//
// An instance has room for a request of n blocks, of a class that may use `room` percent of the limits, while
//   requests       < room · MAXREQUESTS         its worker's own before the pool's
//   prefill_tokens < room · MAXPREFILL
//   decode_blocks + n − live prefix ≤ room · MAXBLOCKS · CAPACITY
// A limit of 0, or a capacity that nobody knows, is none. One without live requests has room for any.
#ifndef CORE_ROOM_H
#define CORE_ROOM_H

#include "pool_state.h"

// Whether anything is limited at all.
bool core_room_limited(const struct kvr_pool *p);
// What the columns hold; infinite: no limit.
double core_room_requests(const struct kvr_pool *p, const struct core_worker *w);
double core_room_blocks(const struct kvr_pool *p, const struct core_worker *w); // hundredths

// By what is counted alone, blocks left aside.
bool core_room_counted(const struct kvr_pool *p, uint32_t instance, double percent);
// The same, and for the n blocks of a request of which `live` are live there from the start.
bool core_room_for(const struct kvr_pool *p, uint32_t instance, double percent, uint64_t n,
                   uint64_t live);
// Whether any instance that may get requests has room by what is counted.
bool core_room_anywhere(const struct kvr_pool *p, int64_t now, double percent);
// Makes the cost infinite of all that have no room for a request of n blocks, whose live prefixes are in the
// columns. blocks: MAXBLOCKS counts as well.
void core_room_mask(struct kvr_pool *p, double percent, uint64_t n, bool blocks);

// How fast room comes is learnt while an instance is busy, which is from half of a limit on: from its requests' ends,
// or, where only queued prompts are limited, from prompts that are through. `at`: 0, nobody knows when.
// A request has ended there, or its prompt (computed) has been computed or given up.
void core_room_came(struct kvr_pool *p, uint32_t instance, int64_t at, bool ended, bool computed);
// Its load has changed; the last of what is called for a change.
void core_room_track(struct kvr_pool *p, uint32_t instance, int64_t at);
bool core_room_good(struct core_ratio learnt); // whether it can have been learnt
// Milliseconds until room has come n times; -1 while nothing is known.
double core_room_time(const struct kvr_pool *p, uint64_t n);

#endif
