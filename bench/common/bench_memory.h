// SPDX-License-Identifier: Apache-2.0
// Memory, or the end: a bench program has no use for going on without.
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

#include <stddef.h>

void *bench_calloc(size_t n, size_t width); // zeroed
// Grows an array of *room elements to at least need; doubles.
void *bench_grow(void *p, size_t *room, size_t need, size_t width);

#endif
