// SPDX-License-Identifier: Apache-2.0
// See universe.h. Any u64 is a valid prefix hash as long as a block has one parent only, so numbers
// are scrambled and nothing is hashed; the scrambling can be undone.
#include "universe.h"

static const uint64_t odd = 0x9e3779b97f4a7c15u;

// The inverse of an odd factor modulo 2^64, by Newton's iteration.
static uint64_t inverse(uint64_t factor) {
    uint64_t x = factor;
    for (int i = 0; i < 6; i++)
        x *= 2 - factor * x;
    return x;
}

size_t universe_block(size_t chain, size_t at) {
    if (at < SHARED) return chain / FAMILY * SHARED + at;
    return CHAINS / FAMILY * SHARED + chain * OWN + at - SHARED;
}

uint64_t universe_hash(size_t block) {
    return (block + 1) * odd;
}

size_t universe_find(uint64_t hash) {
    uint64_t block = hash * inverse(odd) - 1;
    return block < BLOCKS ? (size_t)block : BLOCKS;
}

void universe_chain(size_t chain, uint64_t hashes[CHAIN_BLOCKS]) {
    for (size_t i = 0; i < CHAIN_BLOCKS; i++)
        hashes[i] = universe_hash(universe_block(chain, i));
}

uint64_t rng_next(struct rng *r) {
    uint64_t x = r->state += odd;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

size_t rng_below(struct rng *r, size_t n) {
    return (size_t)((rng_next(r) >> 11) % n);
}
