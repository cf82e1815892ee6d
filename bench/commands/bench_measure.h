// SPDX-License-Identifier: Apache-2.0
// Measuring: the bench_ops of a group take turns on one connection, in short slices, so that whatever else
// the machine does meets all of them alike.
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stdbool.h>

#include "bench_ops.h"
#include "tests/support/support_redis.h"

enum { BENCH_MAX_ROUNDS = 15, BENCH_DEPTH = 32, MAX_UNDER_WAY = 8192 };

// One figure of the result: an operation under given circumstances.
struct bench_result {
    const struct bench_op *op;
    size_t workers, held; // blocks held
    size_t length;        // index of bench_lengths
    bool tcp,
        pipelined; // pipelined: BENCH_DEPTH units at once, fewer where these are many commands
    size_t rounds;
    double rate[BENCH_MAX_ROUNDS]; // units a second
    double cpu[BENCH_MAX_ROUNDS];  // the server's, us a unit
    double p50, p99, p999;         // us from sending to the reply of a unit's first step
    double usec[2];                // INFO's usec_per_call of the operation's commands
};

struct bench_rounds {
    size_t rounds;
    double slice; // seconds
};

// Measures n bench_ops; cells: n of them, with the circumstances filled in, whose results are set.
void bench_measure(struct support_redis *s, struct bench_caller *c, const struct bench_rounds *p,
                   struct bench_result *cells, size_t n);

// n units in one write; then all their replies. times (may be NULL) gets how long each first step took.
struct bench_times;
void bench_units_pipelined(struct bench_caller *c, const struct bench_op *w, size_t length,
                           size_t n, struct bench_times *times);

// Seconds of a processor that the server has used; exact once it waits for work.
double bench_server_cpu(const struct support_redis *s);

double bench_result_rate(const struct bench_result *c); // medians over the rounds
double bench_result_cpu(const struct bench_result *c);
// The median of the rounds' own ratios of rates.
double bench_rate_ratio(const struct bench_result *of, const struct bench_result *by);

#endif
