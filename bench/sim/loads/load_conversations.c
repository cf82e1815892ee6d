// SPDX-License-Identifier: Apache-2.0
// The open loads: conversations that begin at random times under prefixes that many share.
//
//   chat     several turns, each under one of a few system prompts that are chosen unequally. The prompt
//            of a turn is the whole conversation so far; the next question comes some time after the answer
//   agents   one of a few long prefixes (instructions and tools), then many steps: what a tool has returned
//            is appended, the model answers shortly, and the next step follows at once
//   bursts   short chats that begin in waves, 15 s at three times the mean rate, then 45 s at a third of it.
//            In a wave many routers choose before the first of their choices shows in any metric
//   alone    every prompt is new from its first token. There is nothing to win by knowing caches, only to
//            lose by misjudging loads
//   hot      every prompt begins with the same long text and goes on with a question of its own. Whoever
//            sends all of them where the prefix is fills one engine while the others idle
#include <math.h>

#include "client/common/random.h"
#include "sequence.h"

struct conversation_kind {
    unsigned prefixes, min, max; // how many there are, and how long they are (tokens)
    unsigned question, answer;   // tokens, means
    unsigned turns, max_turns;   // mean, and the most there can be
    double settled;              // seconds until as many go on as end
    double before, think; // seconds from an answer to the next question: at least, and more (mean)
    bool waves;
};
static const double token_time =
    0.03; // seconds a token of an answer, until the next question is planned

static const double wave = 60, high = 15, high_rate = 3; // seconds; times the mean

// When so much has begun as begins at the mean rate until `even`.
static double in_waves(double even) {
    double waves = floor(even / wave), left = even - waves * wave;
    double low_rate = (wave - high * high_rate) / (wave - high);
    double in_high = high * high_rate;
    return waves * wave + (left < in_high ? left / high_rate : high + (left - in_high) / low_rate);
}

static void make_conversations(struct bench_workload *w, const struct sim_load_plan *plan,
                               const struct conversation_kind *k) {
    struct sim_sequence s;
    sim_sequence_open(&s, w, plan);
    for (double start = 0; start < sim_sequence_until(&s, k->settled);) {
        start += sim_draw_exponential(&s.rng, k->turns / plan->rate);
        double at = k->waves ? in_waves(start) : start;
        uint64_t prefix =
            kvr_random_mix(plan->seed * k->prefixes + sim_draw_zipf(&s.rng, k->prefixes));
        unsigned turns = 1 + (unsigned)sim_draw_exponential(&s.rng, k->turns - 0.5);
        sim_sequence_begin(&s);
        sim_sequence_add(&s, prefix, k->min + prefix % (k->max - k->min));
        for (unsigned turn = 0; turn < turns && turn < k->max_turns; turn++) {
            uint32_t question = sim_draw_length(&s.rng, k->question);
            uint32_t answer = sim_draw_length(&s.rng, k->answer);
            sim_sequence_ask(&s, at, question, answer);
            at += k->before + answer * token_time + sim_draw_exponential(&s.rng, k->think);
        }
    }
    sim_sequence_finish(&s, k->settled);
}

void sim_load_chat(struct bench_workload *w, const struct sim_load_plan *plan) {
    make_conversations(
        w, plan, &(struct conversation_kind){48, 512, 3072, 250, 300, 6, 20, 1000, 1, 45, false});
}

void sim_load_agents(struct bench_workload *w, const struct sim_load_plan *plan) {
    make_conversations(
        w, plan,
        &(struct conversation_kind){16, 4000, 14000, 700, 150, 10, 30, 120, 0.5, 4, false});
}

void sim_load_bursts(struct bench_workload *w, const struct sim_load_plan *plan) {
    make_conversations(
        w, plan, &(struct conversation_kind){24, 1024, 4096, 400, 250, 2, 8, 120, 1, 30, true});
}

// Single requests, after a prefix that all of them share (0 tokens: none).
static void make_single(struct bench_workload *w, const struct sim_load_plan *plan, size_t prefix,
                        unsigned question) {
    struct sim_sequence s;
    double at = 0;
    sim_sequence_open(&s, w, plan);
    while (w->n < plan->requests) {
        at += sim_draw_exponential(&s.rng, 1 / plan->rate);
        uint32_t prompt = sim_draw_length(&s.rng, question), answer = sim_draw_length(&s.rng, 300);
        sim_sequence_begin(&s);
        sim_sequence_add(&s, kvr_random_mix(plan->seed), prefix);
        sim_sequence_ask(&s, at, prompt, answer);
    }
    sim_sequence_finish(&s, 0);
}

void sim_load_alone(struct bench_workload *w, const struct sim_load_plan *plan) {
    make_single(w, plan, 0, 2500);
}

void sim_load_hot(struct bench_workload *w, const struct sim_load_plan *plan) {
    make_single(w, plan, 6000, 300);
}
