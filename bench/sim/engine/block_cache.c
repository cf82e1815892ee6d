// SPDX-License-Identifier: Apache-2.0
// Blocks and the order in which they were let go; see block_cache.h.
#include "block_cache.h"

#include <assert.h>
#include <stdlib.h>

#include "bench/common/bench_memory.h"

enum { BLOCK_ENDS = 0 };

void sim_blocks_open(struct sim_blocks *b, size_t capacity) {
    *b = (struct sim_blocks){
        .blocks = bench_calloc(capacity + 1, sizeof *b->blocks),
        .capacity = capacity,
        .unused = 1,
    };
}

void sim_blocks_close(struct sim_blocks *b) {
    free(b->blocks);
    bench_map_free(&b->map);
}

static void unlink_block(struct sim_blocks *b, uint32_t at) {
    struct sim_block *x = &b->blocks[at];
    b->blocks[x->prev].next = x->next;
    b->blocks[x->next].prev = x->prev;
}

static void link_newest(struct sim_blocks *b, uint32_t at) {
    struct sim_block *x = &b->blocks[at];
    x->prev = BLOCK_ENDS;
    x->next = b->blocks[BLOCK_ENDS].next;
    b->blocks[x->next].prev = at;
    b->blocks[BLOCK_ENDS].next = at;
}

uint32_t sim_blocks_add(struct sim_blocks *b, uint64_t hash, uint64_t parent, uint32_t depth) {
    uint32_t at = b->freed;
    if (at)
        b->freed = b->blocks[at].next;
    else
        at = b->unused++;
    assert(at <= b->capacity);
    b->blocks[at] = (struct sim_block){.hash = hash, .parent = parent, .depth = depth, .uses = 1};
    bench_map_set(&b->map, hash, at);
    b->used++;
    return at;
}

void sim_blocks_use(struct sim_blocks *b, uint32_t at) {
    if (b->blocks[at].uses++) return;
    unlink_block(b, at);
    b->used++;
}

void sim_blocks_leave(struct sim_blocks *b, uint32_t at) {
    assert(at && b->blocks[at].uses);
    if (--b->blocks[at].uses) return;
    link_newest(b, at);
    b->used--;
}

struct sim_block sim_blocks_remove_oldest(struct sim_blocks *b) {
    uint32_t at = b->blocks[BLOCK_ENDS].prev;
    assert(at != BLOCK_ENDS);
    struct sim_block x = b->blocks[at];
    unlink_block(b, at);
    bench_map_remove(&b->map, x.hash);
    b->blocks[at].next = b->freed;
    b->freed = at;
    return x;
}

bool sim_blocks_refresh(struct sim_blocks *b, uint64_t hash, uint64_t parent, uint32_t depth,
                        struct sim_block *evicted) {
    uint32_t at = sim_blocks_find(b, hash);
    bool added = !at;
    *evicted = (struct sim_block){0};
    if (added && sim_blocks_count(b) == b->capacity) {
        *evicted = sim_blocks_remove_oldest(b);
        evicted->uses = 1;
    }
    if (added)
        at = sim_blocks_add(b, hash, parent, depth);
    else
        sim_blocks_use(b, at);
    sim_blocks_leave(b, at);
    return added;
}

static int by_depth(const void *left, const void *right) {
    const struct sim_block *const *a = left, *const *b = right;
    if ((*a)->depth != (*b)->depth) return (*a)->depth < (*b)->depth ? -1 : 1;
    return (*a)->hash < (*b)->hash ? -1 : (*a)->hash > (*b)->hash;
}

void sim_blocks_each(const struct sim_blocks *b, void (*f)(void *, const struct sim_block *),
                     void *ctx) {
    const struct sim_block **all = bench_calloc(b->map.n, sizeof(struct sim_block *));
    size_t n = 0;
    for (size_t i = 0; b->map.slots && i <= b->map.mask; i++)
        if (b->map.slots[i].value) all[n++] = &b->blocks[b->map.slots[i].value];
    qsort(all, n, sizeof(struct sim_block *), by_depth);
    for (size_t i = 0; i < n; i++)
        f(ctx, all[i]);
    free(all);
}

const char *sim_blocks_validate(const struct sim_blocks *b) {
    size_t found = 0, used = 0, idle = 0;
    for (size_t i = 0; b->map.slots && i <= b->map.mask; i++) {
        const struct bench_map_slot *s = &b->map.slots[i];
        if (!s->value) continue;
        if (b->blocks[s->value].hash != s->key || sim_blocks_find(b, s->key) != s->value)
            return "a block is there twice, or can't be found";
        found++;
        used += b->blocks[s->value].uses > 0;
    }
    for (uint32_t at = b->blocks[BLOCK_ENDS].next; at != BLOCK_ENDS;
         at = b->blocks[at].next, idle++) {
        if (idle == found) return "the blocks in no use go round in circles";
        if (b->blocks[at].uses || sim_blocks_find(b, b->blocks[at].hash) != at)
            return "a block is in the order of those in no use, and isn't one";
    }
    if (found != b->map.n || used != b->used || idle != found - used)
        return "blocks are miscounted";
    return found > b->capacity ? "more blocks than fit" : NULL;
}
