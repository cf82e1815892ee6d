// SPDX-License-Identifier: Apache-2.0
// What is to happen, in order; see event_queue.h.
#include "event_queue.h"

#include <stdlib.h>

#include "bench/common/bench_heap.h"
#include "bench/common/bench_memory.h"

static bool before(const void *left, const void *right) {
    const struct sim_event *a = left, *b = right;
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void sim_queue_put(struct sim_queue *q, double at, sim_event_call *call, void *self, uint32_t a,
                   uint32_t b) {
    q->heap = bench_grow(q->heap, &q->room, q->n + 1, sizeof *q->heap);
    struct sim_event d = {at, q->planned++, call, self, a, b};
    bench_heap_put(q->heap, q->n++, sizeof d, before, &d);
}

bool sim_queue_take(struct sim_queue *q, struct sim_event *out) {
    if (!q->n) return false;
    *out = q->heap[0];
    bench_heap_remove(q->heap, q->n--, 0, sizeof *out, before);
    return true;
}

void sim_queue_free(struct sim_queue *q) {
    free(q->heap);
    *q = (struct sim_queue){0};
}
