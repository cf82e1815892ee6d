// SPDX-License-Identifier: Apache-2.0
// Measuring: the ways of a group take turns on one connection, in short slices, so that whatever else
// the machine does meets all of them alike.
#ifndef COMMANDS_ROUNDS_H
#define COMMANDS_ROUNDS_H

#include <stdbool.h>

#include "bench/common/server.h"
#include "ways.h"

enum { MAX_ROUNDS = 15, DEPTH = 32, MOST_UNDER_WAY = 8192 };

// One figure of the result: a way under given circumstances.
struct cell {
    const struct way *way;
    size_t workers, held; // blocks held
    size_t length;        // index of lengths
    bool tcp, pipelined;  // pipelined: DEPTH units at once, fewer where these are many commands
    size_t rounds;
    double rate[MAX_ROUNDS]; // units a second
    double cpu[MAX_ROUNDS];  // the server's, us a unit
    double p50, p99, p999;   // us from sending to the reply of a unit's first step
    double usec[2];          // INFO's usec_per_call of the way's commands
};

struct plan {
    size_t rounds;
    double slice; // seconds
};

// Measures n ways; cells: n of them, with the circumstances filled in, whose results are set.
void measure_cells(struct server *s, struct caller *c, const struct plan *p, struct cell *cells,
                   size_t n);

// n units in one write; then all their replies. times (may be NULL) gets how long each first step took.
struct times;
void units_together(struct caller *c, const struct way *w, size_t length, size_t n,
                    struct times *times);

double median_of(const double *values, size_t n);
double cell_rate(const struct cell *c); // medians over the rounds
double cell_cpu(const struct cell *c);
// The median of the rounds' own ratios of rates.
double rate_ratio(const struct cell *of, const struct cell *by);

double server_cpu(const struct server *s); // seconds of its main thread so far
double info_number(struct server *s, const char *section, const char *field); // 0: not there

#endif
