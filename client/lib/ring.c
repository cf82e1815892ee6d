// SPDX-License-Identifier: Apache-2.0
// See ring.h.
#include "ring.h"

#include <string.h>

void ring_init(struct ring *r, const struct kvr_alloc *a) {
    *r = (struct ring){.alloc = a, .first = 1};
}

static struct event *place(const struct ring *r, size_t i) {
    return &r->events[(r->head + i) & (r->cap - 1)];
}

struct event *ring_at(const struct ring *r, uint64_t seq) {
    return place(r, (size_t)(seq - r->first));
}

static size_t weight(const struct event *e) {
    return sizeof *e + e->room * sizeof *e->words;
}

void ring_empty(struct ring *r) {
    for (size_t i = 0; i < r->n; i++)
        kvr_alloc_free(r->alloc, place(r, i)->words);
    r->n = r->head = r->bytes = 0;
    r->first = 1;
}

void ring_free(struct ring *r) {
    ring_empty(r);
    kvr_alloc_free(r->alloc, r->events);
    ring_init(r, r->alloc);
}

static int widen(struct ring *r) {
    if (r->n < r->cap) return 0;
    size_t cap = r->cap ? r->cap * 2 : 16;
    struct event *events = r->alloc->resize(r->alloc->ctx, NULL, cap * sizeof *events);
    if (!events) return -1;
    for (size_t i = 0; i < r->n; i++)
        events[i] = *place(r, i);
    kvr_alloc_free(r->alloc, r->events);
    r->events = events;
    r->cap = cap;
    r->head = 0;
    return 0;
}

uint64_t *ring_insert(struct ring *r, uint64_t seq, size_t n, size_t blocks) {
    if (widen(r)) return NULL;
    uint64_t *words = r->alloc->resize(r->alloc->ctx, NULL, n * sizeof *words);
    if (!words) return NULL;
    size_t at = (size_t)(seq - r->first);
    for (size_t i = r->n++; i > at; i--)
        *place(r, i) = *place(r, i - 1);
    *place(r, at) = (struct event){words, n, n, blocks};
    r->bytes += weight(place(r, at));
    return words;
}

void ring_shrink(struct ring *r, uint64_t seq, size_t n, size_t blocks) {
    struct event *e = ring_at(r, seq);
    e->n = n;
    e->blocks = blocks;
    uint64_t *fewer = r->alloc->resize(r->alloc->ctx, e->words, n * sizeof *fewer);
    if (!fewer) return; // it keeps its room
    r->bytes -= (e->room - n) * sizeof *fewer;
    e->words = fewer;
    e->room = n;
}

void ring_trim(struct ring *r, uint64_t acked, size_t limit) {
    while (r->bytes > limit && r->n > 1 && r->first <= acked) {
        struct event *e = place(r, 0);
        r->bytes -= weight(e);
        kvr_alloc_free(r->alloc, e->words);
        r->head = (r->head + 1) & (r->cap - 1);
        r->first++;
        r->n--;
    }
}
