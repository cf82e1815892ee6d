// SPDX-License-Identifier: Apache-2.0
// What a run was for one class; see class_figures.h.
#include "class_figures.h"

#include <stdlib.h>

#include "bench/common/bench_memory.h"
#include "bench/common/bench_quantile.h"

double sim_charge(const struct sim_outcome *o, const struct bench_request *r) {
    double tokens = (double)r->isl - o->cached + r->osl;
    return tokens > 1 ? tokens : 1;
}

// Sorts in place of a copy that is freed; the quantiles of n durations.
static void quantiles(const double *v, size_t n, double *p50, double *p99) {
    double *sorted = bench_sorted(v, n);
    if (p50) *p50 = bench_quantile(sorted, n, 0.5);
    *p99 = bench_quantile(sorted, n, 0.99);
    free(sorted);
}

static double lasted(const struct sim_stats *s) {
    return (s->until < s->ended ? s->until : s->ended) - s->began;
}

void sim_class_figures(const struct sim_stats *s, const struct bench_workload *load,
                       uint32_t service_class, struct sim_class_figures *out) {
    double *ttft = bench_calloc(s->n, sizeof *ttft), *waited = bench_calloc(s->n, sizeof *waited);
    double tbt = 0, refusals = 0, hits = 0, blocks = 0;
    *out = (struct sim_class_figures){0};
    for (size_t i = 0; i < s->n; i++) {
        const struct sim_outcome *o = &s->outcomes[i];
        const struct bench_request *r = &load->requests[i];
        if (r->service_class != service_class || o->arrived < 0) continue;
        if (sim_stats_within(s, o->chosen)) out->charged += sim_charge(o, r);
        if (sim_stats_within(s, o->done)) {
            out->done++;
            out->tokens += (double)r->isl + r->osl;
        }
        if (!sim_stats_within(s, o->arrived)) continue;
        ttft[out->n] = o->first - o->arrived;
        waited[out->n++] = o->chosen - o->arrived;
        tbt += (o->done - o->first) / (r->osl > 1 ? r->osl - 1 : 1);
        hits += o->hits;
        blocks += r->blocks;
        if (!o->refused) continue;
        out->refused++;
        out->once += o->refused == 1;
        refusals += o->refused;
    }
    quantiles(ttft, out->n, &out->ttft_p50, &out->ttft_p99);
    quantiles(waited, out->n, NULL, &out->waited_p99);
    if (out->n) out->tbt = tbt / (double)out->n;
    if (blocks > 0) out->hit = hits / blocks;
    if (out->refused) out->refusals = refusals / (double)out->refused;
    double seconds = lasted(s);
    out->done = seconds > 0 ? out->done / seconds : 0;
    out->tokens = seconds > 0 ? out->tokens / seconds : 0;
    free(ttft);
    free(waited);
}

// ---- Against a rate ------------------------------------------------------------------------------

struct sim_let_in {
    double at, tokens;
};

static int by_time(const void *left, const void *right) {
    const struct sim_let_in *a = left, *b = right;
    return a->at < b->at ? -1 : a->at > b->at;
}

// The fill of a bucket that runs out at the rate and may overflow without end.
double sim_ahead(const struct sim_stats *s, const struct bench_workload *load, double rate,
                 double *mean) {
    struct sim_let_in *in = bench_calloc(s->n, sizeof *in);
    double most = 0, fill = 0, sum = 0, at = 0;
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        const struct sim_outcome *o = &s->outcomes[i];
        double tokens = (double)load->requests[i].isl + load->requests[i].osl;
        if (o->chosen < 0) continue;
        in[n++] = (struct sim_let_in){o->chosen, tokens};
        if (sim_stats_within(s, o->chosen)) sum += tokens;
    }
    qsort(in, n, sizeof *in, by_time);
    for (size_t i = 0; i < n; at = in[i++].at) {
        fill -= rate * (in[i].at - at);
        fill = (fill > 0 ? fill : 0) + in[i].tokens;
        if (fill > most) most = fill;
    }
    *mean = lasted(s) > 0 ? sum / lasted(s) : 0;
    free(in);
    return most;
}
