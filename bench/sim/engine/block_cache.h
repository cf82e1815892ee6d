// SPDX-License-Identifier: Apache-2.0
// Blocks by their hashes, with the order in which those that nobody uses were let go:
//
//   newest ⇄ [a0] ⇄ [a1] ⇄ [a2] ⇄ [b0] ⇄ [b1] ⇄ … ⇄ oldest
//
// A block is in use while its count of uses isn't 0, and then it is not in that order. The engine's cache,
// its second tier, and lists of what was sent to an engine are each one of these.
#ifndef SIM_BLOCK_CACHE_H
#define SIM_BLOCK_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/common/hashmap.h"

struct sim_block {
    uint64_t hash, parent; // parent is meaningless at depth 0
    uint32_t depth, uses;
    uint32_t prev, next; // of those in no use; free entries are linked by next
};

struct sim_blocks {
    struct sim_block *blocks; // 1..capacity; the newest is the next of entry 0, the oldest its prev
    struct bench_map map;     // their places, by hash
    size_t capacity, used;    // used: how many are in use
    uint32_t freed;           // list of entries that are free again
    uint32_t unused;          // the first that never was used: large caches cost what is in them
};

void sim_blocks_open(struct sim_blocks *b, size_t capacity);
void sim_blocks_close(struct sim_blocks *b);
static inline size_t sim_blocks_count(const struct sim_blocks *b) {
    return b->map.n;
}
static inline uint32_t sim_blocks_find(const struct sim_blocks *b,
                                       uint64_t hash) { // 0: it isn't there
    return (uint32_t)bench_map_get(&b->map, hash);
}
// Adds a block that isn't there, in use once. There must be room.
uint32_t sim_blocks_add(struct sim_blocks *b, uint64_t hash, uint64_t parent, uint32_t depth);
void sim_blocks_use(struct sim_blocks *b, uint32_t at);
void sim_blocks_leave(struct sim_blocks *b, uint32_t at); // after its last use it is the newest
// Removes the oldest of those in no use, of which there must be one.
struct sim_block sim_blocks_remove_oldest(struct sim_blocks *b);
// Makes a block that nobody uses the newest. It is added if it isn't there, and *evicted has then what had to
// go for it (hash and all; its `uses` is 1 if there was any). Returns whether it was added.
bool sim_blocks_refresh(struct sim_blocks *b, uint64_t hash, uint64_t parent, uint32_t depth,
                        struct sim_block *evicted);
// All blocks, ancestors first.
void sim_blocks_each(const struct sim_blocks *b, void (*f)(void *, const struct sim_block *),
                     void *ctx);
const char *sim_blocks_validate(const struct sim_blocks *b); // NULL, or what is wrong

// Whoever walks over the blocks of a long prompt would wait for memory at each: gets those of a few blocks
// later on the way, their places in the map first, then the blocks. i: where the walk is.
static inline void sim_blocks_prefetch(const struct sim_blocks *b, const uint64_t *hashes, size_t i,
                                       size_t n) {
    if (i + 16 < n) bench_map_prefetch(&b->map, hashes[i + 16]);
    if (i + 8 < n) __builtin_prefetch(&b->blocks[sim_blocks_find(b, hashes[i + 8])]);
}

#endif
