// SPDX-License-Identifier: Apache-2.0
#include "router_text_pieces.h"

#include "client/common/alloc.h"

static void end_piece(struct router_text_pieces *t) {
    t->failed =
        kvr_alloc_grow(&kvr_alloc_default, &t->hashes, &t->room, t->n + 1, sizeof *t->hashes);
    if (t->failed) return;
    uint64_t block = XXH3_64bits_digest(t->state);
    t->hashes[t->n] = t->n ? kvr_hash_chain(t->hashes[t->n - 1], block) : block;
    t->n++;
    t->filled = 0;
    XXH3_64bits_reset_withSeed(t->state, t->salt);
}

void router_pieces_put(struct router_text_pieces *t, const char *bytes, size_t n) {
    t->bytes += (int64_t)n;
    if (!t->state) return;
    while (n && !t->failed && t->n < KVR_MAX_BLOCKS) {
        size_t part = t->size - t->filled < n ? t->size - t->filled : n;
        XXH3_64bits_update(t->state, bytes, part);
        bytes += part;
        n -= part;
        t->filled += part;
        if (t->filled == t->size) end_piece(t);
    }
}

static int put_dumped(const char *bytes, size_t n, void *pieces) {
    router_pieces_put(pieces, bytes, n);
    return 0;
}

void router_pieces_json(struct router_text_pieces *t, const json_t *value) {
    if (json_is_string(value))
        router_pieces_put(t, json_string_value(value), json_string_length(value));
    else
        json_dump_callback(value, put_dumped, t, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    router_pieces_put(t, "\xff", 1);
}
