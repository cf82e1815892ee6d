// SPDX-License-Identifier: Apache-2.0
// See ha_blocks.h. Any u64 is a valid prefix hash as long as a block has one parent only, so numbers
// are scrambled and nothing is hashed; the scrambling can be undone.
#include "ha_blocks.h"

#include "client/common/random.h"

static const uint64_t odd = 0x9e3779b97f4a7c15u;

// The inverse of an odd factor modulo 2^64, by Newton's iteration.
static uint64_t inverse(uint64_t factor) {
    uint64_t x = factor;
    for (int i = 0; i < 6; i++)
        x *= 2 - factor * x;
    return x;
}

size_t ha_block(size_t chain, size_t at) {
    if (at < HA_SHARED) return chain / HA_FAMILY * HA_SHARED + at;
    return HA_CHAINS / HA_FAMILY * HA_SHARED + chain * HA_OWN + at - HA_SHARED;
}

uint64_t ha_block_hash(size_t block) {
    return (block + 1) * odd;
}

size_t ha_block_find(uint64_t hash) {
    uint64_t block = hash * inverse(odd) - 1;
    return block < HA_BLOCKS ? (size_t)block : HA_BLOCKS;
}

void ha_chain(size_t chain, uint64_t hashes[HA_CHAIN_BLOCKS]) {
    for (size_t i = 0; i < HA_CHAIN_BLOCKS; i++)
        hashes[i] = ha_block_hash(ha_block(chain, i));
}

size_t ha_random_below(uint64_t *state, size_t n) {
    return (size_t)((kvr_random(state) >> 11) % n);
}
