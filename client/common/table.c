// SPDX-License-Identifier: Apache-2.0
#include "table.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { FIRST_BUCKETS = 16 };

static uint64_t hash_of(const struct kvr_table *t, struct kvr_bytes key) {
    return XXH3_64bits_withSeed(key.p, key.n, t->secret);
}

static struct kvr_table_item **bucket(const struct kvr_table *t, uint64_t hash) {
    return &t->buckets[hash & (t->n_buckets - 1)];
}

int kvr_table_init(struct kvr_table *t, const struct kvr_alloc *a, uint64_t secret) {
    *t = (struct kvr_table){.alloc = a, .secret = secret, .n_buckets = FIRST_BUCKETS};
    t->buckets = kvr_alloc_zeroed(a, FIRST_BUCKETS * sizeof *t->buckets);
    return t->buckets ? 0 : -1;
}

void kvr_table_free(struct kvr_table *t) {
    if (t->buckets) kvr_alloc_free(t->alloc, t->buckets);
    t->buckets = NULL;
}

static void grow(struct kvr_table *t) {
    size_t n = t->n_buckets * 2;
    struct kvr_table_item **old = t->buckets,
                          **fresh = kvr_alloc_zeroed(t->alloc, n * sizeof *fresh);
    if (!fresh) return; // longer chains until it works
    size_t n_old = t->n_buckets;
    t->buckets = fresh;
    t->n_buckets = n;
    for (size_t i = 0; i < n_old; i++) {
        for (struct kvr_table_item *item = old[i], *next; item; item = next) {
            next = item->next;
            struct kvr_table_item **to = bucket(t, item->hash);
            item->next = *to;
            *to = item;
        }
    }
    kvr_alloc_free(t->alloc, old);
}

void kvr_table_add(struct kvr_table *t, struct kvr_table_item *item, struct kvr_bytes key) {
    if (t->count * 2 >= t->n_buckets) grow(t); // looks mostly find nothing, and end at the bucket
    item->key = key;
    item->hash = hash_of(t, key);
    struct kvr_table_item **to = bucket(t, item->hash);
    item->next = *to;
    *to = item;
    t->count++;
}

void kvr_table_remove(struct kvr_table *t, struct kvr_table_item *item) {
    struct kvr_table_item **at = bucket(t, item->hash);
    while (*at != item)
        at = &(*at)->next;
    *at = item->next;
    t->count--;
}

void kvr_table_prefetch(const struct kvr_table *t, const struct kvr_table_item *item) {
    __builtin_prefetch(bucket(t, item->hash));
}

struct kvr_table_item *kvr_table_find(const struct kvr_table *t, struct kvr_bytes key) {
    uint64_t hash = hash_of(t, key);
    for (struct kvr_table_item *item = *bucket(t, hash); item; item = item->next)
        if (item->hash == hash && item->key.n == key.n && !memcmp(item->key.p, key.p, key.n))
            return item;
    return NULL;
}
