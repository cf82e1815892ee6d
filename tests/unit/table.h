// SPDX-License-Identifier: Apache-2.0
// A flat hash table, as plain as one can be: what the naive model keeps its sets in.
//
// Rows live in one array, found by linear probing; a copy of the table is a copy of the array, which
// is how the model undoes an event that fails half way.
#ifndef KVR_TEST_TABLE_H
#define KVR_TEST_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct row {
    uint64_t key, tag; // together the key
    uint64_t parent;   // the rest is the user's
    uint64_t refs, holders;
    bool has_parent;
    bool used;
};

struct table {
    struct row *rows;
    size_t cap, n;
};

struct row *table_find(const struct table *t, uint64_t key, uint64_t tag);
// Finds or adds (zeroed but for the key); *added may be NULL. Rows move when the table grows.
struct row *table_put(struct table *t, uint64_t key, uint64_t tag, bool *added);
bool table_drop(struct table *t, uint64_t key, uint64_t tag);
void table_copy(struct table *to, const struct table *from); // what `to` had is gone
void table_free(struct table *t);                            // and empty again

// malloc and friends that end the program instead of failing: a test has no use for NULL.
void *must_alloc(size_t size);
void *must_resize(void *p, size_t size);

#endif
