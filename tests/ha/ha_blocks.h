// SPDX-License-Identifier: Apache-2.0
// The prompts that everybody in a scenario shares: chains of blocks that begin alike and part later.
//
// HA_CHAINS chains of HA_CHAIN_BLOCKS blocks; HA_FAMILY of them have their first HA_SHARED blocks in common. All
// processes compute the same hashes, so a block goes between them as its number.
#ifndef HA_BLOCKS_H
#define HA_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

enum {
    HA_CHAINS = 32,
    HA_FAMILY = 4,
    HA_SHARED = 8,
    HA_CHAIN_BLOCKS = 24,
    HA_OWN = HA_CHAIN_BLOCKS - HA_SHARED,
    HA_BLOCKS = HA_CHAINS / HA_FAMILY * HA_SHARED + HA_CHAINS * HA_OWN, // distinct
    HA_BLOCK_SIZE = 16,
};

void ha_chain(size_t chain, uint64_t hashes[HA_CHAIN_BLOCKS]);
size_t ha_block(size_t chain, size_t at); // its number
uint64_t ha_block_hash(size_t block);
size_t ha_block_find(uint64_t hash); // HA_BLOCKS: no block of ours

size_t ha_random_below(uint64_t *state, size_t n); // 0..n-1

#endif
