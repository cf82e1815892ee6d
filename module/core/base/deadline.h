// SPDX-License-Identifier: Apache-2.0
// Deadlines in order: a binary heap of items that know their place in it. Of equal times the lower number
// comes first, so that the order of expiry doesn't depend on the order of insertion: a pool that was saved
// and loaded expires its items in the same order as the original.
#ifndef CORE_DEADLINE_H
#define CORE_DEADLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mem.h"

struct core_deadline {
    int64_t at;      // ms since the epoch
    uint64_t number; // the pool's booking count; the caller's, unchanged while it is in the heap
    size_t place;    // 1-based; 0: not in the heap
};

struct core_deadlines {
    struct core_mem *mem;
    struct core_deadline **heap;
    size_t n, cap;
};

void core_deadlines_free(struct core_deadlines *d);
// 0: core_deadlines_add of one item can't fail.
int core_deadlines_reserve(struct core_deadlines *d);
int core_deadlines_reserve_all(struct core_deadlines *d,
                               size_t n); // the same as long as there are at most n
void core_deadlines_add(struct core_deadlines *d, struct core_deadline *item, int64_t at);
void core_deadlines_move(struct core_deadlines *d, struct core_deadline *item, int64_t at);
void core_deadlines_remove(struct core_deadlines *d,
                           struct core_deadline *item); // also one that isn't in it
// Puts all in order after their `at` has been changed. O(n).
void core_deadlines_reorder(struct core_deadlines *d);
struct core_deadline *
core_deadlines_first(const struct core_deadlines *d); // the earliest, NULL if none
const char *core_deadlines_validate(const struct core_deadlines *d);

#endif
