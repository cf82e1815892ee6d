// SPDX-License-Identifier: Apache-2.0
// The host's memory of an engine; see host.h.
#include "host.h"

#include <stdlib.h>

#include "bench/common/memory.h"
#include "bench/common/random.h"

enum { ENDS = 0 }; // entry 0: the newest is its next, the oldest its prev

struct entry {
    uint64_t hash, parent;
    uint32_t depth, prev, next;
};

struct host {
    struct entry *entries; // 1..capacity
    uint32_t *table;       // by hash, linear probing; 0 empty
    size_t mask, n, capacity;
    struct moved *moved;
    size_t n_moved, room_moved;
};

struct host *host_new(size_t capacity) {
    struct host *h = memory_take(1, sizeof *h);
    size_t size = 16;
    while (size < capacity * 2)
        size *= 2;
    *h = (struct host){
        .entries = memory_take(capacity + 1, sizeof *h->entries),
        .table = memory_take(size, sizeof *h->table),
        .mask = size - 1,
        .capacity = capacity,
    };
    return h;
}

void host_free(struct host *h) {
    if (!h) return;
    free(h->entries);
    free(h->table);
    free(h->moved);
    free(h);
}

static size_t place(const struct host *h, uint64_t hash) {
    size_t i = random_mix(hash) & h->mask;
    while (h->table[i] && h->entries[h->table[i]].hash != hash)
        i = (i + 1) & h->mask;
    return i;
}

// Empties a place and moves up what had to be put behind it.
static void empty_place(struct host *h, size_t i) {
    h->table[i] = 0;
    for (size_t j = (i + 1) & h->mask; h->table[j]; j = (j + 1) & h->mask) {
        size_t home = random_mix(h->entries[h->table[j]].hash) & h->mask;
        if (((j - home) & h->mask) < ((j - i) & h->mask)) continue;
        h->table[i] = h->table[j];
        h->table[j] = 0;
        i = j;
    }
}

static void unlink_entry(struct host *h, uint32_t at) {
    struct entry *x = &h->entries[at];
    h->entries[x->prev].next = x->next;
    h->entries[x->next].prev = x->prev;
}

static void link_newest(struct host *h, uint32_t at) {
    struct entry *x = &h->entries[at];
    x->prev = ENDS;
    x->next = h->entries[ENDS].next;
    h->entries[x->next].prev = at;
    h->entries[ENDS].next = at;
}

static void tell(struct host *h, const struct entry *x, bool stored) {
    h->moved = memory_grow(h->moved, &h->room_moved, h->n_moved + 1, sizeof *h->moved);
    h->moved[h->n_moved++] = (struct moved){x->hash, x->parent, x->depth, stored};
}

void host_put(struct host *h, uint64_t hash, uint64_t parent, uint32_t depth) {
    size_t to = place(h, hash);
    uint32_t at = h->table[to];
    if (at) {
        unlink_entry(h, at);
        link_newest(h, at);
        return;
    }
    if (h->n < h->capacity) {
        at = (uint32_t)++h->n;
    } else {
        at = h->entries[ENDS].prev;
        tell(h, &h->entries[at], false);
        unlink_entry(h, at);
        empty_place(h, place(h, h->entries[at].hash));
        to = place(h, hash);
    }
    h->entries[at] = (struct entry){.hash = hash, .parent = parent, .depth = depth};
    h->table[to] = at;
    link_newest(h, at);
    tell(h, &h->entries[at], true);
}

size_t host_match(const struct host *h, const uint64_t *hashes, size_t from, size_t n) {
    size_t i = from;
    while (i < n && h->table[place(h, hashes[i])])
        i++;
    return i - from;
}

void host_use(struct host *h, const uint64_t *hashes, size_t from, size_t to) {
    while (to-- > from) {
        uint32_t at = h->table[place(h, hashes[to])];
        if (!at) continue;
        unlink_entry(h, at);
        link_newest(h, at);
    }
}

size_t host_count(const struct host *h) {
    return h->n;
}

const struct moved *host_moved(const struct host *h, size_t *n) {
    *n = h->n_moved;
    return h->moved;
}

void host_forget(struct host *h) {
    h->n_moved = 0;
}

// Evicted blocks come here leaf first: each is the parent of the one before.
size_t host_run(const struct moved *all, size_t n, uint64_t *hashes) {
    size_t run = 1;
    while (run < n && all[run].stored == all[0].stored &&
           (!all[0].stored || (all[run - 1].depth && all[run].hash == all[run - 1].parent)))
        run++;
    for (size_t i = 0; i < run; i++)
        hashes[i] = all[run - 1 - i].hash;
    return run;
}

static int by_depth(const void *left, const void *right) {
    const struct moved *a = left, *b = right;
    if (a->depth != b->depth) return a->depth < b->depth ? -1 : 1;
    return a->hash < b->hash ? -1 : a->hash > b->hash;
}

void host_each(const struct host *h, void (*f)(void *, const struct moved *), void *ctx) {
    struct moved *all = memory_take(h->n, sizeof *all);
    size_t n = 0;
    for (uint32_t at = h->entries[ENDS].next; at != ENDS; at = h->entries[at].next) {
        const struct entry *x = &h->entries[at];
        all[n++] = (struct moved){x->hash, x->parent, x->depth, true};
    }
    qsort(all, n, sizeof *all, by_depth);
    for (size_t i = 0; i < n; i++)
        f(ctx, &all[i]);
    free(all);
}

const char *host_validate(const struct host *h) {
    size_t listed = 0, found = 0;
    for (uint32_t at = h->entries[ENDS].next; at != ENDS; at = h->entries[at].next) {
        if (listed++ == h->n) return "the host's blocks go round in circles";
        if (h->table[place(h, h->entries[at].hash)] != at) return "a block of the host is lost";
    }
    for (size_t i = 0; i <= h->mask; i++)
        found += h->table[i] != 0;
    if (listed != h->n || found != h->n) return "the host's blocks are miscounted";
    return h->n > h->capacity ? "the host is above its capacity" : NULL;
}
