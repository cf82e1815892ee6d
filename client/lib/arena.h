// SPDX-License-Identifier: Apache-2.0
// Memory that is given back all at once.
#ifndef KVR_LIB_ARENA_H
#define KVR_LIB_ARENA_H

#include "mem.h"

struct arena_chunk;

struct arena {
    const struct kvr_alloc *alloc;
    struct arena_chunk *chunks; // the newest first
    size_t bytes;               // taken since it was last empty
};

void arena_init(struct arena *a, const struct kvr_alloc *alloc);
void arena_free(struct arena *a);
void *arena_take(struct arena *a, size_t n); // for any type, uninitialised; NULL: out of memory
// Everything taken is gone. One chunk of ordinary size stays for the next round.
void arena_empty(struct arena *a);

#endif
