// SPDX-License-Identifier: Apache-2.0
#include "decision_load.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/common/hashmap.h"

enum { DECISION_MAX_LENGTH = 1 << 24 }; // tokens, as in traces

bool sim_decision_load_can(const struct sim_decisions *d) {
    return !d->without_hashes;
}

static uint32_t tokens_of(double n) {
    return (uint32_t)fmin(fmax(n, 0), DECISION_MAX_LENGTH);
}

static void add_request(struct bench_workload *w, const struct sim_decisions *d,
                        const struct sim_decision *x, double start) {
    double output = x->ended && x->tokens > 0 ? x->tokens : x->osl > 0 ? x->osl : x->output;
    struct bench_request r = {
        .at = (x->at - start) / 1e3,
        .after = BENCH_NO_REQUEST,
        .session = w->sessions++,
        .isl = tokens_of(x->isl),
        .osl = tokens_of(fmax(round(output), 1)),
        .blocks = (uint32_t)x->n_hashes,
        .known = (uint32_t)x->n_hashes,
        .first = w->n_hashes,
    };
    uint64_t *to = bench_workload_more_hashes(w, x->n_hashes);
    if (x->n_hashes) memcpy(to, d->hashes + x->first_hash, x->n_hashes * sizeof *to);
    w->n_hashes += x->n_hashes;
    bench_workload_add(w, &r);
}

// The same request later, by its last decision: it knows how it ended.
static void add_outcome(struct bench_workload *w, size_t request, const struct sim_decision *x) {
    if (x->ended && x->tokens > 0) w->requests[request].osl = tokens_of(x->tokens);
}

void sim_decision_load(struct bench_workload *w, const struct sim_decisions *d, size_t at_most) {
    enum { SESSION_TOKENS = 512 };
    struct bench_map seen = {0};
    double start = INFINITY;
    *w = (struct bench_workload){.block_size = d->block_size};
    for (size_t i = 0; i < d->n; i++)
        start = fmin(start, d->all[i].at);
    for (size_t i = 0; i < d->n; i++) {
        const struct sim_decision *x = &d->all[i];
        uint64_t known = bench_map_get(&seen, x->request);
        if (known) {
            add_outcome(w, known - 1, x);
        } else if (!at_most || w->n < at_most) {
            add_request(w, d, x, start);
            bench_map_set(&seen, x->request, w->n);
        }
    }
    bench_map_free(&seen);
    bench_workload_sort(w);
    uint32_t piece = SESSION_TOKENS / d->block_size;
    bench_workload_guess_sessions(w, piece ? piece : 1);
    snprintf(w->what, sizeof w->what, "%zu requests of a log of decisions, %.1f minutes", w->n,
             (w->requests[w->n - 1].at - w->requests[0].at) / 60);
}
