// SPDX-License-Identifier: Apache-2.0
// What one run is measured by; see run_stats.h.
#include "run_stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_memory.h"
#include "bench/common/bench_quantile.h"
#include "bench/common/bench_workload.h"

// Bin 0 ends at 10 µs, the last begins above an hour.
static const double least = 1e-5, width = 0.00995033085316808; // ln 1.01

static size_t bin_of(double seconds) {
    if (seconds <= least) return 0;
    size_t i = 1 + (size_t)(log(seconds / least) / width);
    return i < SIM_BINS ? i : SIM_BINS - 1;
}

void sim_durations_add(struct sim_durations *s, double seconds, uint64_t n) {
    s->bins[bin_of(seconds)] += n;
    s->sum += seconds * (double)n;
    s->n += n;
}

double sim_durations_mean(const struct sim_durations *s) {
    return s->n ? s->sum / (double)s->n : 0;
}

double sim_durations_quantile(const struct sim_durations *s, double q) {
    uint64_t rank = (uint64_t)(q * (double)s->n), seen = 0;
    for (size_t i = 0; i < SIM_BINS; i++)
        if ((seen += s->bins[i]) > rank) return i ? least * exp(((double)i - 0.5) * width) : least;
    return 0;
}

void sim_stats_open(struct sim_stats *s, size_t requests, unsigned workers) {
    *s = (struct sim_stats){
        .n = requests,
        .outcomes = bench_calloc(requests, sizeof *s->outcomes),
        .work = bench_calloc(workers, sizeof *s->work),
        .workers = workers,
        .until = INFINITY,
    };
    for (size_t i = 0; i < requests; i++)
        s->outcomes[i] = (struct sim_outcome){
            .arrived = -1, .first = -1, .done = -1, .chosen = -1, .predicted = -1};
}

void sim_stats_close(struct sim_stats *s) {
    free(s->outcomes);
    free(s->work);
    *s = (struct sim_stats){0};
}

static bool keeps(const struct sim_outcome *o, const struct bench_request *r,
                  const struct sim_slo *slo) {
    double gaps = r->osl > 1 ? r->osl - 1 : 1;
    return o->first - o->arrived <= slo->ttft && (o->done - o->first) / gaps <= slo->tbt;
}

static double median_error(const struct sim_stats *s) {
    double *errors = bench_calloc(s->n, sizeof *errors);
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        const struct sim_outcome *o = &s->outcomes[i];
        double took = o->first - o->chosen;
        if (sim_stats_within(s, o->arrived) && o->predicted >= 0 && took > 0)
            errors[n++] = fabs(o->predicted - took) / took;
    }
    double median = n ? bench_median(errors, n) : NAN;
    free(errors);
    return median;
}

void sim_stats_figures(const struct sim_stats *s, const struct bench_workload *load,
                       const struct sim_slo *slo, struct sim_figures *out) {
    double *ttft = bench_calloc(s->n, sizeof *ttft), *e2e = bench_calloc(s->n, sizeof *e2e);
    double sum = 0, work = 0, most = 0;
    size_t kept = 0, n = 0;
    for (size_t i = 0; i < s->n; i++) {
        const struct sim_outcome *o = &s->outcomes[i];
        if (!sim_stats_within(s, o->arrived)) continue;
        sum += ttft[n] = o->first - o->arrived;
        e2e[n++] = o->done - o->arrived;
        kept += keeps(o, &load->requests[i], slo);
    }
    for (unsigned w = 0; w < s->workers; w++) {
        work += s->work[w];
        if (s->work[w] > most) most = s->work[w];
    }
    double *by_ttft = bench_sorted(ttft, n), *by_e2e = bench_sorted(e2e, n);
    double lasted = fmin(s->until, s->ended) - s->began;
    *out = (struct sim_figures){
        .requests = (double)n,
        .ttft_mean = n ? sum / (double)n : 0,
        .ttft_p50 = bench_quantile(by_ttft, n, 0.5),
        .ttft_p99 = bench_quantile(by_ttft, n, 0.99),
        .tbt_mean = sim_durations_mean(&s->tbt),
        .tbt_p99 = sim_durations_quantile(&s->tbt, 0.99),
        .e2e_p50 = bench_quantile(by_e2e, n, 0.5),
        .e2e_p99 = bench_quantile(by_e2e, n, 0.99),
        .goodput = lasted > 0 ? (double)kept / lasted : 0,
        .kept = n ? (double)kept / (double)n : 0,
        .hit = s->blocks ? (double)s->hits / (double)s->blocks : 0,
        .imbalance = work > 0 ? most * s->workers / work : 1,
        .work = lasted > 0 ? work / lasted / s->workers : 0,
        .retried = (double)s->retried,
        .loaded = s->blocks ? (double)s->loaded / (double)s->blocks : 0,
        .preempted = (double)s->preempted,
        .error = median_error(s),
    };
    free(ttft);
    free(e2e);
    free(by_ttft);
    free(by_e2e);
}

_Static_assert(sizeof(struct sim_figures) == SIM_FIGURES * sizeof(double),
               "figures are walked over as an array");

void sim_figures_add(struct sim_figures *sum, const struct sim_figures *x) {
    double *to = (double *)sum;
    const double *from = (const double *)x;
    for (size_t i = 0; i < SIM_FIGURES; i++)
        to[i] += from[i];
}

void sim_figures_divide(struct sim_figures *sum, size_t n) {
    for (size_t i = 0; i < SIM_FIGURES; i++)
        ((double *)sum)[i] /= (double)n;
}

void sim_stats_stretches(const struct sim_stats *s, const struct bench_workload *load,
                         const struct sim_slo *slo, struct sim_stretch *out, size_t n) {
    memset(out, 0, n * sizeof *out);
    if (!s->n) return;
    double from = INFINITY, to = -INFINITY;
    for (size_t i = 0; i < s->n; i++) {
        if (!sim_stats_within(s, s->outcomes[i].arrived)) continue;
        from = fmin(from, s->outcomes[i].arrived);
        to = fmax(to, s->outcomes[i].arrived);
    }
    for (size_t i = 0; i < s->n; i++) {
        const struct sim_outcome *o = &s->outcomes[i];
        if (!sim_stats_within(s, o->arrived)) continue;
        size_t at = to > from ? (size_t)((o->arrived - from) / (to - from) * (double)n) : 0;
        struct sim_stretch *x = &out[at < n ? at : n - 1];
        x->requests++;
        x->hits += o->hits;
        x->blocks += load->requests[i].blocks;
        x->ttft += o->first - o->arrived;
        x->late += o->first - o->arrived > slo->ttft;
    }
}
