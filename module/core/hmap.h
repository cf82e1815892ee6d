// SPDX-License-Identifier: Apache-2.0
// A hash table of linked items that grows a bucket at a time (linear hashing).
//
// Items carry their link, so adding one needs no memory of its own; growing is best effort, so adding
// fails only while there is no table at all. No insert ever stalls on a rehash. The table doesn't
// shrink and a split moves items only to higher buckets, so a scan by ascending bucket sees at least
// once whatever is there during all of it: that is what SCAN-like cursors need.
#ifndef KVR_HMAP_H
#define KVR_HMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "mem.h"

struct hmap_item {
    struct hmap_item *next;
    uint64_t hash;
};

enum { HMAP_PAGE = 256 };

struct hmap {
    struct mem *mem;
    struct hmap_item ***pages; // of HMAP_PAGE buckets
    size_t n_pages, cap_pages;
    size_t n_buckets, count;
};

void hmap_init(struct hmap *h, struct mem *m); // no memory is taken yet
void hmap_free(struct hmap *h);                // the items are the caller's
int hmap_reserve(struct hmap *h);              // 0: hmap_add can't fail
void hmap_add(struct hmap *h, struct hmap_item *item, uint64_t hash);
void hmap_remove(struct hmap *h, struct hmap_item *item);
struct hmap_item *hmap_first(const struct hmap *h, uint64_t hash); // candidates with this very hash
struct hmap_item *hmap_next(const struct hmap_item *item);
struct hmap_item *hmap_bucket(const struct hmap *h, size_t bucket); // for scans; follow ->next
const char *hmap_validate(const struct hmap *h);

#endif
