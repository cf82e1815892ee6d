// SPDX-License-Identifier: Apache-2.0
// Random numbers that are the same everywhere for the same state (splitmix64, Steele et al. 2014; each
// state goes through all of them once). For ids, jitter and tests, never for secrets.
#ifndef KVR_COMMON_RANDOM_H
#define KVR_COMMON_RANDOM_H

#include <stdint.h>

static inline uint64_t kvr_random_mix(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static inline uint64_t kvr_random(uint64_t *state) {
    return kvr_random_mix(*state += 0x9e3779b97f4a7c15u);
}

// Uniform in [0, 1).
static inline double kvr_random_unit(uint64_t *state) {
    return (double)(kvr_random(state) >> 11) * 0x1p-53;
}

#endif
