// SPDX-License-Identifier: Apache-2.0
// A small generator that gives the same numbers everywhere (splitmix64).
#ifndef COMMON_RANDOM_H
#define COMMON_RANDOM_H

#include <stdint.h>

static inline uint64_t random_mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}
static inline uint64_t random_next(uint64_t *state) {
    return random_mix(*state += 0x9e3779b97f4a7c15u);
}
// Uniform in [0, 1).
static inline double random_unit(uint64_t *state) {
    return (double)(random_next(state) >> 11) * 0x1p-53;
}

#endif
