// SPDX-License-Identifier: Apache-2.0
// A swappable allocator that counts what it hands out.
//
// The core never calls malloc: every pool carries one of these, so the module can put Redis's
// allocator under it, a test can make any call fail, and memory_bytes is exact without asking the
// heap. Sizes are given back on free, which is what makes the count exact.
#ifndef CORE_MEM_H
#define CORE_MEM_H

#include <kvroute/types.h>
#include <stddef.h>

struct core_mem {
    struct kvr_alloc alloc;
    size_t used; // bytes asked for and not yet given back
};

void *core_mem_alloc(struct core_mem *m, size_t size);  // uninitialised; NULL when out of memory
void *core_mem_calloc(struct core_mem *m, size_t size); // zeroed; NULL when out of memory
void *core_mem_resize(struct core_mem *m, void *p, size_t old_size,
                      size_t size);                           // NULL: p as it was
void core_mem_free(struct core_mem *m, void *p, size_t size); // p may be NULL

// Grows *p, an array of elements of `width` bytes with room for *cap of them, to hold at least need.
// Doubles, so that appending is amortised. Returns 0, or -1 with everything as it was.
int core_mem_grow(struct core_mem *m, void *p, size_t *cap, size_t need, size_t width);

#endif
