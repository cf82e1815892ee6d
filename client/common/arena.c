// SPDX-License-Identifier: Apache-2.0
#include "arena.h"

struct kvr_arena_chunk {
    struct kvr_arena_chunk *next;
    size_t used, size;
    _Alignas(max_align_t) char bytes[];
};

enum { CHUNK = 4096, KEEP = 16 * CHUNK };

void kvr_arena_init(struct kvr_arena *a, const struct kvr_alloc *alloc) {
    *a = (struct kvr_arena){.alloc = alloc};
}

static void pop(struct kvr_arena *a) {
    struct kvr_arena_chunk *next = a->chunks->next;
    kvr_alloc_free(a->alloc, a->chunks);
    a->chunks = next;
}

void kvr_arena_free(struct kvr_arena *a) {
    while (a->chunks)
        pop(a);
    a->bytes = 0;
}

void *kvr_arena_take(struct kvr_arena *a, size_t n) {
    if (n > SIZE_MAX / 4) return NULL;
    n = (n + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    struct kvr_arena_chunk *c = a->chunks;
    if (!c || c->size - c->used < n) {
        size_t size = n > CHUNK / 4 ? n + CHUNK : CHUNK;
        c = a->alloc->resize(a->alloc->ctx, NULL, sizeof *c + size);
        if (!c) return NULL;
        c->used = 0;
        c->size = size;
        c->next = a->chunks;
        a->chunks = c;
    }
    void *at = c->bytes + c->used;
    c->used += n;
    a->bytes += n;
    return at;
}

void kvr_arena_empty(struct kvr_arena *a) {
    while (a->chunks && (a->chunks->next || a->chunks->size > KEEP))
        pop(a);
    if (a->chunks) a->chunks->used = 0;
    a->bytes = 0;
}
