// SPDX-License-Identifier: Apache-2.0
// Deadlines in order: a binary heap of items that know their place in it.
#ifndef KVR_DEADLINE_H
#define KVR_DEADLINE_H

#include <stddef.h>
#include <stdint.h>

#include "mem.h"

struct deadline {
    int64_t at;   // ms since the epoch
    size_t place; // 1-based; 0: not in the heap
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
