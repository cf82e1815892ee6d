// SPDX-License-Identifier: Apache-2.0
// A small world of token sequences: a random tree of blocks, each with its true prefix hash. Everything
// that random tests store and ask for is a path in it, so that chains are consistent and overlap often.
#ifndef FLOW_UNIVERSE_H
#define FLOW_UNIVERSE_H

#include "flow_harness.h"

enum {
    FLOW_UNIVERSE_BLOCKS = 400,
    FLOW_UNIVERSE_DEPTH = 24,
    FLOW_UNIVERSE_BLOCK_SIZE = 4, // tokens a block
};

struct flow_universe {
    struct {
        uint64_t hash;
        int parent; // -1: starts a sequence
        int depth;  // blocks before it
        uint32_t tokens[FLOW_UNIVERSE_BLOCK_SIZE];
    } blocks[FLOW_UNIVERSE_BLOCKS];
};

void flow_universe_grow(struct flow_universe *u, struct flow_rng *r);
// The blocks from the start of the sequence to this one; returns how many.
int flow_universe_path(const struct flow_universe *u, int block, int path[FLOW_UNIVERSE_DEPTH]);

// Adds the n blocks of a list to a command, in a random one of the forms that can say it: prefix
// hashes, or tokens when the list is continued from its true parent and `tokens` allows it.
void flow_add_blocks(struct flow_args *a, const struct flow_universe *u, struct flow_rng *r,
                     const int *list, int n, bool tokens);
void flow_add_parent(struct flow_args *a, const struct flow_universe *u, struct flow_rng *r,
                     int parent); // -1: none

#endif
