// SPDX-License-Identifier: Apache-2.0
// Consistent hashing: each engine has points on a ring, and a key belongs to the engine of the first point
// at or after its hash.
#ifndef SIM_HASH_RING_H
#define SIM_HASH_RING_H

#include <stddef.h>
#include <stdint.h>

struct sim_ring_point {
    uint64_t at;
    uint32_t worker;
};

struct sim_ring {
    struct sim_ring_point *points; // in order
    size_t n;
};

void sim_ring_open(struct sim_ring *r, uint32_t workers, uint32_t points); // points: of each
void sim_ring_close(struct sim_ring *r);
// The engine of the i-th point from the key's on, 0 <= i < r->n.
size_t sim_ring_place(const struct sim_ring *r, uint64_t key);
static inline uint32_t sim_ring_worker(const struct sim_ring *r, size_t place, size_t i) {
    return r->points[(place + i) % r->n].worker;
}

#endif
