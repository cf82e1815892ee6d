// SPDX-License-Identifier: Apache-2.0
// The bridge's ears, on any bytes: a payload decoded and mapped.
//
//   input   one byte of options, then payloads: two bytes of length each
//
// The sink keeps nothing but checks what it is told: tiers that are, lists that are readable.
#include <stdlib.h>
#include <string.h>

#include "client/bridge/block_map.h"
#include "fuzz_target.h"

struct sink_calls {
    uint64_t sum;
    unsigned refusing, calls; // every so many calls
};

static enum kvr_code answer(struct sink_calls *t, int tier, const uint64_t *hashes, size_t n) {
    if (tier < 0 || tier >= KVR_TIERS) abort();
    for (size_t i = 0; i < n; i++)
        t->sum += hashes[i];
    return t->refusing && ++t->calls % t->refusing == 0 ? KVR_CODE_FULL : KVR_CODE_OK;
}

static enum kvr_code on_stored(void *ctx, enum kvr_tier tier, const uint64_t *parent,
                               const uint64_t *hashes, size_t n) {
    struct sink_calls *t = ctx;
    if (parent) t->sum ^= *parent;
    return answer(t, (int)tier, hashes, n);
}

static enum kvr_code on_removed(void *ctx, enum kvr_tier tier, const uint64_t *hashes, size_t n) {
    answer(ctx, (int)tier, hashes, n);
    return KVR_CODE_OK;
}

static enum kvr_code on_cleared(void *ctx, int tier) {
    (void)ctx;
    if (tier != -1) abort();
    return KVR_CODE_OK;
}

static bool on_parent(void *ctx, uint64_t hash, uint64_t *parent, bool *has) {
    (void)ctx;
    *has = hash & 1;
    *parent = hash >> 1;
    return hash % 3 != 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sink_calls told = {0};
    if (!size) return 0;
    struct bridge_map_options o = {
        .block_size = 1u + (data[0] & 3u), .as_set = data[0] & 4, .capacity = data[0] & 8 ? 3 : 0};
    struct bridge_map_sink sink = {&told, on_stored, on_removed, on_cleared, NULL, on_parent};
    told.refusing = data[0] >> 4;
    struct bridge_decoder *d = bridge_decoder_new();
    struct bridge_map m;
    bridge_map_init(&m, &o, &sink);
    const uint8_t *at = data + 1, *end = data + size;
    while (end - at >= 2) {
        size_t n = (size_t)at[0] << 8 | at[1];
        at += 2;
        if (n > (size_t)(end - at)) n = (size_t)(end - at);
        uint8_t *payload = malloc(n ? n : 1); // so that nothing stands behind it
        if (n) memcpy(payload, at, n);
        at += n;
        struct bridge_batch b;
        struct bridge_event e;
        if (bridge_decode_batch(payload, n, &b))
            while (bridge_decode_event(d, &b, &e) != BRIDGE_EVENT_END)
                if (e.type == BRIDGE_EVENT_STORED || e.type == BRIDGE_EVENT_REMOVED ||
                    e.type == BRIDGE_EVENT_CLEARED)
                    bridge_map_event(&m, &e);
        free(payload);
    }
    bridge_map_reset(&m);
    if (bridge_map_blocks(&m) || m.copies) abort();
    bridge_map_free(&m);
    bridge_decoder_free(d);
    return 0;
}
