// SPDX-License-Identifier: Apache-2.0
// Hash → hash and a byte, at less than 21 bytes an entry.
//
//     segment (of 256)
//       bucket 0   15 bytes (0: the place is free), how many entries that belong here or before stand behind, and 14
//       bucket 1   keys are two lines of cache; one more key and 15 values are two others, which only who finds a key
//       …          has to see
//
// An entry belongs to the bucket that its key names, and stands in the first one from there on that had a place
// free. A search ends at a bucket that none has passed. So a removal moves nothing: it frees the place and counts
// down where the entry had passed. A count that has reached its most stays there until the segment grows. All of a
// bucket is in one place because what is looked for is nowhere in a processor's caches, and the way to another page is
// as long as that to another line.
//
// Segments grow one at a time and by a sixteenth, so one place of six to eight is free, no call waits for a great
// rehash, and 17.1 bytes become 19.5 to 20.8. Sizes are no powers of two: a bucket is found by multiplication. Keyed
// with a secret, because engines' hashes come from outside. An engine tells of many blocks at once, none of which is
// in a processor's cache: bridge_table_prefetch has several of them on their way.
//
// Why not client/common's table: chains of nodes, or a table whose size is a power of two, would take 30 to
// 50 bytes an entry, and all of a block together is to stay below 48.
#ifndef BRIDGE_BLOCK_TABLE_H
#define BRIDGE_BLOCK_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BRIDGE_TABLE_SEGMENTS = 256, BRIDGE_BUCKET_PLACES = 15 };

struct bridge_bucket {
    uint8_t bytes[BRIDGE_BUCKET_PLACES], passed;
    uint64_t keys[BRIDGE_BUCKET_PLACES], values[BRIDGE_BUCKET_PLACES];
};

struct bridge_table_segment {
    struct bridge_bucket *buckets;
    uint32_t n, used; // n: buckets
};

struct bridge_table {
    struct bridge_table_segment segments[BRIDGE_TABLE_SEGMENTS];
    uint64_t secret;
    size_t count, memory;
};

struct bridge_table_entry { // of an entry; until the table is changed
    uint64_t *value;
    uint8_t *byte;
};

void bridge_table_init(struct bridge_table *t, uint64_t secret);
void bridge_table_free(struct bridge_table *t); // and empty again
// The key will be looked for soon, and is thought to be here. Changes nothing.
void bridge_table_prefetch(const struct bridge_table *t, uint64_t key, bool here);
// False: not here.
bool bridge_table_find(const struct bridge_table *t, uint64_t key,
                       struct bridge_table_entry *place);
// Takes the memory for one more. False: there is none.
bool bridge_table_reserve(struct bridge_table *t, uint64_t key);
// The key isn't here, there is room for it, byte isn't 0.
void bridge_table_add(struct bridge_table *t, uint64_t key, uint64_t value, uint8_t byte);
void bridge_table_remove(struct bridge_table *t, uint64_t key); // it is here

// Calls each(ctx, key, value, byte) for all, in no order. Nothing may be changed meanwhile but the byte.
void bridge_table_each(const struct bridge_table *t,
                       void (*each)(void *ctx, uint64_t key, uint64_t value, uint8_t *byte),
                       void *ctx);

#endif
