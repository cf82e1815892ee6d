// SPDX-License-Identifier: Apache-2.0
// The KV blocks of one rank; see mock_blocks.h.
#include "mock_blocks.h"

#include <assert.h>

#include "mock_memory.h"

enum { RING_END = 0 }; // node 0 closes the ring of free blocks: its next is taken first

struct block_node {
    uint64_t hash;
    uint32_t users, prev, next;
    uint32_t copy; // the next younger block of the same content, MOCK_NO_BLOCK at the end
    bool named;
};

struct mock_blocks {
    struct block_node *nodes; // 1..capacity
    uint32_t *table;          // by hash, linear probing: the oldest block of each content
    size_t mask;
    struct mock_blocks_count count;
};

static void link_before(struct mock_blocks *b, uint32_t at, uint32_t before) {
    struct block_node *x = &b->nodes[at];
    x->next = before;
    x->prev = b->nodes[before].prev;
    b->nodes[x->prev].next = at;
    b->nodes[before].prev = at;
}

static void unlink_free(struct mock_blocks *b, uint32_t at) {
    b->nodes[b->nodes[at].prev].next = b->nodes[at].next;
    b->nodes[b->nodes[at].next].prev = b->nodes[at].prev;
}

struct mock_blocks *mock_blocks_new(size_t capacity) {
    struct mock_blocks *b = mock_take(1, sizeof *b);
    size_t size = 16;
    while (size < capacity * 2)
        size *= 2;
    b->nodes = mock_take(capacity + 1, sizeof *b->nodes);
    b->table = mock_take(size, sizeof *b->table);
    b->mask = size - 1;
    b->count.capacity = capacity;
    for (size_t i = 1; i <= capacity; i++)
        link_before(b, (uint32_t)i, RING_END);
    return b;
}

void mock_blocks_free(struct mock_blocks *b) {
    if (!b) return;
    free(b->nodes);
    free(b->table);
    free(b);
}

struct mock_blocks_count mock_blocks_counts(const struct mock_blocks *b) {
    return b->count;
}

// ---- Finding -------------------------------------------------------------------------------------
// Prefix hashes are hashes already: their low bits choose the place.

static size_t place(const struct mock_blocks *b, uint64_t hash) {
    size_t i = hash & b->mask;
    while (b->table[i] && b->nodes[b->table[i]].hash != hash)
        i = (i + 1) & b->mask;
    return i;
}

uint32_t mock_blocks_find(const struct mock_blocks *b, uint64_t hash) {
    return b->table[place(b, hash)];
}

// Empties a place and moves up what had to be put behind it.
static void empty_place(struct mock_blocks *b, size_t i) {
    b->table[i] = MOCK_NO_BLOCK;
    for (size_t j = (i + 1) & b->mask; b->table[j]; j = (j + 1) & b->mask) {
        size_t home = b->nodes[b->table[j]].hash & b->mask;
        if (((j - home) & b->mask) < ((j - i) & b->mask)) continue;
        b->table[i] = b->table[j];
        b->table[j] = MOCK_NO_BLOCK;
        i = j;
    }
}

void mock_blocks_name(struct mock_blocks *b, uint32_t block, uint64_t hash) {
    struct block_node *x = &b->nodes[block];
    assert(!x->named);
    size_t i = place(b, hash);
    uint32_t *last = &b->table[i];
    while (*last)
        last = &b->nodes[*last].copy;
    *last = block;
    x->hash = hash;
    x->copy = MOCK_NO_BLOCK;
    x->named = true;
    b->count.cached++;
}

static void unname(struct mock_blocks *b, uint32_t block) {
    struct block_node *x = &b->nodes[block];
    size_t i = place(b, x->hash);
    uint32_t *at = &b->table[i];
    while (*at != block)
        at = &b->nodes[*at].copy;
    *at = x->copy;
    if (!b->table[i]) empty_place(b, i);
    x->named = false;
    b->count.cached--;
}

// ---- Using and letting go ------------------------------------------------------------------------

bool mock_blocks_idle(const struct mock_blocks *b, uint32_t block) {
    return !b->nodes[block].users;
}

void mock_blocks_use(struct mock_blocks *b, uint32_t block) {
    if (b->nodes[block].users++) return;
    unlink_free(b, block);
    b->count.used++;
}

bool mock_blocks_take(struct mock_blocks *b, uint32_t *block, uint64_t *evicted) {
    uint32_t at = *block = b->nodes[RING_END].next;
    assert(at != RING_END);
    bool had = b->nodes[at].named;
    *evicted = b->nodes[at].hash;
    if (had) unname(b, at);
    mock_blocks_use(b, at);
    return had;
}

void mock_blocks_leave(struct mock_blocks *b, uint32_t block) {
    struct block_node *x = &b->nodes[block];
    assert(x->users);
    if (--x->users) return;
    b->count.used--;
    link_before(b, block, x->named ? RING_END : b->nodes[RING_END].next);
}

void mock_blocks_clear(struct mock_blocks *b) {
    memset(b->table, 0, (b->mask + 1) * sizeof *b->table);
    for (size_t i = 1; i <= b->count.capacity; i++)
        b->nodes[i].named = false;
    b->count.cached = 0;
}

// ---- Looking -------------------------------------------------------------------------------------

static int ascending(const void *left, const void *right) {
    const uint64_t *a = left, *b = right;
    return *a < *b ? -1 : *a > *b;
}

size_t mock_blocks_list(const struct mock_blocks *b, uint64_t *out) {
    size_t n = 0;
    for (size_t i = 0; i <= b->mask; i++)
        if (b->table[i]) out[n++] = b->nodes[b->table[i]].hash;
    if (n) qsort(out, n, sizeof *out, ascending);
    return n;
}

const char *mock_blocks_validate(const struct mock_blocks *b) {
    size_t cached = 0, used = 0, idle = 0;
    for (size_t i = 0; i <= b->mask; i++) {
        if (b->table[i] && place(b, b->nodes[b->table[i]].hash) != i)
            return "a content is in the table twice, or can't be found";
        for (uint32_t at = b->table[i]; at; at = b->nodes[at].copy, cached++) {
            if (cached > b->count.capacity) return "copies go round in circles";
            if (!b->nodes[at].named || b->nodes[at].hash != b->nodes[b->table[i]].hash)
                return "a copy of something else";
        }
    }
    for (size_t i = 1; i <= b->count.capacity; i++)
        used += b->nodes[i].users > 0;
    for (uint32_t at = b->nodes[RING_END].next; at != RING_END; at = b->nodes[at].next, idle++) {
        if (idle > b->count.capacity) return "the free blocks go round in circles";
        if (b->nodes[at].users) return "free, and in use";
    }
    if (cached != b->count.cached || used != b->count.used) return "miscounted";
    if (used + idle != b->count.capacity) return "a block is lost";
    return NULL;
}
