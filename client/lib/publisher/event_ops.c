// SPDX-License-Identifier: Apache-2.0
#include "event_ops.h"

#include <string.h>

#include "client/lib/calls/encode.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "hashes go over the wire in little-endian order; this host is big-endian"
#endif

void kvr_ops_init(struct kvr_event_ops *o, const struct kvr_alloc *a) {
    *o = (struct kvr_event_ops){.alloc = a};
}

void kvr_ops_free(struct kvr_event_ops *o) {
    kvr_alloc_free(o->alloc, o->words);
    kvr_ops_init(o, o->alloc);
}

void kvr_ops_empty(struct kvr_event_ops *o) {
    o->n = o->blocks = 0;
}

void kvr_ops_cut(struct kvr_event_ops *o, size_t n, size_t blocks) {
    struct kvr_op op;
    o->n = n;
    o->blocks = blocks;
    for (size_t at = 0; at < n;) {
        o->last = at;
        at = kvr_ops_read(o->words, at, &op);
    }
}

// ---- Words ---------------------------------------------------------------------------------------

uint64_t kvr_ops_head(enum kvr_op_kind kind, int tier, bool has_parent, size_t n) {
    return (uint64_t)kind | (uint64_t)(tier + 1) << 8 | (uint64_t)has_parent << 16 |
           (uint64_t)n << 32;
}

size_t kvr_ops_read(const uint64_t *words, size_t at, struct kvr_op *op) {
    uint64_t head = words[at++];
    *op = (struct kvr_op){.kind = (enum kvr_op_kind)(head & 0xff),
                          .tier = (int)(head >> 8 & 0xff) - 1,
                          .n = (size_t)(head >> 32)};
    if (head >> 16 & 1) op->parent = &words[at++];
    op->hashes = &words[at];
    return at + op->n;
}

static int append(struct kvr_event_ops *o, enum kvr_op_kind kind, int tier, const uint64_t *parent,
                  const uint64_t *hashes, size_t n, bool goes_on) {
    if (kvr_alloc_grow(o->alloc, &o->words, &o->cap, o->n + 2 + n, sizeof *o->words)) return -1;
    if (goes_on) {
        o->words[o->last] += (uint64_t)n << 32;
    } else {
        o->last = o->n;
        o->words[o->n++] = kvr_ops_head(kind, tier, parent != NULL, n);
        if (parent) o->words[o->n++] = *parent;
    }
    if (n) memcpy(&o->words[o->n], hashes, n * sizeof *hashes);
    o->n += n;
    o->blocks += n;
    return 0;
}

static bool last_is(const struct kvr_event_ops *o, enum kvr_op_kind kind, int tier,
                    struct kvr_op *op) {
    if (!o->n) return false;
    kvr_ops_read(o->words, o->last, op);
    return op->kind == kind && op->tier == tier;
}

int kvr_ops_stored(struct kvr_event_ops *o, int tier, const uint64_t *parent,
                   const uint64_t *hashes, size_t n) {
    struct kvr_op op;
    bool goes_on = parent && last_is(o, KVR_OP_STORED, tier, &op) && o->words[o->n - 1] == *parent;
    return append(o, KVR_OP_STORED, tier, parent, hashes, n, goes_on);
}

int kvr_ops_removed(struct kvr_event_ops *o, int tier, const uint64_t *hashes, size_t n) {
    struct kvr_op op;
    return append(o, KVR_OP_REMOVED, tier, NULL, hashes, n, last_is(o, KVR_OP_REMOVED, tier, &op));
}

int kvr_ops_cleared(struct kvr_event_ops *o, int tier) {
    struct kvr_op op;
    if (last_is(o, KVR_OP_CLEARED, tier, &op)) return 0;
    return append(o, KVR_OP_CLEARED, tier, NULL, NULL, 0, false);
}

void kvr_ops_encode(struct kvr_wire *w, const uint64_t *words, size_t n) {
    struct kvr_op op;
    for (size_t at = 0; at < n;) {
        at = kvr_ops_read(words, at, &op);
        kvr_encode_op(w, &op);
    }
}
