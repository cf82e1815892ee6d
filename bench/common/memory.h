// SPDX-License-Identifier: Apache-2.0
// Memory, or the end: a bench program has no use for going on without.
#ifndef COMMON_MEMORY_H
#define COMMON_MEMORY_H

#include <stddef.h>

void *memory_take(size_t n, size_t width); // zeroed
// Grows an array of *room elements to at least need; doubles.
void *memory_grow(void *p, size_t *room, size_t need, size_t width);

#endif
