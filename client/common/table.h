// SPDX-License-Identifier: Apache-2.0
// A hash table by bytes, of items that carry their own link and key.
//
// Keyed with a secret, because ids and names come from callers. Growing is best effort: adding an
// item can't fail once there is a table.
#ifndef KVR_COMMON_TABLE_H
#define KVR_COMMON_TABLE_H

#include "alloc.h"

struct kvr_table_item {
    struct kvr_table_item *next;
    uint64_t hash;
    struct kvr_bytes key; // where the item keeps it; doesn't move while it is in the table
};

struct kvr_table {
    const struct kvr_alloc *alloc;
    struct kvr_table_item **buckets;
    size_t n_buckets, count; // n_buckets: a power of two
    uint64_t secret;
};

// -1: no memory.
int kvr_table_init(struct kvr_table *t, const struct kvr_alloc *a, uint64_t secret);
void kvr_table_free(struct kvr_table *t); // the items are the caller's
// Its key is not in the table yet.
void kvr_table_add(struct kvr_table *t, struct kvr_table_item *item, struct kvr_bytes key);
void kvr_table_remove(struct kvr_table *t, struct kvr_table_item *item);
// It will be removed soon: what that looks at is fetched from memory meanwhile.
void kvr_table_prefetch(const struct kvr_table *t, const struct kvr_table_item *item);
// NULL: not there.
struct kvr_table_item *kvr_table_find(const struct kvr_table *t, struct kvr_bytes key);

#endif
