// SPDX-License-Identifier: Apache-2.0
#include "hash_map.h"

void core_hash_map_init(struct core_hash_map *h, struct core_mem *m) {
    *h = (struct core_hash_map){.mem = m};
}

void core_hash_map_free(struct core_hash_map *h) {
    for (size_t i = 0; i < h->n_pages; i++)
        core_mem_free(h->mem, h->pages[i], CORE_HMAP_PAGE * sizeof **h->pages);
    core_mem_free(h->mem, h->pages, h->cap_pages * sizeof *h->pages);
    *h = (struct core_hash_map){.mem = h->mem};
}

static struct core_hash_map_item **slot_of(const struct core_hash_map *h, size_t bucket) {
    return &h->pages[bucket / CORE_HMAP_PAGE][bucket % CORE_HMAP_PAGE];
}

// Buckets below the largest power of two within n_buckets are addressed by that many bits, those
// that have been split already by one more.
static size_t bucket_of(const struct core_hash_map *h, uint64_t hash) {
    size_t low = (size_t)1 << (63 - __builtin_clzll(h->n_buckets));
    size_t bucket = hash & (2 * low - 1);
    return bucket < h->n_buckets ? bucket : bucket - low;
}

static int add_page(struct core_hash_map *h) {
    if (core_mem_grow(h->mem, &h->pages, &h->cap_pages, h->n_pages + 1, sizeof *h->pages))
        return -1;
    struct core_hash_map_item **page = core_mem_calloc(h->mem, CORE_HMAP_PAGE * sizeof *page);
    if (!page) return -1;
    h->pages[h->n_pages++] = page;
    return 0;
}

int core_hash_map_reserve(struct core_hash_map *h) {
    if (h->n_buckets) return 0;
    if (add_page(h)) return -1;
    h->n_buckets = 16;
    return 0;
}

static void split_one(struct core_hash_map *h) {
    size_t new = h->n_buckets;
    if (new / CORE_HMAP_PAGE == h->n_pages && add_page(h)) return;
    size_t low = (size_t)1 << (63 - __builtin_clzll(new));
    struct core_hash_map_item *item = *slot_of(h, new - low);
    *slot_of(h, new - low) = NULL;
    h->n_buckets++;
    while (item) {
        struct core_hash_map_item *next = item->next, **to = slot_of(h, bucket_of(h, item->hash));
        item->next = *to;
        *to = item;
        item = next;
    }
}

void core_hash_map_add(struct core_hash_map *h, struct core_hash_map_item *item, uint64_t hash) {
    struct core_hash_map_item **to = slot_of(h, bucket_of(h, hash));
    item->hash = hash;
    item->next = *to;
    *to = item;
    if (++h->count > h->n_buckets) split_one(h);
}

void core_hash_map_remove(struct core_hash_map *h, struct core_hash_map_item *item) {
    struct core_hash_map_item **at = slot_of(h, bucket_of(h, item->hash));
    while (*at != item)
        at = &(*at)->next;
    *at = item->next;
    h->count--;
}

static struct core_hash_map_item *same_hash(struct core_hash_map_item *item, uint64_t hash) {
    while (item && item->hash != hash)
        item = item->next;
    return item;
}

struct core_hash_map_item *core_hash_map_first(const struct core_hash_map *h, uint64_t hash) {
    return h->n_buckets ? same_hash(*slot_of(h, bucket_of(h, hash)), hash) : NULL;
}

struct core_hash_map_item *core_hash_map_next(const struct core_hash_map_item *item) {
    return same_hash(item->next, item->hash);
}

struct core_hash_map_item *core_hash_map_bucket(const struct core_hash_map *h, size_t bucket) {
    return *slot_of(h, bucket);
}

const char *core_hash_map_validate(const struct core_hash_map *h) {
    size_t count = 0;
    for (size_t b = 0; b < h->n_buckets; b++)
        for (struct core_hash_map_item *i = core_hash_map_bucket(h, b); i; i = i->next, count++)
            if (bucket_of(h, i->hash) != b) return "hmap: an item is in the wrong bucket";
    return count == h->count ? NULL : "hmap: the count is wrong";
}
