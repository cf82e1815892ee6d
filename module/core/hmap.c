// SPDX-License-Identifier: Apache-2.0
#include "hmap.h"

void hmap_init(struct hmap *h, struct mem *m) {
    *h = (struct hmap){.mem = m};
}

void hmap_free(struct hmap *h) {
    for (size_t i = 0; i < h->n_pages; i++)
        mem_free(h->mem, h->pages[i], HMAP_PAGE * sizeof **h->pages);
    mem_free(h->mem, h->pages, h->cap_pages * sizeof *h->pages);
    *h = (struct hmap){.mem = h->mem};
}

static struct hmap_item **slot_of(const struct hmap *h, size_t bucket) {
    return &h->pages[bucket / HMAP_PAGE][bucket % HMAP_PAGE];
}

// Buckets below the largest power of two within n_buckets are addressed by that many bits, those
// that have been split already by one more.
static size_t bucket_of(const struct hmap *h, uint64_t hash) {
    size_t low = (size_t)1 << (63 - __builtin_clzll(h->n_buckets));
    size_t bucket = hash & (2 * low - 1);
    return bucket < h->n_buckets ? bucket : bucket - low;
}

static int add_page(struct hmap *h) {
    if (mem_grow(h->mem, &h->pages, &h->cap_pages, h->n_pages + 1, sizeof *h->pages)) return -1;
    struct hmap_item **page = mem_calloc(h->mem, HMAP_PAGE * sizeof *page);
    if (!page) return -1;
    h->pages[h->n_pages++] = page;
    return 0;
}

int hmap_reserve(struct hmap *h) {
    if (h->n_buckets) return 0;
    if (add_page(h)) return -1;
    h->n_buckets = 16;
    return 0;
}

static void split_one(struct hmap *h) {
    size_t new = h->n_buckets;
    if (new / HMAP_PAGE == h->n_pages && add_page(h)) return;
    size_t low = (size_t)1 << (63 - __builtin_clzll(new));
    struct hmap_item *item = *slot_of(h, new - low);
    *slot_of(h, new - low) = NULL;
    h->n_buckets++;
    while (item) {
        struct hmap_item *next = item->next, **to = slot_of(h, bucket_of(h, item->hash));
        item->next = *to;
        *to = item;
        item = next;
    }
}

void hmap_add(struct hmap *h, struct hmap_item *item, uint64_t hash) {
    struct hmap_item **to = slot_of(h, bucket_of(h, hash));
    item->hash = hash;
    item->next = *to;
    *to = item;
    if (++h->count > h->n_buckets) split_one(h);
}

void hmap_remove(struct hmap *h, struct hmap_item *item) {
    struct hmap_item **at = slot_of(h, bucket_of(h, item->hash));
    while (*at != item)
        at = &(*at)->next;
    *at = item->next;
    h->count--;
}

static struct hmap_item *same_hash(struct hmap_item *item, uint64_t hash) {
    while (item && item->hash != hash)
        item = item->next;
    return item;
}

struct hmap_item *hmap_first(const struct hmap *h, uint64_t hash) {
    return h->n_buckets ? same_hash(*slot_of(h, bucket_of(h, hash)), hash) : NULL;
}

struct hmap_item *hmap_next(const struct hmap_item *item) {
    return same_hash(item->next, item->hash);
}

struct hmap_item *hmap_bucket(const struct hmap *h, size_t bucket) {
    return *slot_of(h, bucket);
}

const char *hmap_validate(const struct hmap *h) {
    size_t count = 0;
    for (size_t b = 0; b < h->n_buckets; b++)
        for (struct hmap_item *i = hmap_bucket(h, b); i; i = i->next, count++)
            if (bucket_of(h, i->hash) != b) return "hmap: an item is in the wrong bucket";
    return count == h->count ? NULL : "hmap: the count is wrong";
}
