// SPDX-License-Identifier: Apache-2.0
// Hash → hash and a byte, at less than 22 bytes an entry.
//
// Open addressing, linear, in 256 segments that grow one at a time and by a tenth, so one place of five
// to eight is free, no call waits for a great rehash, and 17 bytes become 19 to 22. Sizes are
// no powers of two: a first place is found by multiplication. The byte is never 0 for what is here, so
// it also says which places are taken. Keyed with a secret, because engines' hashes come from outside.
//
// Why not client/common's table: chains of nodes, or a table whose size is a power of two, would take 30 to
// 50 bytes an entry. The publisher already takes 40 for the same block, and all of it together is to stay
// below 64.
#ifndef BRIDGE_BLOCK_TABLE_H
#define BRIDGE_BLOCK_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BRIDGE_TABLE_SEGMENTS = 256 };

struct bridge_table_segment {
    uint64_t *keys, *values; // one piece of memory: keys, values, bytes
    uint8_t *bytes;
    uint32_t size, used;
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
