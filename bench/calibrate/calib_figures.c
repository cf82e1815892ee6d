// SPDX-License-Identifier: Apache-2.0
// The figures of a run; see calib_figures.h.
#include "calib_figures.h"

#include <math.h>
#include <stdlib.h>

#include "bench/common/bench_memory.h"
#include "bench/common/bench_quantile.h"

static const double hits_apart = 0.02, median_apart = 0.15, tail_apart = 0.35;

void calib_figures_of(const struct calib_request *all, size_t n, struct calib_figures *out) {
    double *ttft = bench_calloc(n + 1, sizeof *ttft), gaps = 0, sum = 0;
    uint64_t prompt = 0, cached = 0, between = 0;
    for (size_t i = 0; i < n; i++) {
        const struct calib_request *r = &all[i];
        sum += ttft[i] = r->first - r->at;
        prompt += r->prompt;
        cached += r->cached;
        if (r->tokens < 2) continue;
        gaps += r->last - r->first;
        between += r->tokens - 1;
    }
    double *sorted = bench_sorted(ttft, n);
    *out = (struct calib_figures){
        .n = (double)n,
        .hits = prompt ? (double)cached / (double)prompt : 0,
        .ttft_mean = n ? sum / (double)n : 0,
        .ttft_p50 = bench_quantile(sorted, n, 0.5),
        .ttft_p99 = bench_quantile(sorted, n, 0.99),
        .tbt = between ? gaps / (double)between : 0,
    };
    free(sorted);
    free(ttft);
}

void calib_figures_played(const struct bench_script *s, const struct bench_outcome *played,
                          struct calib_figures *out) {
    struct calib_request *all = bench_calloc(s->load.n + 1, sizeof *all);
    size_t n = 0;
    for (size_t i = 0; i < s->load.n; i++) {
        const struct bench_outcome *p = &played[i];
        const struct bench_request *r = &s->load.requests[i];
        if (*p->why) continue;
        all[n++] = (struct calib_request){.at = r->at,
                                          .first = p->first,
                                          .last = p->last,
                                          .tokens = p->tokens,
                                          .prompt = r->isl,
                                          .cached = p->cached > 0 ? (uint32_t)p->cached : 0};
    }
    calib_figures_of(all, n, out);
    free(all);
}

void calib_figures_simulated(const struct bench_script *s, const struct sim_outcome *outcomes,
                             struct calib_figures *out) {
    struct calib_request *all = bench_calloc(s->load.n + 1, sizeof *all);
    for (size_t i = 0; i < s->load.n; i++) {
        const struct bench_request *r = &s->load.requests[i];
        all[i] = (struct calib_request){.at = outcomes[i].arrived,
                                        .first = outcomes[i].first,
                                        .last = outcomes[i].done,
                                        .tokens = r->osl,
                                        .prompt = r->isl,
                                        .cached = outcomes[i].hits * s->load.block_size};
    }
    calib_figures_of(all, s->load.n, out);
    free(all);
}

void calib_figures_medians(const struct calib_figures *all, size_t n, struct calib_figures *out) {
    double *v = bench_calloc(n, sizeof *v);
    for (size_t field = 0; field < sizeof *out / sizeof(double); field++) {
        for (size_t i = 0; i < n; i++)
            v[i] = ((const double *)&all[i])[field];
        ((double *)out)[field] = bench_median(v, n);
    }
    free(v);
}

static bool apart(double real, double simulated, double most) {
    return fabs(simulated - real) > most * real;
}

bool calib_figures_agree(const struct calib_figures *real, const struct calib_figures *simulated,
                         char what[4]) {
    size_t n = 0;
    if (fabs(real->hits - simulated->hits) > hits_apart) what[n++] = 'h';
    if (apart(real->ttft_p50, simulated->ttft_p50, median_apart)) what[n++] = 'm';
    if (apart(real->ttft_p99, simulated->ttft_p99, tail_apart)) what[n++] = 't';
    what[n] = 0;
    return !n;
}
