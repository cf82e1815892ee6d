// SPDX-License-Identifier: Apache-2.0
// What generated loads are made of: growing sequences of made-up tokens, and the requests whose prompts
// are heads of them. The requests of one sequence share their hashes.
//
//     talk_begin(&t);
//     talk_say(&t, prompt, 2000);        a system prompt: the same seed gives the same tokens
//     talk_ask(&t, at, 250, 220);        a question of 250 tokens, a request, an answer of 220
//     talk_ask(&t, at + 30, 100, 300);   the next turn
//     …
//     talk_finish(&t, 300);              those after 300 s, when things have settled
#ifndef FLEET_TALK_H
#define FLEET_TALK_H

#include "load.h"

struct talk {
    struct workload *w;
    const struct load_plan *plan;
    uint64_t rng;
    uint32_t *tokens; // of the sequence
    size_t n, room;
    size_t hashed; // of its blocks
    size_t first;  // place of its first hash
    uint32_t session;
    size_t room_requests, room_hashes;
};

void talk_open(struct talk *t, struct workload *w, const struct load_plan *plan);
// Begins a sequence, of a session of its own, or of the same as the one before.
void talk_begin(struct talk *t);
void talk_fork(struct talk *t);
void talk_say(struct talk *t, uint64_t seed, size_t tokens);
void talk_ask(struct talk *t, double at, uint32_t question, uint32_t answer);
// When the last sequence must begin so that there are enough requests after `skip` seconds.
double talk_until(const struct talk *t, double skip);
// Keeps the requests that were planned, in order of time. What arrives before `skip` is left out: until
// then the first sequences are still growing, and fewer requests arrive than later.
void talk_finish(struct talk *t, double skip);
// Ends without choosing or ordering any.
void talk_close(struct talk *t);

// Draws.
double talk_exponential(struct talk *t, double mean);
// Mostly short, sometimes long: the sum of two exponentials, at least 16.
uint32_t talk_length(struct talk *t, double mean);
// 1 … n, i with a weight of 1 / i (Zipf).
unsigned talk_pick(struct talk *t, unsigned n);

#endif
