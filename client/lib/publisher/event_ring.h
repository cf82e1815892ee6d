// SPDX-License-Identifier: Apache-2.0
// The recent events of an epoch, in order: those that are to be sent, those under way, and as many of
// the acknowledged ones as there is room for, in case a failover has lost them.
//
// An event has no number of its own: it is the place that counts, `first` and on. So an event can be
// taken apart while it hasn't been applied, and those behind it are renumbered by that.
#ifndef KVR_PUBLISHER_EVENT_RING_H
#define KVR_PUBLISHER_EVENT_RING_H

#include <kvroute/types.h>
#include <stdbool.h>

#include "client/common/alloc.h"

struct kvr_ring_event {
    uint64_t *words; // ops, see event_ops.h; the ring's
    size_t n, room, blocks;
};

struct kvr_event_ring {
    const struct kvr_alloc *alloc;
    struct kvr_ring_event *events; // a circle of cap places, the oldest at `head`
    size_t cap, head, n;
    uint64_t first; // seq of the oldest
    size_t bytes;   // of all events
};

// Empty; the next event has seq 1.
void kvr_ring_init(struct kvr_event_ring *r, const struct kvr_alloc *a);
void kvr_ring_free(struct kvr_event_ring *r);
void kvr_ring_empty(struct kvr_event_ring *r); // as after ring_init; keeps the circle

static inline uint64_t
kvr_ring_made(const struct kvr_event_ring *r) { // seq of the newest; 0: none ever
    return r->first + r->n - 1;
}
// first <= seq <= made.
struct kvr_ring_event *kvr_ring_at(const struct kvr_event_ring *r, uint64_t seq);
// A new event of n words at `seq` (first <= seq <= made + 1); those from there on get the next numbers.
// The words, to be written; NULL: no memory.
uint64_t *kvr_ring_insert(struct kvr_event_ring *r, uint64_t seq, size_t n, size_t blocks);
// It has fewer words now.
void kvr_ring_shrink(struct kvr_event_ring *r, uint64_t seq, size_t n, size_t blocks);
// Lets go of the oldest up to acked while all take more than `limit`; the newest stays.
void kvr_ring_trim(struct kvr_event_ring *r, uint64_t acked, size_t limit);

#endif
