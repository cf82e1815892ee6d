// SPDX-License-Identifier: Apache-2.0
#include "deadline.h"

void core_deadlines_free(struct core_deadlines *d) {
    core_mem_free(d->mem, d->heap, d->cap * sizeof *d->heap);
    *d = (struct core_deadlines){.mem = d->mem};
}

int core_deadlines_reserve(struct core_deadlines *d) {
    return core_deadlines_reserve_all(d, d->n + 1);
}

int core_deadlines_reserve_all(struct core_deadlines *d, size_t n) {
    return core_mem_grow(d->mem, &d->heap, &d->cap, n, sizeof *d->heap);
}

static void put(struct core_deadlines *d, size_t i, struct core_deadline *item) {
    d->heap[i] = item;
    item->place = i + 1;
}

static bool before(const struct core_deadline *a, const struct core_deadline *b) {
    return a->at != b->at ? a->at < b->at : a->number < b->number;
}

// Moves the item from place i to where it belongs below.
static void sink(struct core_deadlines *d, size_t i, struct core_deadline *item) {
    for (size_t child; (child = 2 * i + 1) < d->n; i = child) {
        if (child + 1 < d->n && before(d->heap[child + 1], d->heap[child])) child++;
        if (!before(d->heap[child], item)) break;
        put(d, i, d->heap[child]);
    }
    put(d, i, item);
}

// The same, above or below.
static void sift(struct core_deadlines *d, size_t i, struct core_deadline *item) {
    for (; i > 0 && before(item, d->heap[(i - 1) / 2]); i = (i - 1) / 2)
        put(d, i, d->heap[(i - 1) / 2]);
    sink(d, i, item);
}

void core_deadlines_add(struct core_deadlines *d, struct core_deadline *item, int64_t at) {
    item->at = at;
    d->n++;
    sift(d, d->n - 1, item);
}

void core_deadlines_move(struct core_deadlines *d, struct core_deadline *item, int64_t at) {
    item->at = at;
    sift(d, item->place - 1, item);
}

void core_deadlines_remove(struct core_deadlines *d, struct core_deadline *item) {
    if (!item->place) return;
    size_t i = item->place - 1;
    struct core_deadline *last = d->heap[--d->n];
    item->place = 0;
    if (last != item) sift(d, i, last);
}

void core_deadlines_reorder(struct core_deadlines *d) {
    // From the last that has a child: below each all is in order already.
    for (size_t i = d->n / 2; i-- > 0;)
        sink(d, i, d->heap[i]);
}

struct core_deadline *core_deadlines_first(const struct core_deadlines *d) {
    return d->n ? d->heap[0] : NULL;
}

const char *core_deadlines_validate(const struct core_deadlines *d) {
    for (size_t i = 0; i < d->n; i++) {
        if (d->heap[i]->place != i + 1) return "deadlines: an item doesn't know its place";
        if (i && before(d->heap[i], d->heap[(i - 1) / 2])) return "deadlines: out of order";
    }
    return NULL;
}
