// SPDX-License-Identifier: Apache-2.0
// The figures of a run, the same for real and for simulated ones.
#ifndef CALIBRATE_TALLY_H
#define CALIBRATE_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/load/load_client.h"
#include "bench/load/script.h"
#include "bench/sim/stats.h"

// One request's part in the figures. Seconds since the first request was due.
struct tally_request {
    double at, first, last;
    uint32_t tokens; // of the answer
    uint32_t prompt, cached;
};

struct tally {
    size_t n;
    double hits;                          // tokens of prompts that were cached, a share
    double ttft_mean, ttft_p50, ttft_p99; // seconds
    double tbt;                           // mean, seconds
};

void tally_requests(const struct tally_request *all, size_t n, struct tally *out);
// Of what was played; those that failed are left out.
void tally_played(const struct bench_script *s, const struct bench_outcome *played,
                  struct tally *out);
void tally_lives(const struct bench_script *s, const struct life *lives, struct tally *out);
// The median of each figure. n >= 1.
void tally_medians(const struct tally *all, size_t n, struct tally *out);
// Whether two runs agree as they should: hits within 2 points, TTFT's p50 within 15 % and p99 within
// 35 %. *what says which doesn't, a letter each: h, m(edian), t(ail).
bool tally_agrees(const struct tally *real, const struct tally *simulated, char what[4]);

#endif
