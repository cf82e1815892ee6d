// SPDX-License-Identifier: Apache-2.0
// A flat hash table, as plain as one can be: what the naive model keeps its sets in. And memory and names,
// which all of the unit tests need.
//
// Rows live in one array, found by linear probing; a copy of the table is a copy of the array, which
// is how the model undoes an event that fails half way.
#ifndef UNIT_TABLE_H
#define UNIT_TABLE_H

#include <kvroute/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct unit_row {
    uint64_t key, tag; // together the key
    uint64_t parent;   // the rest is the user's
    uint64_t refs, holders;
    bool has_parent;
    bool used;
};

struct unit_table {
    struct unit_row *rows;
    size_t cap, n;
};

struct unit_row *unit_table_find(const struct unit_table *t, uint64_t key, uint64_t tag);
// Finds or adds (zeroed but for the key); *added may be NULL. Rows move when the table grows.
struct unit_row *unit_table_put(struct unit_table *t, uint64_t key, uint64_t tag, bool *added);
bool unit_table_drop(struct unit_table *t, uint64_t key, uint64_t tag);
void unit_table_copy(struct unit_table *to, const struct unit_table *from); // what `to` had is gone
void unit_table_free(struct unit_table *t);                                 // and empty again

static inline struct kvr_bytes text(const char *s) {
    return (struct kvr_bytes){s, strlen(s)};
}
// Bytewise, the shorter first on a tie.
int unit_bytes_compare(struct kvr_bytes a, struct kvr_bytes b);

// malloc and friends that end the program instead of failing: a test has no use for NULL.
void *unit_must_alloc(size_t size);
void *unit_must_resize(void *p, size_t size);

#endif
