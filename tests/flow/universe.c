// SPDX-License-Identifier: Apache-2.0
// Random consistent block chains; see universe.h.
#include "universe.h"

#include <inttypes.h>
#include <kvroute/hash.h>
#include <stdio.h>
#include <string.h>

void universe_grow(struct universe *u, struct rng *r) {
    for (int i = 0; i < UNIVERSE_BLOCKS; i++) {
        int parent = -1;
        if (i > 0 && rng_below(r, 40) != 0) {
            // Often the block just grown, so that chains get long; else any, so that they branch.
            parent = rng_below(r, 3) ? i - 1 : (int)rng_below(r, (uint64_t)i);
            if (u->blocks[parent].depth + 1 >= UNIVERSE_DEPTH) parent = -1;
        }
        u->blocks[i].parent = parent;
        u->blocks[i].depth = parent < 0 ? 0 : u->blocks[parent].depth + 1;
        for (int k = 0; k < UNIVERSE_BLOCK_SIZE; k++)
            u->blocks[i].tokens[k] = (uint32_t)rng_next(r);
        kvr_hash_tokens(u->blocks[i].tokens, UNIVERSE_BLOCK_SIZE, UNIVERSE_BLOCK_SIZE,
                        KVR_HASH_SEED, parent < 0 ? NULL : &u->blocks[parent].hash,
                        &u->blocks[i].hash);
    }
}

int universe_path(const struct universe *u, int block, int path[UNIVERSE_DEPTH]) {
    int n = u->blocks[block].depth + 1;
    for (int i = n; i > 0; i--) {
        path[i - 1] = block;
        block = u->blocks[block].parent;
    }
    return n;
}

static void add_hex(struct args *a, const struct universe *u, const int *list, int n) {
    char digits[16 * UNIVERSE_DEPTH + 1] = "";
    for (int i = 0; i < n; i++)
        snprintf(digits + 16 * i, 17, "%016" PRIx64, u->blocks[list[i]].hash);
    args_str(a, "HEX");
    args_str(a, digits);
}

void add_blocks(struct args *a, const struct universe *u, struct rng *r, const int *list, int n,
                bool tokens) {
    uint64_t hashes[UNIVERSE_DEPTH];
    uint32_t ids[UNIVERSE_DEPTH * UNIVERSE_BLOCK_SIZE];
    switch (rng_below(r, tokens ? 4 : 2)) {
    case 0:
        add_hex(a, u, list, n);
        return;
    case 1:
        for (int i = 0; i < n; i++)
            hashes[i] = u->blocks[list[i]].hash;
        args_str(a, "HASHES");
        args_add(a, hashes, (size_t)n * 8);
        return;
    default:
        break;
    }
    size_t count = (size_t)n * UNIVERSE_BLOCK_SIZE;
    for (int i = 0; i < n; i++)
        memcpy(ids + i * UNIVERSE_BLOCK_SIZE, u->blocks[list[i]].tokens,
               sizeof u->blocks[list[i]].tokens);
    if (rng_below(r, 2)) {
        args_str(a, "TOKENS");
        args_add(a, ids, count * 4);
        return;
    }
    args_str(a, "IDS");
    args_int(a, (int64_t)count);
    for (size_t i = 0; i < count; i++)
        args_int(a, ids[i]);
}

void add_parent(struct args *a, const struct universe *u, struct rng *r, int parent) {
    if (parent < 0) {
        args_str(a, "-");
    } else if (rng_below(r, 2)) {
        args_add(a, &u->blocks[parent].hash, 8);
    } else {
        char hex[17];
        snprintf(hex, sizeof hex, "%016" PRIx64, u->blocks[parent].hash);
        args_str(a, hex);
    }
}
