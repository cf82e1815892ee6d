// SPDX-License-Identifier: Apache-2.0
// One hot prefix: every prompt begins with the same long text and goes on with a question of its own.
// Whoever sends all of them where the prefix is fills one engine while the others idle.
#include "bench/common/random.h"
#include "talk.h"

enum { PREFIX = 6000, QUESTION = 300, ANSWER = 300 }; // tokens; the latter means

void load_hot(struct workload *w, const struct load_plan *plan) {
    struct talk t;
    talk_open(&t, w, plan);
    uint64_t prefix = random_mix(plan->seed);
    double at = 0;
    while (w->n < plan->requests) {
        at += talk_exponential(&t, 1 / plan->rate);
        uint32_t question = talk_length(&t, QUESTION), answer = talk_length(&t, ANSWER);
        talk_begin(&t);
        talk_say(&t, prefix, PREFIX);
        talk_ask(&t, at, question, answer);
    }
    talk_finish(&t, 0);
}
