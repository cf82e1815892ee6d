// SPDX-License-Identifier: Apache-2.0
// Chats: conversations of several turns, each under one of a few system prompts that are chosen unequally.
// The prompt of a turn is the whole conversation so far; the next question comes some time after the
// answer.
#include "bench/common/random.h"
#include "talk.h"

enum {
    SYSTEM_PROMPTS = 48,
    SYSTEM_MIN = 512, // tokens
    SYSTEM_MAX = 3072,
    QUESTION = 250, // means
    ANSWER = 300,
    TURNS = 6,
    TURNS_MAX = 20,
};
static const double settled = 1000, think = 45,
                    pace = 0.03; // seconds; seconds a token of the answer

void load_chat(struct workload *w, const struct load_plan *plan) {
    struct talk t;
    talk_open(&t, w, plan);
    double start = 0;
    while (start < talk_until(&t, settled)) {
        start += talk_exponential(&t, TURNS / plan->rate);
        double at = start;
        uint64_t prompt = random_mix(plan->seed * SYSTEM_PROMPTS + talk_pick(&t, SYSTEM_PROMPTS));
        unsigned turns = 1 + (unsigned)talk_exponential(&t, TURNS - 0.5);
        talk_begin(&t);
        talk_say(&t, prompt, SYSTEM_MIN + prompt % (SYSTEM_MAX - SYSTEM_MIN));
        for (unsigned turn = 0; turn < turns && turn < TURNS_MAX; turn++) {
            uint32_t question = talk_length(&t, QUESTION), answer = talk_length(&t, ANSWER);
            talk_ask(&t, at, question, answer);
            at += 1 + answer * pace + talk_exponential(&t, think);
        }
    }
    talk_finish(&t, settled);
}
