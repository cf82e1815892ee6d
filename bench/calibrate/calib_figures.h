// SPDX-License-Identifier: Apache-2.0
// The figures of a run, the same for real and for simulated ones.
#ifndef CALIB_TALLY_H
#define CALIB_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/load/load_client.h"
#include "bench/load/script.h"
#include "bench/sim/fleet/run_stats.h"

// One request's part in the figures. Seconds since the first request was planned.
struct calib_request {
    double at, first, last;
    uint32_t tokens; // of the answer
    uint32_t prompt, cached;
};

struct calib_figures {                    // numbers all, so that it can be walked over as an array
    double n;                             // requests
    double hits;                          // tokens of prompts that were cached, a share
    double ttft_mean, ttft_p50, ttft_p99; // seconds
    double tbt;                           // mean, seconds
};

void calib_figures_of(const struct calib_request *all, size_t n, struct calib_figures *out);
// Of what was played; those that failed are left out.
void calib_figures_played(const struct bench_script *s, const struct bench_outcome *played,
                          struct calib_figures *out);
void calib_figures_simulated(const struct bench_script *s, const struct sim_outcome *outcomes,
                             struct calib_figures *out);
// The median of each figure. n >= 1.
void calib_figures_medians(const struct calib_figures *all, size_t n, struct calib_figures *out);
// Whether two runs agree as they should: hits within 2 points, TTFT's p50 within 15 % and p99 within
// 35 %. *what says which doesn't, a letter each: h, m(edian), t(ail).
bool calib_figures_agree(const struct calib_figures *real, const struct calib_figures *simulated,
                         char what[4]);

#endif
