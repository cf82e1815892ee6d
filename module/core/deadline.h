// SPDX-License-Identifier: Apache-2.0
// Deadlines in order: a binary heap of items that know their place in it. Of equal times the lower number
// comes first, so that the order doesn't hang on how the heap came about: two pools that had the same
// calls, one of them saved and loaded in between, let go in the same order.
#ifndef KVR_DEADLINE_H
#define KVR_DEADLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mem.h"

struct deadline {
    int64_t at;      // ms since the epoch
    uint64_t number; // the pool's booking count; the caller's, unchanged while it is in the heap
    size_t place;    // 1-based; 0: not in the heap
};

struct deadlines {
    struct mem *mem;
    struct deadline **heap;
    size_t n, cap;
};

void deadlines_free(struct deadlines *d);
int deadlines_reserve(struct deadlines *d);               // 0: deadlines_add of one item can't fail
int deadlines_reserve_all(struct deadlines *d, size_t n); // the same as long as there are at most n
void deadlines_add(struct deadlines *d, struct deadline *item, int64_t at);
void deadlines_move(struct deadlines *d, struct deadline *item, int64_t at);
void deadlines_remove(struct deadlines *d, struct deadline *item); // also one that isn't in it
struct deadline *deadlines_first(const struct deadlines *d);       // the earliest, NULL if none
const char *deadlines_validate(const struct deadlines *d);

#endif
