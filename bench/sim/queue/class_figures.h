// SPDX-License-Identifier: Apache-2.0
// What a run was for the requests of one class, and how much was let in when.
#ifndef SIM_CLASS_FIGURES_H
#define SIM_CLASS_FIGURES_H

#include "bench/common/bench_workload.h"
#include "bench/sim/fleet/run_stats.h"

struct sim_class_figures {
    size_t n;                  // that arrived while it was measured
    double ttft_p50, ttft_p99; // seconds
    double waited_p99;         // seconds from arrival to the choice of an engine
    double tbt;                // seconds, mean of the requests' means
    double done;               // requests a second that ended while it was measured
    double tokens;             // a second, of these: prompt and output
    double charged;            // tokens that an engine was chosen for then: ISL - cached + OSL
    double hit;                // of the blocks asked for, in the engine's cache
    size_t refused, once;      // that were ever told to come back; that had to be told but once
    double refusals;           // how often one of them was told, mean
};

void sim_class_figures(const struct sim_stats *s, const struct bench_workload *load,
                       uint32_t service_class, struct sim_class_figures *out);

// Tokens that one request counts for in the shares of classes.
double sim_charge(const struct sim_outcome *o, const struct bench_request *r);

// How far the tokens (ISL + OSL) for which engines were chosen ran ahead of a rate, at most over any span: what a
// bucket would have had to hold. *mean: tokens a second while it was measured.
double sim_ahead(const struct sim_stats *s, const struct bench_workload *load, double rate,
                 double *mean);

#endif
