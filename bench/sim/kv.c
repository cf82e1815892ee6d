// SPDX-License-Identifier: Apache-2.0
// The KV blocks of one engine; see kv.h.
#include "kv.h"

#include <assert.h>
#include <stdlib.h>

#include "bench/common/memory.h"
#include "bench/common/random.h"

enum { ENDS = 0 }; // node 0: the newest is its next, the oldest its prev

struct node {
    uint64_t hash, parent; // parent is meaningless at depth 0
    uint32_t depth, uses;
    uint32_t prev, next; // idle ones only; spare ones are linked by next
};

struct kv {
    struct node *nodes; // 1..capacity
    uint32_t *table;    // by hash, linear probing; 0 empty
    size_t mask;
    struct kv_count count;
    struct host *host; // where evicted blocks go; NULL: nowhere
    uint32_t spare;    // list of nodes that are free again
    uint32_t fresh;    // the first of those that never were used: large caches cost what is in them
};

struct kv *kv_new(size_t capacity) {
    struct kv *k = memory_take(1, sizeof *k);
    size_t size = 16;
    while (size < capacity * 2)
        size *= 2;
    *k = (struct kv){
        .nodes = memory_take(capacity + 1, sizeof *k->nodes),
        .table = memory_take(size, sizeof *k->table),
        .mask = size - 1,
        .count.capacity = capacity,
        .fresh = 1,
    };
    return k;
}

void kv_free(struct kv *k) {
    if (!k) return;
    free(k->nodes);
    free(k->table);
    free(k);
}

void kv_spill(struct kv *k, struct host *host) {
    k->host = host;
}

struct kv_count kv_count(const struct kv *k) {
    return k->count;
}

// ---- Finding -------------------------------------------------------------------------------------

// The place of the hash in the table, or the empty one where it would go.
static size_t place(const struct kv *k, uint64_t hash) {
    size_t i = random_mix(hash) & k->mask;
    while (k->table[i] && k->nodes[k->table[i]].hash != hash)
        i = (i + 1) & k->mask;
    return i;
}

static uint32_t find(const struct kv *k, uint64_t hash) {
    return k->table[place(k, hash)];
}

// Empties a place and moves up what had to be put behind it.
static void empty_place(struct kv *k, size_t i) {
    k->table[i] = 0;
    for (size_t j = (i + 1) & k->mask; k->table[j]; j = (j + 1) & k->mask) {
        size_t home = random_mix(k->nodes[k->table[j]].hash) & k->mask;
        if (((j - home) & k->mask) < ((j - i) & k->mask)) continue;
        k->table[i] = k->table[j];
        k->table[j] = 0;
        i = j;
    }
}

// Whoever walks over the blocks of a long prompt would wait for memory at each: gets those of a few blocks
// later on the way, their places in the table first, then the nodes.
static void prefetch_place(const struct kv *k, uint64_t hash) {
    __builtin_prefetch(&k->table[random_mix(hash) & k->mask]);
}
static void prefetch_node(const struct kv *k, uint64_t hash) {
    __builtin_prefetch(&k->nodes[k->table[random_mix(hash) & k->mask]]);
}
enum { FAR = 16, NEAR = 8 };

size_t kv_match(const struct kv *k, const uint64_t *hashes, size_t n, size_t *idle) {
    size_t i = 0;
    *idle = 0;
    for (uint32_t at; i < n && (at = find(k, hashes[i])); i++) {
        if (i + FAR < n) prefetch_place(k, hashes[i + FAR]);
        if (i + NEAR < n) prefetch_node(k, hashes[i + NEAR]);
        *idle += !k->nodes[at].uses;
    }
    return i;
}

// ---- Using and letting go ------------------------------------------------------------------------

static void unlink_node(struct kv *k, uint32_t at) {
    struct node *x = &k->nodes[at];
    k->nodes[x->prev].next = x->next;
    k->nodes[x->next].prev = x->prev;
}

static void link_newest(struct kv *k, uint32_t at) {
    struct node *x = &k->nodes[at];
    x->prev = ENDS;
    x->next = k->nodes[ENDS].next;
    k->nodes[x->next].prev = at;
    k->nodes[ENDS].next = at;
}

static void use_node(struct kv *k, uint32_t at) {
    if (k->nodes[at].uses++) return;
    unlink_node(k, at);
    k->count.used++;
}

void kv_use(struct kv *k, const uint64_t *hashes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (i + FAR < n) prefetch_place(k, hashes[i + FAR]);
        if (i + NEAR < n) prefetch_node(k, hashes[i + NEAR]);
        use_node(k, find(k, hashes[i]));
    }
}

