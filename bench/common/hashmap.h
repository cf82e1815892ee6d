// SPDX-License-Identifier: Apache-2.0
// A map from 64-bit keys to numbers other than 0: one array, linear probing. For figures and simulations,
// whose keys nobody chooses; what comes from callers is for client/common's table, which is keyed.
#ifndef BENCH_HASHMAP_H
#define BENCH_HASHMAP_H

#include <stddef.h>
#include <stdint.h>

#include "client/common/random.h"

struct bench_map_slot {
    uint64_t key, value; // value 0: empty
};

struct bench_map { // all zero: empty
    struct bench_map_slot *slots;
    size_t mask, n;
};

uint64_t bench_map_get(const struct bench_map *m, uint64_t key); // 0: it isn't there
void bench_map_set(struct bench_map *m, uint64_t key, uint64_t value);
void bench_map_remove(struct bench_map *m, uint64_t key);
void bench_map_free(struct bench_map *m);

// Whoever looks up many keys in a row asks for the memory of one that comes later.
static inline void bench_map_prefetch(const struct bench_map *m, uint64_t key) {
    if (m->slots) __builtin_prefetch(&m->slots[kvr_random_mix(key) & m->mask]);
}

#endif
