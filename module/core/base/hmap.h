// SPDX-License-Identifier: Apache-2.0
// A hash table of linked items that grows a bucket at a time (linear hashing).
//
// Items carry their link, so adding one needs no memory of its own; growing is best effort, so adding
// fails only while there is no table at all. No insert ever stalls on a rehash. The table doesn't
// shrink and a split moves items only to higher buckets, so a scan by ascending bucket sees at least
// once whatever is there during all of it: that is what SCAN-like cursors need.
#ifndef CORE_HMAP_H
#define CORE_HMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "mem.h"

struct core_hmap_item {
    struct core_hmap_item *next;
    uint64_t hash;
};

enum { CORE_HMAP_PAGE = 256 };

struct core_hmap {
    struct core_mem *mem;
    struct core_hmap_item ***pages; // of CORE_HMAP_PAGE buckets
    size_t n_pages, cap_pages;
    size_t n_buckets, count;
};

void core_hmap_init(struct core_hmap *h, struct core_mem *m); // no memory is taken yet
void core_hmap_free(struct core_hmap *h);                     // the items are the caller's
int core_hmap_reserve(struct core_hmap *h);                   // 0: core_hmap_add can't fail
void core_hmap_add(struct core_hmap *h, struct core_hmap_item *item, uint64_t hash);
void core_hmap_remove(struct core_hmap *h, struct core_hmap_item *item);
struct core_hmap_item *core_hmap_first(const struct core_hmap *h,
                                       uint64_t hash); // candidates with this very hash
struct core_hmap_item *core_hmap_next(const struct core_hmap_item *item);
struct core_hmap_item *core_hmap_bucket(const struct core_hmap *h,
                                        size_t bucket); // for scans; follow ->next
const char *core_hmap_validate(const struct core_hmap *h);

#endif
