// SPDX-License-Identifier: Apache-2.0
// Nothing shared: every prompt is new from its first token. There is nothing to win by knowing caches,
// only to lose by misjudging loads.
#include "talk.h"

enum { PROMPT = 2500, ANSWER = 300 }; // tokens, means

void load_alone(struct workload *w, const struct load_plan *plan) {
    struct talk t;
    talk_open(&t, w, plan);
    double at = 0;
    while (w->n < plan->requests) {
        at += talk_exponential(&t, 1 / plan->rate);
        uint32_t prompt = talk_length(&t, PROMPT), answer = talk_length(&t, ANSWER);
        talk_begin(&t);
        talk_ask(&t, at, prompt, answer);
    }
    talk_finish(&t, 0);
}
