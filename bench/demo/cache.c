// SPDX-License-Identifier: Apache-2.0
// The block cache of one simulated engine; see cache.h.
#include "cache.h"

#include <assert.h>
#include <stdlib.h>

#include "bench/common/memory.h"
#include "bench/common/random.h"

enum { ENDS = 0 }; // node 0: newest is its next, oldest its prev

struct node {
    uint64_t hash, parent;
    uint32_t prev, next;
    bool has_parent;
};

struct cache {
    struct node *nodes; // 1..capacity
    uint32_t *table;    // by hash, linear probing; 0 empty
    size_t mask, capacity, used;
    uint32_t spare; // list of unused nodes, linked by next
};

struct cache *cache_new(size_t capacity) {
    struct cache *c = memory_take(1, sizeof *c);
    size_t size = 16;
    while (size < capacity * 2)
        size *= 2;
    *c = (struct cache){
        .nodes = memory_take(capacity + 1, sizeof *c->nodes),
        .table = memory_take(size, sizeof *c->table),
        .mask = size - 1,
        .capacity = capacity,
        .spare = 1,
    };
    for (size_t i = 1; i < capacity; i++)
        c->nodes[i].next = (uint32_t)i + 1;
    return c;
}

void cache_free(struct cache *c) {
    if (!c) return;
    free(c->nodes);
    free(c->table);
    free(c);
}

size_t cache_used(const struct cache *c) {
    return c->used;
}

// The place of the hash in the table, or the empty one where it would go.
static size_t place(const struct cache *c, uint64_t hash) {
    size_t i = random_mix(hash) & c->mask;
    while (c->table[i] && c->nodes[c->table[i]].hash != hash)
        i = (i + 1) & c->mask;
    return i;
}

static void unlink_node(struct cache *c, uint32_t at) {
    struct node *x = &c->nodes[at];
    c->nodes[x->prev].next = x->next;
    c->nodes[x->next].prev = x->prev;
}

static void link_after(struct cache *c, uint32_t before, uint32_t at) {
    struct node *x = &c->nodes[at];
    x->prev = before;
    x->next = c->nodes[before].next;
    c->nodes[x->next].prev = at;
    c->nodes[before].next = at;
}

// Empties a place and moves up what had to be put behind it.
static void empty_place(struct cache *c, size_t i) {
    c->table[i] = 0;
    for (size_t j = (i + 1) & c->mask; c->table[j]; j = (j + 1) & c->mask) {
        size_t home = random_mix(c->nodes[c->table[j]].hash) & c->mask;
        if (((j - home) & c->mask) < ((j - i) & c->mask)) continue;
        c->table[i] = c->table[j];
        c->table[j] = 0;
        i = j;
    }
}

size_t cache_use(struct cache *c, const uint64_t *hashes, size_t n) {
    uint32_t before = ENDS;
    size_t i = 0;
    for (; i < n; i++) {
        uint32_t at = c->table[place(c, hashes[i])];
        if (!at) break;
        unlink_node(c, at);
        link_after(c, before, at);
        before = at;
    }
    return i;
}

size_t cache_store(struct cache *c, const uint64_t *hashes, size_t *n, uint64_t *evicted,
                   size_t *n_evicted) {
    if (*n > c->capacity) *n = c->capacity;
    size_t had = cache_use(c, hashes, *n);
    uint32_t before = had ? c->table[place(c, hashes[had - 1])] : ENDS;
    *n_evicted = 0;
    // The blocks just used are at the other end, and with the new ones no more than the capacity.
    for (; c->used + (*n - had) > c->capacity; c->used--) {
        uint32_t at = c->nodes[ENDS].prev;
        evicted[(*n_evicted)++] = c->nodes[at].hash;
        empty_place(c, place(c, c->nodes[at].hash));
        unlink_node(c, at);
        c->nodes[at].next = c->spare;
        c->spare = at;
    }
    for (size_t i = had; i < *n; i++, c->used++) {
        uint32_t at = c->spare;
        c->spare = c->nodes[at].next;
        size_t to = place(c, hashes[i]);
        assert(at && !c->table[to]); // a block without its ancestors can't be here
        c->table[to] = at;
        c->nodes[at].hash = hashes[i];
        c->nodes[at].has_parent = i > 0;
        c->nodes[at].parent = i ? hashes[i - 1] : 0;
        link_after(c, before, at);
        before = at;
    }
    return had;
}

void cache_each(const struct cache *c, void (*f)(void *, uint64_t hash, const uint64_t *parent),
                void *ctx) {
    for (uint32_t at = c->nodes[ENDS].next; at != ENDS; at = c->nodes[at].next)
        f(ctx, c->nodes[at].hash, c->nodes[at].has_parent ? &c->nodes[at].parent : NULL);
}
