// SPDX-License-Identifier: Apache-2.0
// The block cache of one simulated engine: prefix hashes, least recently used leaves go first.
//
//   newest ⇄ [a0] ⇄ [a1] ⇄ [a2] ⇄ [b0] ⇄ [b1] ⇄ … ⇄ oldest
//
// Using a sequence puts its blocks in front, first block first. A block is so never older than one
// that follows it in a sequence, and the oldest of all is always a leaf: evicting from the end keeps
// the ancestors of every cached block cached. Blocks of running requests aren't pinned; a capacity
// far above what runs at a time makes that a distinction without a difference.
#ifndef DEMO_CACHE_H
#define DEMO_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cache;

struct cache *cache_new(size_t capacity); // blocks, >= 1
void cache_free(struct cache *c);
size_t cache_used(const struct cache *c);
// How many of the first blocks are cached; they are used now.
size_t cache_use(struct cache *c, const uint64_t *hashes, size_t n);
// Caches the first *n blocks (or as many as there is room for: *n is lowered) and uses them. What had
// to go is written to evicted, with room for n. Returns how many were there before.
size_t cache_store(struct cache *c, const uint64_t *hashes, size_t *n, uint64_t *evicted,
                   size_t *n_evicted);
// Calls f for each block, ancestors first; parent is NULL at the start of a sequence. A block that
// follows the one before in the call order is given right after it where possible.
void cache_each(const struct cache *c, void (*f)(void *, uint64_t hash, const uint64_t *parent),
                void *ctx);

#endif
