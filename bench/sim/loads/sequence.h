// SPDX-License-Identifier: Apache-2.0
// What generated loads are made of: growing sequences of made-up tokens, and the requests whose prompts
// are heads of them. The requests of one sequence share their hashes.
//
//     sim_sequence_begin(&s);
//     sim_sequence_add(&s, prompt, 2000);        a system prompt: the same seed gives the same tokens
//     sim_sequence_ask(&s, at, 250, 220);        a question of 250 tokens, a request, an answer of 220
//     sim_sequence_ask(&s, at + 30, 100, 300);   the next turn
//     …
//     sim_sequence_finish(&s, 300);              those after 300 s, when things have settled
#ifndef SIM_SEQUENCE_H
#define SIM_SEQUENCE_H

#include "loads.h"

struct sim_sequence {
    struct bench_workload *w;
    const struct sim_load_plan *plan;
    uint64_t rng;
    uint32_t *tokens;
    size_t n, room;
    size_t hashed; // of its blocks
    size_t first;  // place of its first hash
    uint32_t session;
};

void sim_sequence_open(struct sim_sequence *s, struct bench_workload *w,
                       const struct sim_load_plan *plan);
// Begins a sequence, of a session of its own, or of the same as the one before.
void sim_sequence_begin(struct sim_sequence *s);
void sim_sequence_fork(struct sim_sequence *s);
void sim_sequence_add(struct sim_sequence *s, uint64_t seed, size_t tokens);
void sim_sequence_ask(struct sim_sequence *s, double at, uint32_t question, uint32_t answer);
// When the last sequence must begin so that there are enough requests after `skip` seconds.
double sim_sequence_until(const struct sim_sequence *s, double skip);
// Keeps the requests that were planned, in order of time. What arrives before `skip` is left out: until
// then the first sequences are still growing, and fewer requests arrive than later.
void sim_sequence_finish(struct sim_sequence *s, double skip);
// Ends without choosing or ordering any.
void sim_sequence_close(struct sim_sequence *s);

double sim_draw_exponential(uint64_t *rng, double mean);
// Mostly short, sometimes long: the sum of two exponentials, at least 16.
uint32_t sim_draw_length(uint64_t *rng, double mean);
// 1 … n, i with a weight of 1 / i.
unsigned sim_draw_zipf(uint64_t *rng, unsigned n);

#endif
