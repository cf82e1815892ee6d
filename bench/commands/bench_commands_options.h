// SPDX-License-Identifier: Apache-2.0
// What the benchmark was asked to do.
#ifndef BENCH_COMMANDS_OPTIONS_H
#define BENCH_COMMANDS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "bench_holdings.h"
#include "bench_measure.h"

enum { BENCH_MAX_POOLS = 8 };

// A pool to be measured on.
struct bench_pool {
    size_t workers, blocks;
    bool tcp; // also over TCP
};

struct bench_options {
    struct bench_pool pools[BENCH_MAX_POOLS];
    size_t n_pools;
    size_t main; // the one that the goals are about
    bool length[BENCH_LENGTHS];
    struct bench_rounds plan;
    double seconds; // of each part of the mixed load
    // As given, 0 if not.
    bool quick, big;
    uint64_t workers, blocks, rounds, slice; // slice: ms
    const char *out;                         // folder for the JSON and the SVG; NULL: none
    const char *module, *server;             // paths; NULL: of the environment or the build
};

// Parses the arguments. Returns -1 to go on, or the exit status after --help or a mistake.
int bench_options_parse(struct bench_options *o, int argc, char **argv);

#endif
