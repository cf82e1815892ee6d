// SPDX-License-Identifier: Apache-2.0
// The prompts that everybody in a scenario shares: chains of blocks that begin alike and part later.
//
// CHAINS chains of CHAIN_BLOCKS blocks; FAMILY of them have their first SHARED blocks in common. All
// processes compute the same hashes, so a block goes between them as its number.
#ifndef HA_UNIVERSE_H
#define HA_UNIVERSE_H

#include <stddef.h>
#include <stdint.h>

enum {
    CHAINS = 32,
    FAMILY = 4,
    SHARED = 8,
    CHAIN_BLOCKS = 24,
    OWN = CHAIN_BLOCKS - SHARED,
    BLOCKS = CHAINS / FAMILY * SHARED + CHAINS * OWN, // distinct
    BLOCK_SIZE = 16,
};

void universe_chain(size_t chain, uint64_t hashes[CHAIN_BLOCKS]);
size_t universe_block(size_t chain, size_t at); // its number
uint64_t universe_hash(size_t block);
size_t universe_find(uint64_t hash); // BLOCKS: no block of ours

struct rng {
    uint64_t state;
};
uint64_t rng_next(struct rng *r);
size_t rng_below(struct rng *r, size_t n); // 0..n-1

#endif
