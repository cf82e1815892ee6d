// SPDX-License-Identifier: Apache-2.0
// Bursts: short chats that begin in waves, 15 s at three times the mean rate, then 45 s at a third of it.
// In a wave many routers choose before the first of their choices shows in any metric.
#include <math.h>

#include "bench/common/random.h"
#include "talk.h"

enum {
    SYSTEM_PROMPTS = 24,
    SYSTEM_MIN = 1024, // tokens
    SYSTEM_MAX = 4096,
    QUESTION = 400, // means
    ANSWER = 250,
    TURNS = 2,
    TURNS_MAX = 8,
};
static const double wave = 60, high = 15, high_rate = 3; // seconds; times the mean
static const double settled = 120, think = 30, pace = 0.03;

// When so much has begun as begins at the mean rate until `even`.
static double in_waves(double even) {
    double waves = floor(even / wave), left = even - waves * wave;
    double low_rate = (wave - high * high_rate) / (wave - high);
    double in_high = high * high_rate;
    return waves * wave + (left < in_high ? left / high_rate : high + (left - in_high) / low_rate);
}

void load_bursts(struct workload *w, const struct load_plan *plan) {
    struct talk t;
    talk_open(&t, w, plan);
    double even = 0;
    while (even < talk_until(&t, settled)) {
        even += talk_exponential(&t, TURNS / plan->rate);
        double at = in_waves(even);
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
