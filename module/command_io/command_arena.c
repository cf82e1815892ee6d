// SPDX-License-Identifier: Apache-2.0
// Scratch memory that lives for one command.
#include <stdint.h>

#include "command_arena.h"
#include "module/keyspace/redis_api.h"

enum { ARENA_ALIGN = 16, ARENA_FIRST = 16 * 1024, ARENA_KEEP = 256 * 1024 };

struct mod_arena_chunk {
    _Alignas(ARENA_ALIGN) struct mod_arena_chunk *older;
    size_t size; // bytes that follow
};

static void *take_from_new_chunk(struct mod_arena *a, size_t size) {
    size_t room = a->chunks ? a->chunks->size : ARENA_FIRST / 2;
    room = room > ARENA_KEEP ? ARENA_KEEP : 2 * room;
    if (room < size) room = size;
    if (room > SIZE_MAX / 2) return NULL;
    struct mod_arena_chunk *c = RedisModule_TryAlloc(sizeof *c + room);
    if (!c) return NULL;
    c->older = a->chunks;
    c->size = room;
    a->chunks = c;
    char *start = (char *)(c + 1);
    a->at = start + size;
    a->end = start + room;
    return start;
}

void *mod_arena_array(struct mod_arena *a, size_t n, size_t width) {
    if (n > SIZE_MAX / 4 / width) return NULL;
    size_t size = n ? (n * width + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN : ARENA_ALIGN;
    if (size > (size_t)(a->end - a->at)) return take_from_new_chunk(a, size);
    void *p = a->at;
    a->at += size;
    return p;
}

void mod_arena_reset(struct mod_arena *a) {
    struct mod_arena_chunk *c = a->chunks;
    if (!c) return;
    struct mod_arena_chunk *keep = c->size <= ARENA_KEEP ? c : NULL;
    if (keep) c = c->older;
    while (c) {
        struct mod_arena_chunk *older = c->older;
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
