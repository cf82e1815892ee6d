// SPDX-License-Identifier: Apache-2.0
// What a rank holds, in plain arrays: what truth.h and the publisher are compared with.
//
// Blocks are numbers into a universe of a few hashes. A block's record says what is known of it;
// whether it is placed is found out by climbing, each time.
#ifndef CLIENT_NAIVE_TRUTH_H
#define CLIENT_NAIVE_TRUTH_H

#include <kvroute/client.h>
#include <stdbool.h>

#include "client/lib/publisher/truth.h"

enum { NOBODY = -1, MOST_BLOCKS = 6000 };

// A random forest: the places where blocks belong. hash[0] is 0 and the last one 2^64 - 1.
struct universe {
    size_t n;
    uint64_t hash[MOST_BLOCKS]; // ascending
    int parent[MOST_BLOCKS];    // NOBODY: a start; else another block's number, not in order
    size_t depth[MOST_BLOCKS];
};

struct dice {
    uint64_t state;
};
uint64_t dice_next(struct dice *d);
unsigned dice_below(struct dice *d, size_t n); // n > 0
bool dice_chance(struct dice *d, unsigned percent);

// Runs round(ctx, seed) for some seeds, or for KVROUTE_SEED alone.
void with_seeds(size_t rounds, void (*round)(void *ctx, uint64_t seed), void *ctx);
// Fails the test unless it holds; names the seed.
void must(bool holds, const char *format, ...) __attribute__((format(printf, 2, 3)));

void universe_make(struct universe *u, struct dice *d, size_t n, unsigned straight); // percent
int universe_find(const struct universe *u, uint64_t hash); // NOBODY: none of these

struct naive_block {
    bool here, phantom, refused;
    int parent; // NOBODY: a start, or a phantom
    unsigned held;
};

struct naive_truth {
    const struct universe *universe;
    size_t max_blocks;
    struct naive_block block[MOST_BLOCKS];
};

void naive_init(struct naive_truth *t, const struct universe *u, size_t max_blocks);
enum kvr_code naive_store(struct naive_truth *t, int tier, int parent, const int *blocks, size_t n,
                          size_t *stored); // how many of these were not refused
void naive_remove(struct naive_truth *t, int tier, int block);
void naive_clear(struct naive_truth *t, int tier); // -1: all
bool naive_placed(const struct naive_truth *t, int block);
bool naive_has_children(const struct naive_truth *t, int block);

// A call's blocks: part of a path, or now and then something that makes no sense. parent may be
// NOBODY. Returns how many.
size_t draw_chain(const struct universe *u, struct dice *d, unsigned nonsense, int *parent,
                  int *blocks, size_t room);

// Fails the test, saying what is wrong, unless the truth is sound and says the same.
void truth_check(const struct kvr_truth *t);
void truth_compare(const struct kvr_truth *t, const struct naive_truth *n);

#endif
