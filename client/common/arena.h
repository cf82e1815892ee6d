// SPDX-License-Identifier: Apache-2.0
// Memory that is given back all at once.
#ifndef KVR_COMMON_ARENA_H
#define KVR_COMMON_ARENA_H

#include "alloc.h"

struct kvr_arena_chunk;

struct kvr_arena {
    const struct kvr_alloc *alloc;
    struct kvr_arena_chunk *chunks; // the newest first
    size_t bytes;                   // taken since it was last empty
};

void kvr_arena_init(struct kvr_arena *a, const struct kvr_alloc *alloc);
void kvr_arena_free(struct kvr_arena *a);
// For any type, uninitialised; NULL: out of memory.
void *kvr_arena_take(struct kvr_arena *a, size_t n);
// Everything taken is gone. One chunk of ordinary size stays for the next round.
void kvr_arena_empty(struct kvr_arena *a);

#endif
