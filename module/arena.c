// SPDX-License-Identifier: Apache-2.0
// Scratch memory that lives for one command.
#include <stdint.h>

#include "arena.h"
#include "redis.h"

enum { ALIGN = 16, FIRST = 16 * 1024, KEEP = 256 * 1024 };

struct arena_chunk {
    _Alignas(ALIGN) struct arena_chunk *older;
    size_t size; // bytes that follow
};

static void *take_from_new_chunk(struct arena *a, size_t size) {
    size_t room = a->chunks ? a->chunks->size : FIRST / 2;
    room = room > KEEP ? KEEP : 2 * room;
    if (room < size) room = size;
    if (room > SIZE_MAX / 2) return NULL;
    struct arena_chunk *c = RedisModule_TryAlloc(sizeof *c + room);
    if (!c) return NULL;
    c->older = a->chunks;
    c->size = room;
    a->chunks = c;
    char *start = (char *)(c + 1);
    a->at = start + size;
    a->end = start + room;
    return start;
}

void *arena_take(struct arena *a, size_t size) {
    if (size > SIZE_MAX / 4) return NULL;
    size = size ? (size + ALIGN - 1) / ALIGN * ALIGN : ALIGN;
    if (size > (size_t)(a->end - a->at)) return take_from_new_chunk(a, size);
    void *p = a->at;
    a->at += size;
    return p;
}

void *arena_array(struct arena *a, size_t n, size_t width) {
    if (n > SIZE_MAX / 4 / width) return NULL;
    return arena_take(a, n * width);
}

void arena_reset(struct arena *a) {
    struct arena_chunk *c = a->chunks;
    if (!c) return;
    struct arena_chunk *keep = c->size <= KEEP ? c : NULL;
    if (keep) c = c->older;
    while (c) {
        struct arena_chunk *older = c->older;
        RedisModule_Free(c);
        c = older;
    }
    a->chunks = keep;
    a->at = a->end = NULL;
    if (!keep) return;
    keep->older = NULL;
    a->at = (char *)(keep + 1);
    a->end = a->at + keep->size;
}
