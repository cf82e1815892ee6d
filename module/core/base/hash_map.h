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

struct core_hash_map_item {
    struct core_hash_map_item *next;
    uint64_t hash;
};

enum { CORE_HMAP_PAGE = 256 };

struct core_hash_map {
    struct core_mem *mem;
    struct core_hash_map_item ***pages; // of CORE_HMAP_PAGE buckets
    size_t n_pages, cap_pages;
    size_t n_buckets, count;
};

void core_hash_map_init(struct core_hash_map *h, struct core_mem *m); // no memory is taken yet
void core_hash_map_free(struct core_hash_map *h);                     // the items are the caller's
int core_hash_map_reserve(struct core_hash_map *h); // 0: core_hash_map_add can't fail
void core_hash_map_add(struct core_hash_map *h, struct core_hash_map_item *item, uint64_t hash);
void core_hash_map_remove(struct core_hash_map *h, struct core_hash_map_item *item);
struct core_hash_map_item *core_hash_map_first(const struct core_hash_map *h,
                                               uint64_t hash); // candidates with this very hash
struct core_hash_map_item *core_hash_map_next(const struct core_hash_map_item *item);
struct core_hash_map_item *core_hash_map_bucket(const struct core_hash_map *h,
                                                size_t bucket); // for scans; follow ->next
const char *core_hash_map_validate(const struct core_hash_map *h);

#endif
