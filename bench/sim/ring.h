// SPDX-License-Identifier: Apache-2.0
// Consistent hashing: each engine has points on a ring, and a key belongs to the engine of the first point
// at or after its hash.
#ifndef FLEET_RING_H
#define FLEET_RING_H

#include <stddef.h>
#include <stdint.h>

struct ring_point {
    uint64_t at;
    uint32_t worker;
};

struct ring {
    struct ring_point *points; // in order
    size_t n;
};

void ring_open(struct ring *r, uint32_t workers, uint32_t points); // points: of each
void ring_close(struct ring *r);
// The engine of the i-th point from the key's on, 0 <= i < r->n.
size_t ring_place(const struct ring *r, uint64_t key);
static inline uint32_t ring_worker(const struct ring *r, size_t place, size_t i) {
    return r->points[(place + i) % r->n].worker;
}

#endif
