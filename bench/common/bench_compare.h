// SPDX-License-Identifier: Apache-2.0
// Whether a pool holds what engines hold, block by block.
#ifndef BENCH_COMPARE_H
#define BENCH_COMPARE_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench_engines.h"

// What is different, block by block, between what the engines hold in their tiers and what the pool says
// of them. `surplus`: of these, blocks that the pool has and the engine hasn't. -1: somebody doesn't
// answer, or an engine is still at work.
struct bench_difference {
    long blocks, surplus;
    size_t held;     // by the engines
    char first[120]; // one block that the pool lacks or has beyond that; "": none is known
};
bool bench_compare(redisContext *c, const char *pool, const struct bench_engine *engines, size_t n,
                   struct bench_difference *out);

// How many of a prompt's blocks SCORE finds with each engine and rank, against how many of them the
// engine holds from the first on: the number of those that differ, -1 if somebody doesn't answer.
long bench_compare_scores(redisContext *c, const char *pool, const struct bench_engine *engines,
                          size_t n, const uint64_t *hashes, size_t n_hashes);

#endif
