// SPDX-License-Identifier: Apache-2.0
// The caller's allocator, or malloc. Sizes need not be given back.
#ifndef KVR_COMMON_ALLOC_H
#define KVR_COMMON_ALLOC_H

#include <kvroute/types.h>

extern const struct kvr_alloc kvr_alloc_default; // the C library's

void *kvr_alloc_zeroed(const struct kvr_alloc *a, size_t size); // zeroed; NULL when out of memory
void *kvr_alloc_copy(const struct kvr_alloc *a, const void *bytes, size_t size);
void kvr_alloc_free(const struct kvr_alloc *a, void *p); // p may be NULL

// Grows *p, an array of elements of `width` bytes with room for *cap of them, to hold at least need.
// Doubles, so that appending is amortised. Returns 0, or -1 with everything as it was.
int kvr_alloc_grow(const struct kvr_alloc *a, void *p, size_t *cap, size_t need, size_t width);

#endif
