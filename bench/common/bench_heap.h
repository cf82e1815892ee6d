// SPDX-License-Identifier: Apache-2.0
// A binary heap in an array of whatever one likes; the first element comes before all others. Inline, so
// that size and order are known where it is used.
#ifndef BENCH_HEAP_H
#define BENCH_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef bool bench_heap_order(const void *a, const void *b); // whether a comes before b

static inline void bench_heap_up(char *heap, size_t i, size_t size, bench_heap_order *before,
                                 const void *x) {
    for (; i && before(x, heap + (i - 1) / 2 * size); i = (i - 1) / 2)
        memcpy(heap + i * size, heap + (i - 1) / 2 * size, size);
    memcpy(heap + i * size, x, size);
}

// Puts x into a heap of n elements, where there is room for one more.
static inline void bench_heap_put(void *heap, size_t n, size_t size, bench_heap_order *before,
                                  const void *x) {
    bench_heap_up(heap, n, size, before, x);
}

// Removes the i-th of n elements.
static inline void bench_heap_remove(void *heap, size_t n, size_t i, size_t size,
                                     bench_heap_order *before) {
    char *h = heap, *last = h + (n - 1) * size;
    if (i == --n) return;
    if (i && before(last, h + (i - 1) / 2 * size)) {
        bench_heap_up(h, i, size, before, last);
        return;
    }
    for (size_t c; (c = 2 * i + 1) < n; i = c) {
        if (c + 1 < n && before(h + (c + 1) * size, h + c * size)) c++;
        if (!before(h + c * size, last)) break;
        memcpy(h + i * size, h + c * size, size);
    }
    memcpy(h + i * size, last, size);
}

#endif
