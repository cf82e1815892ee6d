// SPDX-License-Identifier: Apache-2.0
#include "table.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { FIRST_BUCKETS = 16 };

static uint64_t hash_of(const struct table *t, struct kvr_bytes key) {
    return XXH3_64bits_withSeed(key.p, key.n, t->secret);
}

static struct table_item **bucket(const struct table *t, uint64_t hash) {
    return &t->buckets[hash & (t->n_buckets - 1)];
}

int table_init(struct table *t, const struct kvr_alloc *a, uint64_t secret) {
    *t = (struct table){.alloc = a, .secret = secret, .n_buckets = FIRST_BUCKETS};
    t->buckets = mem_take(a, FIRST_BUCKETS * sizeof *t->buckets);
    return t->buckets ? 0 : -1;
}

void table_free(struct table *t) {
    if (t->buckets) mem_give(t->alloc, t->buckets);
    t->buckets = NULL;
}

static void grow(struct table *t) {
    size_t n = t->n_buckets * 2;
    struct table_item **old = t->buckets, **fresh = mem_take(t->alloc, n * sizeof *fresh);
    if (!fresh) return; // longer chains until it works
    size_t n_old = t->n_buckets;
    t->buckets = fresh;
    t->n_buckets = n;
    for (size_t i = 0; i < n_old; i++) {
        for (struct table_item *item = old[i], *next; item; item = next) {
            next = item->next;
            struct table_item **to = bucket(t, item->hash);
            item->next = *to;
            *to = item;
        }
    }
    mem_give(t->alloc, old);
}

void table_add(struct table *t, struct table_item *item, struct kvr_bytes key) {
    if (t->count * 2 >= t->n_buckets) grow(t); // looks mostly find nothing, and end at the bucket
    item->key = key;
    item->hash = hash_of(t, key);
    struct table_item **to = bucket(t, item->hash);
    item->next = *to;
    *to = item;
    t->count++;
}

void table_remove(struct table *t, struct table_item *item) {
    struct table_item **at = bucket(t, item->hash);
    while (*at != item)
        at = &(*at)->next;
    *at = item->next;
    t->count--;
}

struct table_item *table_find(const struct table *t, struct kvr_bytes key) {
    uint64_t hash = hash_of(t, key);
    for (struct table_item *item = *bucket(t, hash); item; item = item->next)
        if (item->hash == hash && item->key.n == key.n && !memcmp(item->key.p, key.p, key.n))
            return item;
    return NULL;
}