void kv_leave(struct kv *k, const uint64_t *hashes, size_t n) {
    while (n-- > 0) {
        if (n >= FAR) prefetch_place(k, hashes[n - FAR]);
        if (n >= NEAR) prefetch_node(k, hashes[n - NEAR]);
        uint32_t at = find(k, hashes[n]);
        assert(at && k->nodes[at].uses);
        if (--k->nodes[at].uses) continue;
        link_newest(k, at);
        k->count.used--;
    }
}

// ---- Reserving, holding and filling -----------------------------------------------------------------------

void kv_reserve(struct kv *k, size_t n) {
    k->count.reserved += n;
    assert(k->count.used + k->count.reserved <= k->count.capacity);
}

size_t kv_hold(struct kv *k, size_t n, uint64_t *evicted) {
    struct kv_count *c = &k->count;
    size_t gone = 0;
    c->held += n;
    assert(c->held <= c->reserved);
    for (; c->cached + c->held > c->capacity; c->cached--) {
        uint32_t at = k->nodes[ENDS].prev;
        assert(at != ENDS);
        const struct node *x = &k->nodes[at];
        evicted[gone++] = x->hash;
        if (k->host) host_put(k->host, x->hash, x->parent, x->depth);
        empty_place(k, place(k, k->nodes[at].hash));
        unlink_node(k, at);
        k->nodes[at].next = k->spare;
        k->spare = at;
    }
    return gone;
}

void kv_unreserve(struct kv *k, size_t n, size_t held) {
    assert(n <= k->count.reserved && held <= k->count.held && held <= n);
    k->count.reserved -= n;
    k->count.held -= held;
}

bool kv_fill(struct kv *k, const uint64_t *hashes, size_t depth) {
    size_t to = place(k, hashes[depth]);
    kv_unreserve(k, 1, 1);
    if (k->table[to]) {
        use_node(k, k->table[to]);
        return false;
    }
    uint32_t at = k->spare;
    if (at)
        k->spare = k->nodes[at].next;
    else
        at = k->fresh++;
    assert(at <= k->count.capacity);
    k->table[to] = at;
    k->nodes[at] = (struct node){
        .hash = hashes[depth],
        .parent = depth ? hashes[depth - 1] : 0,
        .depth = (uint32_t)depth,
        .uses = 1,
    };
    k->count.cached++;
    k->count.used++;
    return true;
}

// ---- Looking -------------------------------------------------------------------------------------

static int by_depth(const void *left, const void *right) {
    const struct node *const *a = left, *const *b = right;
    if ((*a)->depth != (*b)->depth) return (*a)->depth < (*b)->depth ? -1 : 1;
    return (*a)->hash < (*b)->hash ? -1 : (*a)->hash > (*b)->hash;
}

void kv_each(const struct kv *k, void (*f)(void *, uint64_t hash, const uint64_t *parent),
             void *ctx) {
    const struct node **all = memory_take(k->count.cached, sizeof(struct node *));
    size_t n = 0;
    for (size_t i = 0; i <= k->mask; i++)
        if (k->table[i]) all[n++] = &k->nodes[k->table[i]];
    qsort(all, n, sizeof(struct node *), by_depth);
    for (size_t i = 0; i < n; i++)
        f(ctx, all[i]->hash, all[i]->depth ? &all[i]->parent : NULL);
    free(all);
}

const char *kv_validate(const struct kv *k) {
    const struct kv_count *c = &k->count;
    size_t cached = 0, used = 0, idle = 0;
    for (size_t i = 0; i <= k->mask; i++) {
        const struct node *x = &k->nodes[k->table[i]];
        if (!k->table[i]) continue;
        if (place(k, x->hash) != i) return "a block is in the table twice, or can't be found";
        cached++;
        used += x->uses > 0;
        uint32_t parent = x->depth ? find(k, x->parent) : 0;
        if (x->depth && !parent) return "a cached block has lost its parent";
        if (x->uses && parent && !k->nodes[parent].uses) return "in use, and its parent is idle";
    }
    for (uint32_t at = k->nodes[ENDS].next; at != ENDS; at = k->nodes[at].next, idle++) {
        if (idle == cached) return "the idle blocks go round in circles";
        if (k->nodes[at].uses || find(k, k->nodes[at].hash) != at) return "idle, and it isn't";
    }
    if (cached != c->cached || used != c->used || idle != cached - used) return "miscounted";
    if (cached + c->held > c->capacity) return "above capacity";
    if (used + c->reserved > c->capacity) return "more is promised than there is";
    if (c->held > c->reserved) return "more is held than was promised";
    return NULL;
}
