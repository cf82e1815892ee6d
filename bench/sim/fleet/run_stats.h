// SPDX-License-Identifier: Apache-2.0
// What one run is measured by, request by request and step by step, and the figures of it.
#ifndef SIM_STATS_H
#define SIM_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Durations with weights, sorted into bins that are 1 % wide: quantiles are exact to that, the mean is
// exact.
enum { SIM_BINS = 2048 };
struct sim_durations {
    uint64_t bins[SIM_BINS], n;
    double sum;
};
void sim_durations_add(struct sim_durations *s, double seconds, uint64_t n);
double sim_durations_mean(const struct sim_durations *s);
double sim_durations_quantile(const struct sim_durations *s, double q); // 0 of nothing

struct sim_slo {
    double ttft, tbt; // seconds; the latter for the mean of a request
};

// What became of a request, in virtual seconds. Negative: not yet.
struct sim_outcome {
    double arrived, first, done;
    double chosen;          // when its router had an engine for it, last
    double paused;          // when it was preempted last
    uint32_t worker, tries; // tries: how often it was given to a worker
    uint32_t hits;          // blocks that the engine which completed it had in its cache
    uint32_t refused;       // how often it was told to come back
    uint32_t cached;        // tokens that it need not compute, as its router thought
    double predicted;       // of first − chosen, by its router. Negative: none
};

// One stretch of a run, for what changes over time.
struct sim_stretch {
    uint64_t requests, hits, blocks; // by the time of arrival
    double ttft;                     // their sum
    uint64_t late;                   // above the SLO's TTFT
};

// What was moved between engines, of the requests that are measured.
struct sim_moves {
    size_t pairs;      // requests whose prompts one engine computed for another
    size_t recomputed; // of these, computed by the other after all
    uint64_t tokens;   // moved
    double seconds;    // from the beginnings of transfers to their ends
};

struct sim_stats {
    size_t n;
    struct sim_outcome *outcomes;
    struct sim_durations tbt; // every gap between two tokens of a request
    uint64_t hits, blocks;
    uint64_t loaded; // of the hits, from the second tier
    size_t preempted;
    double *work; // seconds by worker, without what any step costs
    double busy;  // seconds of all workers' steps
    unsigned workers;
    double began, until; // who arrived between these is measured; until: INFINITY if all
    double ended;        // end of the last
    size_t retried;      // given to more than one worker
    struct sim_moves moves;
};

// The figures of a table's row. Times in seconds, shares 0..1.
enum { SIM_FIGURES = 17 };
struct sim_figures {
    double requests;
    double ttft_mean, ttft_p50, ttft_p99;
    double tbt_mean, tbt_p99;
    double e2e_p50, e2e_p99;
    double goodput;   // requests a second that kept the SLO
    double kept;      // their share
    double hit;       // of the blocks asked for
    double imbalance; // work of the worker that has most ÷ mean
    double work;      // mean share of the time
    double retried;   // requests that were given to more than one worker
    double loaded;    // of the blocks asked for, from the second tier
    double preempted; // how often a request was
    double error; // of predicted times to the first token: median of |predicted − true| / true;
                  // NAN: nothing was predicted
};

struct bench_workload;
void sim_stats_open(struct sim_stats *s, size_t requests, unsigned workers);
// Whether something that happens then is measured.
static inline bool sim_stats_within(const struct sim_stats *s, double at) {
    return at >= s->began && at < s->until;
}
void sim_stats_close(struct sim_stats *s);
void sim_stats_figures(const struct sim_stats *s, const struct bench_workload *load,
                       const struct sim_slo *slo, struct sim_figures *out);
// Adds x to sum, field by field; and divides all of it.
void sim_figures_add(struct sim_figures *sum, const struct sim_figures *x);
void sim_figures_divide(struct sim_figures *sum, size_t n);
// Cuts the run into `n` stretches of equal length by time of arrival.
void sim_stats_stretches(const struct sim_stats *s, const struct bench_workload *load,
                         const struct sim_slo *slo, struct sim_stretch *out, size_t n);

#endif
