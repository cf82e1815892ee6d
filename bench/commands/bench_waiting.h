// SPDX-License-Identifier: Apache-2.0
// What it costs the server that a request waits. A case is a pool with some limit, so many who wait already, and
// in so many lines; a unit is a request's life.
//
// A request that needn't wait: SELECT, RELEASE. One that waits: SELECT with WAIT, which gets it a place in the
// queue; the RELEASE of the oldest live one, which admits the first of those who wait; and the SELECT with which
// that one's owner comes for it. So there are always as many live and as many waiting, and who is admitted next is
// known: with lines of equal weight and requests of equal size the order is that of arrival.
#ifndef BENCH_WAITING_H
#define BENCH_WAITING_H

#include "bench_measure.h"

enum bench_limit {
    BENCH_LIMIT_NONE,
    BENCH_LIMIT_REQUESTS, // MAXREQUESTS: one request an instance, and so with the others
    BENCH_LIMIT_PREFILL,
    BENCH_LIMIT_BLOCKS,
    BENCH_LIMITS
};

struct bench_waiting_case {
    const char *id, *name;
    enum bench_limit limit;
    size_t waiting; // 0: nobody waits, and there is room
    size_t flows;   // of those who wait; 0: none
    size_t length;  // index of bench_lengths
    bool notify;    // each names a channel, on which somebody listens
    // Results.
    size_t rounds;
    double rate[BENCH_MAX_ROUNDS], cpu[BENCH_MAX_ROUNDS]; // units a second; the server's, us a unit
};

// Measures the cases in turns, on the same server. c has a connection to it; `workers` are registered there.
void bench_waiting_measure(struct support_redis *s, struct bench_caller *c,
                           const struct bench_rounds *p, struct bench_waiting_case *cases,
                           size_t n);

#endif
