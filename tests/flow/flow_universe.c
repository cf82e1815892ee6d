// SPDX-License-Identifier: Apache-2.0
// Random consistent block chains; see universe.h.
#include "flow_universe.h"

#include <inttypes.h>
#include <kvroute/hash.h>
#include <stdio.h>
#include <string.h>

void flow_universe_grow(struct flow_universe *u, struct flow_rng *r) {
    for (int i = 0; i < FLOW_UNIVERSE_BLOCKS; i++) {
        int parent = -1;
        if (i > 0 && flow_rng_below(r, 40) != 0) {
            // Often the block just grown, so that chains get long; else any, so that they branch.
            parent = flow_rng_below(r, 3) ? i - 1 : (int)flow_rng_below(r, (uint64_t)i);
            if (u->blocks[parent].depth + 1 >= FLOW_UNIVERSE_DEPTH) parent = -1;
        }
        u->blocks[i].parent = parent;
        u->blocks[i].depth = parent < 0 ? 0 : u->blocks[parent].depth + 1;
        for (int k = 0; k < FLOW_UNIVERSE_BLOCK_SIZE; k++)
            u->blocks[i].tokens[k] = (uint32_t)flow_rng_next(r);
        kvr_hash_tokens(u->blocks[i].tokens, FLOW_UNIVERSE_BLOCK_SIZE, FLOW_UNIVERSE_BLOCK_SIZE,
                        KVR_HASH_SEED, parent < 0 ? NULL : &u->blocks[parent].hash,
                        &u->blocks[i].hash);
    }
}

int flow_universe_path(const struct flow_universe *u, int block, int path[FLOW_UNIVERSE_DEPTH]) {
    int n = u->blocks[block].depth + 1;
    for (int i = n; i > 0; i--) {
        path[i - 1] = block;
        block = u->blocks[block].parent;
    }
    return n;
}

static void add_hex(struct flow_args *a, const struct flow_universe *u, const int *list, int n) {
    char digits[16 * FLOW_UNIVERSE_DEPTH + 1] = "";
    for (int i = 0; i < n; i++)
        snprintf(digits + 16 * i, 17, "%016" PRIx64, u->blocks[list[i]].hash);
    flow_args_str(a, "HEX");
    flow_args_str(a, digits);
}

void flow_add_blocks(struct flow_args *a, const struct flow_universe *u, struct flow_rng *r,
                     const int *list, int n, bool tokens) {
    uint64_t hashes[FLOW_UNIVERSE_DEPTH];
    uint32_t ids[FLOW_UNIVERSE_DEPTH * FLOW_UNIVERSE_BLOCK_SIZE];
    switch (flow_rng_below(r, tokens ? 4 : 2)) {
    case 0:
        add_hex(a, u, list, n);
        return;
    case 1:
        for (int i = 0; i < n; i++)
            hashes[i] = u->blocks[list[i]].hash;
        flow_args_str(a, "HASHES");
        flow_args_add(a, hashes, (size_t)n * 8);
        return;
    default:
        break;
    }
    size_t count = (size_t)n * FLOW_UNIVERSE_BLOCK_SIZE;
    for (int i = 0; i < n; i++)
        memcpy(ids + i * FLOW_UNIVERSE_BLOCK_SIZE, u->blocks[list[i]].tokens,
               sizeof u->blocks[list[i]].tokens);
    if (flow_rng_below(r, 2)) {
        flow_args_str(a, "TOKENS");
        flow_args_add(a, ids, count * 4);
        return;
    }
    flow_args_str(a, "IDS");
    flow_args_int(a, (int64_t)count);
    for (size_t i = 0; i < count; i++)
        flow_args_int(a, ids[i]);
}

void flow_add_parent(struct flow_args *a, const struct flow_universe *u, struct flow_rng *r,
                     int parent) {
    if (parent < 0) {
        flow_args_str(a, "-");
    } else if (flow_rng_below(r, 2)) {
        flow_args_add(a, &u->blocks[parent].hash, 8);
    } else {
        char hex[17];
        snprintf(hex, sizeof hex, "%016" PRIx64, u->blocks[parent].hash);
        flow_args_str(a, hex);
    }
}
