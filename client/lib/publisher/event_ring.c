// SPDX-License-Identifier: Apache-2.0
#include "event_ring.h"

#include <string.h>

void kvr_ring_init(struct kvr_event_ring *r, const struct kvr_alloc *a) {
    *r = (struct kvr_event_ring){.alloc = a, .first = 1};
}

static struct kvr_ring_event *place(const struct kvr_event_ring *r, size_t i) {
    return &r->events[(r->head + i) & (r->cap - 1)];
}

struct kvr_ring_event *kvr_ring_at(const struct kvr_event_ring *r, uint64_t seq) {
    return place(r, (size_t)(seq - r->first));
}

static size_t weight(const struct kvr_ring_event *e) {
    return sizeof *e + e->room * sizeof *e->words;
}

void kvr_ring_empty(struct kvr_event_ring *r) {
    for (size_t i = 0; i < r->n; i++)
        kvr_alloc_free(r->alloc, place(r, i)->words);
    r->n = r->head = r->bytes = 0;
    r->first = 1;
}

void kvr_ring_free(struct kvr_event_ring *r) {
    kvr_ring_empty(r);
    kvr_alloc_free(r->alloc, r->events);
    kvr_ring_init(r, r->alloc);
}

static int widen(struct kvr_event_ring *r) {
    if (r->n < r->cap) return 0;
    size_t cap = r->cap ? r->cap * 2 : 16;
    struct kvr_ring_event *events = r->alloc->resize(r->alloc->ctx, NULL, cap * sizeof *events);
    if (!events) return -1;
    for (size_t i = 0; i < r->n; i++)
        events[i] = *place(r, i);
    kvr_alloc_free(r->alloc, r->events);
    r->events = events;
    r->cap = cap;
    r->head = 0;
    return 0;
}

uint64_t *kvr_ring_insert(struct kvr_event_ring *r, uint64_t seq, size_t n, size_t blocks) {
    if (widen(r)) return NULL;
    uint64_t *words = r->alloc->resize(r->alloc->ctx, NULL, n * sizeof *words);
    if (!words) return NULL;
    size_t at = (size_t)(seq - r->first);
    for (size_t i = r->n++; i > at; i--)
        *place(r, i) = *place(r, i - 1);
    *place(r, at) = (struct kvr_ring_event){words, n, n, blocks};
    r->bytes += weight(place(r, at));
    return words;
}

void kvr_ring_shrink(struct kvr_event_ring *r, uint64_t seq, size_t n, size_t blocks) {
    struct kvr_ring_event *e = kvr_ring_at(r, seq);
    e->n = n;
    e->blocks = blocks;
    uint64_t *fewer = r->alloc->resize(r->alloc->ctx, e->words, n * sizeof *fewer);
    if (!fewer) return; // it keeps its room
    r->bytes -= (e->room - n) * sizeof *fewer;
    e->words = fewer;
    e->room = n;
}

void kvr_ring_trim(struct kvr_event_ring *r, uint64_t acked, size_t limit) {
    while (r->bytes > limit && r->n > 1 && r->first <= acked) {
        struct kvr_ring_event *e = place(r, 0);
        r->bytes -= weight(e);
        kvr_alloc_free(r->alloc, e->words);
        r->head = (r->head + 1) & (r->cap - 1);
        r->first++;
        r->n--;
    }
}
