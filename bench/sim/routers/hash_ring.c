// SPDX-License-Identifier: Apache-2.0
// Consistent hashing; see hash_ring.h.
#include "hash_ring.h"

#include <stdlib.h>

#include "bench/common/bench_memory.h"
#include "client/common/random.h"

static int by_place(const void *left, const void *right) {
    const struct sim_ring_point *a = left, *b = right;
    if (a->at != b->at) return a->at < b->at ? -1 : 1;
    return a->worker < b->worker ? -1 : a->worker > b->worker;
}

void sim_ring_open(struct sim_ring *r, uint32_t workers, uint32_t points) {
    r->n = (size_t)workers * points;
    r->points = bench_calloc(r->n, sizeof *r->points);
    for (size_t i = 0; i < r->n; i++)
        r->points[i] = (struct sim_ring_point){kvr_random_mix(0x51 + i), (uint32_t)(i / points)};
    qsort(r->points, r->n, sizeof *r->points, by_place);
}

void sim_ring_close(struct sim_ring *r) {
    free(r->points);
    *r = (struct sim_ring){0};
}

size_t sim_ring_place(const struct sim_ring *r, uint64_t key) {
    size_t from = 0, to = r->n;
    while (from < to) {
        size_t mid = (from + to) / 2;
        if (r->points[mid].at < key)
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}
