// SPDX-License-Identifier: Apache-2.0
// Writing records: bytes pile up in memory until a chunk is full. The first error stays, and what is written after it
// goes nowhere.
#ifndef CORE_SNAPSHOT_WRITE_H
#define CORE_SNAPSHOT_WRITE_H

#include <kvroute/hash.h>
#include <string.h>

#include "module/core/state/pool_state.h"
#include "snapshot_format.h"

struct snapshot_writer {
    struct kvr_pool *pool;
    int (*sink)(void *ctx, const void *bytes, size_t n);
    void *ctx;
    char *bytes;
    size_t n, cap;
    uint64_t check, records;
    enum kvr_err err; // the first; later writes do nothing
};

static inline void put(struct snapshot_writer *w, const void *bytes, size_t n) {
    if (w->err || !n) return;
    if (core_mem_grow(&w->pool->mem, &w->bytes, &w->cap, w->n + n, 1)) {
        w->err = KVR_NOMEM;
        return;
    }
    memcpy(w->bytes + w->n, bytes, n);
    w->n += n;
}

static inline void put_u8(struct snapshot_writer *w, unsigned x) {
    uint8_t v = (uint8_t)x;
    put(w, &v, sizeof v);
}

static inline void put_u16(struct snapshot_writer *w, unsigned x) {
    uint16_t v = (uint16_t)x;
    put(w, &v, sizeof v);
}

static inline void put_u32(struct snapshot_writer *w, uint32_t x) {
    put(w, &x, sizeof x);
}

static inline void put_u64(struct snapshot_writer *w, uint64_t x) {
    put(w, &x, sizeof x);
}

static inline void put_i64(struct snapshot_writer *w, int64_t x) {
    put(w, &x, sizeof x);
}

static inline void put_f64(struct snapshot_writer *w, double x) {
    put(w, &x, sizeof x);
}

static inline void put_bytes(struct snapshot_writer *w, const char *bytes, size_t n) {
    put_u32(w, (uint32_t)n);
    put(w, bytes, n);
}

static inline void flush(struct snapshot_writer *w) {
    if (w->err) return;
    w->check = XXH3_64bits_withSeed(w->bytes, w->n, w->check);
    put_u64(w, w->check);
    if (!w->err && w->sink(w->ctx, w->bytes, w->n)) w->err = KVR_CORRUPT;
    w->n = 0;
}

static inline void begin(struct snapshot_writer *w, enum core_record kind) {
    if (w->n >= CORE_CHUNK_BYTES) flush(w);
    put_u8(w, kind);
    w->records++;
}

// Classes, flows and those who wait: the records before the workers', and those at the end.
void core_snapshot_save_classes(struct snapshot_writer *w);
void core_snapshot_save_waiting(struct snapshot_writer *w);

#endif
