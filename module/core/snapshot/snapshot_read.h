// SPDX-License-Identifier: Apache-2.0
// Reading records: from a chunk whose check was right. What reads past its end is zero, and the reader bad.
#ifndef CORE_SNAPSHOT_READ_H
#define CORE_SNAPSHOT_READ_H

#include <string.h>

#include "module/core/state/pool_state.h"
#include "snapshot_format.h"

struct kvr_loader {
    struct core_mem mem;
    uint64_t seed, check, records;
    struct kvr_pool *pool;
    uint32_t *instances; // by number: the pool's instance
    size_t n_instances, cap_instances;
    uint64_t number;       // of the last request's booking: they come in its order
    uint64_t arrival;      // of the last one that waits, likewise
    uint32_t runs;         // so far; a run's number is its id, as a fresh tree counts from 1
    enum core_record kind; // of the last record
    uint32_t format;
    bool done;
    uint64_t *hashes; // of the record at hand, aligned
    size_t cap_hashes;
    struct kvr_bytes *names; // likewise
    size_t cap_names;
    bool queued; // there was a record of the queue
};

struct snapshot_reader {
    const uint8_t *at, *end;
    bool bad; // read past the end; everything since is zero
};

static inline const uint8_t *take(struct snapshot_reader *r, size_t n) {
    if ((size_t)(r->end - r->at) < n) {
        r->bad = true;
        r->at = r->end;
        return NULL;
    }
    const uint8_t *p = r->at;
    r->at += n;
    return p;
}

static inline uint64_t get(struct snapshot_reader *r, size_t n) {
    uint64_t x = 0;
    const uint8_t *p = take(r, n);
    if (p) memcpy(&x, p, n);
    return x;
}

static inline uint32_t get_u32(struct snapshot_reader *r) {
    return (uint32_t)get(r, 4);
}

static inline int64_t get_i64(struct snapshot_reader *r) {
    return (int64_t)get(r, 8);
}

static inline double get_f64(struct snapshot_reader *r) {
    uint64_t bits = get(r, 8);
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline struct kvr_bytes get_bytes(struct snapshot_reader *r, size_t max) {
    size_t n = get_u32(r);
    if (n > max) r->bad = true;
    const uint8_t *p = r->bad ? NULL : take(r, n);
    return (struct kvr_bytes){p ? (const char *)p : "", p ? n : 0};
}

// n hashes, aligned, into the loader's scratch.
static inline enum kvr_err get_hashes(struct kvr_loader *l, struct snapshot_reader *r, size_t n) {
    const uint8_t *p = n <= KVR_MAX_BLOCKS ? take(r, n * sizeof(uint64_t)) : NULL;
    if (!p) return KVR_CORRUPT;
    if (core_mem_grow(&l->mem, &l->hashes, &l->cap_hashes, n, sizeof *l->hashes)) return KVR_NOMEM;
    if (n) memcpy(l->hashes, p, n * sizeof(uint64_t));
    return KVR_OK;
}

// The records of classes, flows and those who wait.
enum kvr_err core_snapshot_load_class(struct kvr_loader *l, struct snapshot_reader *r);
enum kvr_err core_snapshot_load_flow(struct kvr_loader *l, struct snapshot_reader *r);
enum kvr_err core_snapshot_load_waiting(struct kvr_loader *l, struct snapshot_reader *r);
enum kvr_err core_snapshot_load_line(struct kvr_loader *l, struct snapshot_reader *r);
enum kvr_err core_snapshot_load_tags(struct kvr_loader *l, struct snapshot_reader *r);

#endif
