// SPDX-License-Identifier: Apache-2.0
// A hash table by bytes, of items that carry their own link and key.
//
// Keyed with a secret, because ids and names come from callers. Growing is best effort: adding an
// item can't fail once there is a table.
#ifndef KVR_LIB_TABLE_H
#define KVR_LIB_TABLE_H

#include "mem.h"

struct table_item {
    struct table_item *next;
    uint64_t hash;
    struct kvr_bytes key; // where the item keeps it; doesn't move while it is in the table
};

struct table {
    const struct kvr_alloc *alloc;
    struct table_item **buckets;
    size_t n_buckets, count; // n_buckets: a power of two
    uint64_t secret;
};

int table_init(struct table *t, const struct kvr_alloc *a, uint64_t secret); // -1: no memory
void table_free(struct table *t); // the items are the caller's
void table_add(struct table *t, struct table_item *item, struct kvr_bytes key); // not in it yet
void table_remove(struct table *t, struct table_item *item);
struct table_item *table_find(const struct table *t, struct kvr_bytes key); // NULL: not there

#endif
