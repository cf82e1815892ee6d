// SPDX-License-Identifier: Apache-2.0
// Agents: each run begins with one of a few long prefixes (instructions and tools), then goes in many
// steps; what a tool has returned is appended, the model answers shortly, and the next step follows at
// once.
#include "bench/common/random.h"
#include "talk.h"

enum {
    KINDS = 16,
    PREFIX_MIN = 4000, // tokens
    PREFIX_MAX = 14000,
    RESULT = 700, // means
    ANSWER = 150,
    STEPS = 10,
    STEPS_MAX = 30,
};
static const double settled = 120, tool = 4, pace = 0.03; // seconds; seconds a token of the answer

void load_agents(struct workload *w, const struct load_plan *plan) {
    struct talk t;
    talk_open(&t, w, plan);
    double start = 0;
    while (start < talk_until(&t, settled)) {
        start += talk_exponential(&t, STEPS / plan->rate);
        double at = start;
        uint64_t prefix = random_mix(plan->seed * KINDS + talk_pick(&t, KINDS));
        unsigned steps = 1 + (unsigned)talk_exponential(&t, STEPS - 0.5);
        talk_begin(&t);
        talk_say(&t, prefix, PREFIX_MIN + prefix % (PREFIX_MAX - PREFIX_MIN));
        for (unsigned step = 0; step < steps && step < STEPS_MAX; step++) {
            uint32_t result = talk_length(&t, RESULT), answer = talk_length(&t, ANSWER);
            talk_ask(&t, at, result, answer);
            at += 0.5 + answer * pace + talk_exponential(&t, tool);
        }
    }
    talk_finish(&t, settled);
}
