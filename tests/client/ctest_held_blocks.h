// SPDX-License-Identifier: Apache-2.0
// What a rank holds, in plain arrays: what held_blocks.h and the publisher are compared with.
//
// Blocks are numbers into a universe of a few hashes. A block's record says what is known of it;
// whether it is placed is found out by climbing, each time.
#ifndef CTEST_TRUTH_H
#define CTEST_TRUTH_H

#include <kvroute/client.h>
#include <stdbool.h>

#include "client/common/random.h"
#include "client/lib/publisher/held_blocks.h"

enum { CTEST_NOBODY = -1, CTEST_MAX_BLOCKS = 6000 };

// A random forest: the places where blocks belong. hash[0] is 0 and the last one 2^64 - 1.
struct ctest_universe {
    size_t n;
    uint64_t hash[CTEST_MAX_BLOCKS]; // ascending
    int parent
        [CTEST_MAX_BLOCKS]; // CTEST_NOBODY: a start; else another block's number, not in order
    size_t depth[CTEST_MAX_BLOCKS];
};

unsigned ctest_below(uint64_t *d, size_t n); // n > 0
bool ctest_chance(uint64_t *d, unsigned percent);

// Runs round(ctx, seed) for some seeds, or for KVROUTE_SEED alone.
void ctest_with_seeds(size_t rounds, void (*round)(void *ctx, uint64_t seed), void *ctx);
// Fails the test unless it holds; names the seed.
void ctest_must(bool holds, const char *format, ...) __attribute__((format(printf, 2, 3)));

void ctest_universe_make(struct ctest_universe *u, uint64_t *d, size_t n,
                         unsigned straight); // percent
int ctest_universe_find(const struct ctest_universe *u,
                        uint64_t hash); // CTEST_NOBODY: none of these

struct ctest_block {
    bool here, phantom, refused;
    int parent; // CTEST_NOBODY: a start, or a phantom
    unsigned held;
};

struct ctest_truth {
    const struct ctest_universe *universe;
    size_t max_blocks;
    struct ctest_block block[CTEST_MAX_BLOCKS];
};

void ctest_truth_init(struct ctest_truth *t, const struct ctest_universe *u, size_t max_blocks);
enum kvr_code ctest_truth_store(struct ctest_truth *t, int tier, int parent, const int *blocks,
                                size_t n,
                                size_t *stored); // how many of these were not refused
void ctest_truth_remove(struct ctest_truth *t, int tier, int block);
void ctest_truth_clear(struct ctest_truth *t, int tier); // -1: all
bool ctest_truth_placed(const struct ctest_truth *t, int block);

// A call's blocks: part of a path, or now and then something that makes no sense. parent may be
// CTEST_NOBODY. Returns how many.
size_t ctest_draw_chain(const struct ctest_universe *u, uint64_t *d, unsigned nonsense, int *parent,
                        int *blocks, size_t room);

void ctest_reverse(int *blocks, size_t n);

// Fails the test, saying what is wrong, unless the truth is sound and says the same.
void ctest_truth_check(const struct kvr_held_blocks *t);
void ctest_truth_compare(const struct kvr_held_blocks *t, const struct ctest_truth *n);

#endif
