// SPDX-License-Identifier: Apache-2.0
// Linear probing with the removed row's followers moved up; see table.h.
#include "unit_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *unit_must_resize(void *p, size_t size) {
    void *q = realloc(p, size ? size : 1);
    if (!q) {
        fprintf(stderr, "the test itself is out of memory\n");
        abort();
    }
    return q;
}

void *unit_must_alloc(size_t size) {
    void *p = unit_must_resize(NULL, size);
    memset(p, 0, size);
    return p;
}

static size_t home(const struct unit_table *t, uint64_t key, uint64_t tag) {
    uint64_t x = (key ^ (tag * 0x9e3779b97f4a7c15u)) * 0xbf58476d1ce4e5b9u;
    return (size_t)(x >> 32) & (t->cap - 1);
}

struct unit_row *unit_table_find(const struct unit_table *t, uint64_t key, uint64_t tag) {
    if (!t->cap) return NULL;
    for (size_t i = home(t, key, tag); t->rows[i].used; i = (i + 1) & (t->cap - 1))
        if (t->rows[i].key == key && t->rows[i].tag == tag) return &t->rows[i];
    return NULL;
}

static void grow(struct unit_table *t) {
    struct unit_table bigger = {NULL, t->cap ? t->cap * 2 : 64, 0};
    bigger.rows = unit_must_alloc(bigger.cap * sizeof *bigger.rows);
    for (size_t i = 0; i < t->cap; i++)
        if (t->rows[i].used)
            *unit_table_put(&bigger, t->rows[i].key, t->rows[i].tag, NULL) = t->rows[i];
    free(t->rows);
    *t = bigger;
}

struct unit_row *unit_table_put(struct unit_table *t, uint64_t key, uint64_t tag, bool *added) {
    struct unit_row *r = unit_table_find(t, key, tag);
    if (added) *added = !r;
    if (r) return r;
    if ((t->n + 1) * 2 > t->cap) grow(t);
    size_t i = home(t, key, tag);
    while (t->rows[i].used)
        i = (i + 1) & (t->cap - 1);
    memset(&t->rows[i], 0, sizeof t->rows[i]);
    t->rows[i].key = key;
    t->rows[i].tag = tag;
    t->rows[i].used = true;
    t->n++;
    return &t->rows[i];
}

bool unit_table_drop(struct unit_table *t, uint64_t key, uint64_t tag) {
    struct unit_row *r = unit_table_find(t, key, tag);
    if (!r) return false;
    size_t hole = (size_t)(r - t->rows);
    t->rows[hole].used = false;
    t->n--;
    for (size_t i = (hole + 1) & (t->cap - 1); t->rows[i].used; i = (i + 1) & (t->cap - 1)) {
        size_t want = home(t, t->rows[i].key, t->rows[i].tag);
        if (((i - want) & (t->cap - 1)) < ((i - hole) & (t->cap - 1))) continue;
        t->rows[hole] = t->rows[i];
        t->rows[i].used = false;
        hole = i;
    }
    return true;
}

void unit_table_copy(struct unit_table *to, const struct unit_table *from) {
    if (to->cap != from->cap) to->rows = unit_must_resize(to->rows, from->cap * sizeof *to->rows);
    if (from->cap) memcpy(to->rows, from->rows, from->cap * sizeof *to->rows);
    to->cap = from->cap;
    to->n = from->n;
}

void unit_table_free(struct unit_table *t) {
    free(t->rows);
    *t = (struct unit_table){0};
}

int unit_bytes_compare(struct kvr_bytes a, struct kvr_bytes b) {
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    if (c) return c < 0 ? -1 : 1;
    return a.n < b.n ? -1 : a.n > b.n;
}
