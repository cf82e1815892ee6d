// SPDX-License-Identifier: Apache-2.0
// A small world of token sequences: a random tree of blocks, each with its true prefix hash. Everything
// that random tests store and ask for is a path in it, so that chains are consistent and overlap often.
#ifndef FLOW_UNIVERSE_H
#define FLOW_UNIVERSE_H

#include "harness.h"

enum {
    UNIVERSE_BLOCKS = 400,
    UNIVERSE_DEPTH = 24,
    UNIVERSE_BLOCK_SIZE = 4, // tokens a block
};

struct universe {
    struct {
        uint64_t hash;
        int parent; // -1: starts a sequence
        int depth;  // blocks before it
        uint32_t tokens[UNIVERSE_BLOCK_SIZE];
    } blocks[UNIVERSE_BLOCKS];
};

void universe_grow(struct universe *u, struct rng *r);
// The blocks from the start of the sequence to this one; returns how many.
int universe_path(const struct universe *u, int block, int path[UNIVERSE_DEPTH]);

// Adds the n blocks of a list to a command, in a random one of the forms that can say it: prefix
// hashes, or tokens when the list is continued from its true parent and `tokens` allows it.
void add_blocks(struct args *a, const struct universe *u, struct rng *r, const int *list, int n,
                bool tokens);
void add_parent(struct args *a, const struct universe *u, struct rng *r, int parent); // -1: none

#endif
