// SPDX-License-Identifier: Apache-2.0
// What is to happen, in order; see queue.h.
#include "queue.h"

#include <stdlib.h>

#include "bench/common/memory.h"

static bool before(const struct due *a, const struct due *b) {
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void queue_put(struct queue *q, double at, uint32_t kind, uint32_t a, uint32_t b, void *p) {
    q->heap = memory_grow(q->heap, &q->room, q->n + 1, sizeof *q->heap);
    struct due d = {at, q->planned++, kind, a, b, p};
    size_t i = q->n++;
    for (; i && before(&d, &q->heap[(i - 1) / 2]); i = (i - 1) / 2)
        q->heap[i] = q->heap[(i - 1) / 2];
    q->heap[i] = d;
}

bool queue_take(struct queue *q, struct due *out) {
    if (!q->n) return false;
    *out = q->heap[0];
    struct due last = q->heap[--q->n];
    size_t i = 0;
    for (size_t c; (c = 2 * i + 1) < q->n; i = c) {
        if (c + 1 < q->n && before(&q->heap[c + 1], &q->heap[c])) c++;
        if (!before(&q->heap[c], &last)) break;
        q->heap[i] = q->heap[c];
    }
    q->heap[i] = last;
    return true;
}

void queue_free(struct queue *q) {
    free(q->heap);
    *q = (struct queue){0};
}
