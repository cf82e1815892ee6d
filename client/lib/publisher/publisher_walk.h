// SPDX-License-Identifier: Apache-2.0
// What the stream is told: single ops, and whole subtrees.
//
// A walk goes depth first, parents before children, and takes a run of blocks that are held in the same
// tiers at once. It stops when a batch is full and goes on when there is room for another event; changes
// may come in between, so what it has entered and not left is marked open:
//
//     a ── b ── c ─┬─ d ── e          the walk is at f: it has told of a b c d e and of f, and has left
//                  └─ f ── g ...      d and e. Open: a b c f. To come: g and what is below it
//
//   step at a node                      what is done
//   1 not told of, placed               told, with the run below it; open; then down to its child
//   2 told of while it was ahead        nothing: all below it was told of with it; past it
//   3 not placed                        nothing; past it
//   4 coming back from below            not open any more; tiers in which only the stream has it (a ghost,
//                                       removed while the walk was below it) are taken back; past it
#ifndef KVR_PUBLISHER_PUBLISHER_WALK_H
#define KVR_PUBLISHER_PUBLISHER_WALK_H

#include "publisher_stream.h"

// Each does nothing unless RUNNING, and may end that state (no memory, or more than the ring takes).
// n: the first of these.
void kvr_publisher_say_stored(struct kvr_publisher *p, int tier, const struct kvr_held_node *n,
                              const uint64_t *hashes, size_t count);
void kvr_publisher_say_cleared(struct kvr_publisher *p, int tier);
// REMOVED from these tiers, and notes it.
void kvr_publisher_say_gone(struct kvr_publisher *p, struct kvr_held_node *n, unsigned tiers);
void kvr_publisher_walk_begin(struct kvr_publisher *p, struct kvr_publisher_walk *w, uint32_t root);
void kvr_publisher_walk_step(struct kvr_publisher *p, struct kvr_publisher_walk *w);
void kvr_publisher_walk_whole(struct kvr_publisher *p, uint32_t root); // all of a subtree at once
// Past `at` and what is below it.
void kvr_publisher_walk_past(struct kvr_publisher *p, struct kvr_publisher_walk *w);

#endif
