// SPDX-License-Identifier: Apache-2.0
#include "decision_log.h"

// Record `serial` is at serial % cap of the ring, which grows up to the limit as it fills: so an idle log of many is
// small. Invariant: first <= next, next - first <= cap <= limits.records, bytes <= limits.bytes.
struct kvr_decision_log {
    struct core_mem mem;
    struct kvr_decision_limits limits;
    struct kvr_decision_record **ring;
    size_t cap;
    uint64_t first, next, bytes, dropped;
    struct kvr_pool_candidate candidates[KVR_DECISION_ALL]; // scratch of one choice
};

struct kvr_decision_log *kvr_decision_log_new(const struct kvr_alloc *a,
                                              const struct kvr_decision_limits *limits,
                                              uint64_t first) {
    struct core_mem mem = {*a, 0};
    struct kvr_decision_log *l = core_mem_calloc(&mem, sizeof *l);
    if (!l) return NULL;
    l->mem = mem;
    l->limits = *limits;
    l->first = l->next = first;
    return l;
}

static struct kvr_decision_record **place_of(const struct kvr_decision_log *l, uint64_t serial) {
    return &l->ring[serial % l->cap];
}

static void drop_oldest(struct kvr_decision_log *l) {
    struct kvr_decision_record *r = *place_of(l, l->first++);
    l->bytes -= r->bytes;
    core_mem_free(&l->mem, r, r->bytes);
}

uint64_t kvr_decision_log_clear(struct kvr_decision_log *l) {
    uint64_t n = l->next - l->first;
    while (l->first < l->next)
        drop_oldest(l);
    return n;
}

void kvr_decision_log_free(struct kvr_decision_log *l) {
    if (!l) return;
    kvr_decision_log_clear(l);
    core_mem_free(&l->mem, l->ring, l->cap * sizeof *l->ring);
    struct core_mem mem = l->mem;
    core_mem_free(&mem, l, sizeof *l);
}

// Room for one more record, as far as there is memory: a ring that can't grow goes on as it is.
static bool make_room(struct kvr_decision_log *l) {
    enum { RING_START = 64 };
    size_t n = (size_t)(l->next - l->first), cap = l->cap ? 2 * l->cap : RING_START;
    if (n < l->cap || l->cap == l->limits.records) return true;
    if (cap > l->limits.records) cap = (size_t)l->limits.records;
    struct kvr_decision_record **wider = core_mem_alloc(&l->mem, cap * sizeof *wider);
    if (!wider) return l->cap > 0;
    for (uint64_t s = l->first; s < l->next; s++)
        wider[s % cap] = *place_of(l, s);
    core_mem_free(&l->mem, l->ring, l->cap * sizeof *l->ring);
    l->ring = wider;
    l->cap = cap;
    return true;
}

static void add(struct kvr_decision_log *l, struct kvr_decision_record *r) {
    if (r->bytes > l->limits.bytes || !make_room(l)) {
        core_mem_free(&l->mem, r, r->bytes);
        l->dropped++;
        return;
    }
    while (l->next - l->first >= l->cap || l->bytes + r->bytes > l->limits.bytes) {
        drop_oldest(l);
        l->dropped++;
    }
    r->serial = l->next++;
    l->bytes += r->bytes;
    *place_of(l, r->serial) = r;
}

struct kvr_decision_record *kvr_decision_log_begin(struct kvr_decision_log *l, struct kvr_pool *p,
                                                   int64_t now, struct kvr_bytes id,
                                                   const struct kvr_query *q) {
    struct kvr_request_info live;
    struct kvr_pool_explanation e;
    if (kvr_request_get(p, now, id, &live) || kvr_waits(p, id)) return NULL;
    bool many = kvr_worker_count(p) > KVR_DECISION_ALL; // then it needn't sort more than are kept
    size_t top = many ? KVR_DECISION_FIRST : KVR_DECISION_ALL;
    enum kvr_err err = kvr_explain(p, now, q, top, l->candidates, &e);
    if (err == KVR_NOMEM) l->dropped++;
    if (err) return NULL;
    if (e.instances > KVR_DECISION_ALL) e.n = KVR_DECISION_FIRST;
    struct kvr_decision_record *r =
        kvr_decision_record_new(&l->mem, p, now, id, q, l->limits.hashes, &e, l->candidates);
    if (!r) l->dropped++;
    return r;
}

void kvr_decision_log_end(struct kvr_decision_log *l, struct kvr_decision_record *r,
                          enum kvr_err result, const struct kvr_pool_choice *choice) {
    if (!r) return;
    bool told =
        result == KVR_OK || result == KVR_NOWORKER || result == KVR_NOROOM || result == KVR_LIMITED;
    if (!told) { // it wasn't decided but refused
        core_mem_free(&l->mem, r, r->bytes);
        return;
    }
    kvr_decision_record_result(r, result, choice);
    add(l, r);
}

void kvr_decision_log_ended(struct kvr_decision_log *l, const struct kvr_pool *p, int64_t now,
                            struct kvr_bytes id, bool lapsed) {
    struct kvr_request_info live;
    if (!kvr_request_get(p, now, id, &live)) return;
    struct kvr_decision_record *r = kvr_decision_record_end(&l->mem, now, &live, lapsed);
    if (r)
        add(l, r);
    else
        l->dropped++;
}

void kvr_decision_log_stats(const struct kvr_decision_log *l, struct kvr_decision_stats *out) {
    *out = (struct kvr_decision_stats){
        .records = l->next - l->first,
        .bytes = l->bytes,
        .first = l->first,
        .next = l->next,
        .dropped = l->dropped,
        .memory = l->mem.used,
        .limits = l->limits,
    };
}

const struct kvr_decision_record *kvr_decision_log_at(const struct kvr_decision_log *l,
                                                      uint64_t serial) {
    return *place_of(l, serial);
}

const char *kvr_decision_log_validate(const struct kvr_decision_log *l) {
    size_t bytes = 0;
    if (l->first > l->next || l->next - l->first > l->cap || l->cap > l->limits.records)
        return "the ring holds more than it may";
    for (uint64_t s = l->first; s < l->next; s++) {
        const struct kvr_decision_record *r = kvr_decision_log_at(l, s);
        if (r->serial != s) return "a record isn't in its place";
        bytes += r->bytes;
    }
    if (bytes != l->bytes || bytes > l->limits.bytes) return "bytes are miscounted";
    return l->mem.used == sizeof *l + l->cap * sizeof *l->ring + bytes ? NULL
                                                                       : "memory is miscounted";
}
