// SPDX-License-Identifier: Apache-2.0
// Sequences and their requests; see sequence.h.
#include "sequence.h"

#include <math.h>
#include <stdlib.h>

#include "bench/common/bench_memory.h"
#include "client/common/random.h"

void sim_sequence_open(struct sim_sequence *s, struct bench_workload *w,
                       const struct sim_load_plan *plan) {
    *w = (struct bench_workload){.block_size = plan->block_size};
    *s = (struct sim_sequence){.w = w, .plan = plan, .rng = kvr_random_mix(plan->seed + 1)};
}

void sim_sequence_begin(struct sim_sequence *s) {
    s->session = s->w->sessions++;
    sim_sequence_fork(s);
}

void sim_sequence_fork(struct sim_sequence *s) {
    s->n = s->hashed = 0;
    s->first = s->w->n_hashes;
}

void sim_sequence_add(struct sim_sequence *s, uint64_t seed, size_t tokens) {
    s->tokens = bench_grow(s->tokens, &s->room, s->n + tokens, sizeof *s->tokens);
    for (size_t i = 0; i < tokens; i++)
        s->tokens[s->n++] = (uint32_t)(kvr_random_mix(seed + i) % 128000);
    s->hashed = bench_workload_hash(s->w, s->tokens, s->n, s->hashed);
}

void sim_sequence_ask(struct sim_sequence *s, double at, uint32_t question, uint32_t answer) {
    sim_sequence_add(s, kvr_random(&s->rng), question);
    struct bench_request r = {
        .at = at,
        .after = BENCH_NO_REQUEST,
        .session = s->session,
        .isl = (uint32_t)s->n,
        .osl = answer,
        .blocks = (uint32_t)(s->n / s->w->block_size),
        .first = s->first,
    };
    sim_sequence_add(s, kvr_random(&s->rng), answer);
    r.known = (uint32_t)(s->n / s->w->block_size);
    bench_workload_add(s->w, &r);
}

double sim_sequence_until(const struct sim_sequence *s, double skip) {
    return skip + 60 + 1.5 * (double)s->plan->requests / s->plan->rate;
}

void sim_sequence_finish(struct sim_sequence *s, double skip) {
    struct bench_workload *w = s->w;
    size_t left = 0;
    bench_workload_sort(w);
    for (size_t i = 0; i < w->n && left < s->plan->requests; i++)
        if (w->requests[i].at >= skip) w->requests[left++] = w->requests[i];
    w->n = left;
    sim_sequence_close(s);
}

void sim_sequence_close(struct sim_sequence *s) {
    free(s->tokens);
    s->tokens = NULL;
}

double sim_draw_exponential(uint64_t *rng, double mean) {
    return -mean * log(1 - kvr_random_unit(rng));
}

uint32_t sim_draw_length(uint64_t *rng, double mean) {
    double half = mean / 2;
    return 16 + (uint32_t)(sim_draw_exponential(rng, half) + sim_draw_exponential(rng, half));
}

unsigned sim_draw_zipf(uint64_t *rng, unsigned n) {
    double total = 0, sum = 0;
    for (unsigned i = 1; i <= n; i++)
        total += 1.0 / i;
    double draw = kvr_random_unit(rng) * total;
    for (unsigned i = 1; i <= n; i++)
        if ((sum += 1.0 / i) > draw) return i;
    return n;
}
