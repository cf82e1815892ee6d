// SPDX-License-Identifier: Apache-2.0
// The caller's allocator, or malloc. Sizes need not be given back.
#ifndef KVR_LIB_MEM_H
#define KVR_LIB_MEM_H

#include <kvroute/types.h>

extern const struct kvr_alloc mem_malloc; // the C library's

void *mem_take(const struct kvr_alloc *a, size_t size); // zeroed; NULL when out of memory
void *mem_copy(const struct kvr_alloc *a, const void *bytes, size_t size);
void mem_give(const struct kvr_alloc *a, void *p); // p may be NULL

// Grows *p, an array of elements of `width` bytes with room for *cap of them, to hold at least need.
// Doubles, so that appending is amortised. Returns 0, or -1 with everything as it was.
int mem_grow(const struct kvr_alloc *a, void *p, size_t *cap, size_t need, size_t width);

#endif
