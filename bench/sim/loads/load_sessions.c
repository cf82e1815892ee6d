// SPDX-License-Identifier: Apache-2.0
// Sessions of coding agents, in closed loop: prompts that grow from step to step up to 200 k tokens, short
// answers, tools in between and now and then a person. Each begins with the tools and instructions of one
// of a few agents. The agent may start another one with the same beginning for a part of the work, and
// waits for its result; it begins anew with a summary when its prompt has become too long.
//
// The means are near those of recorded sessions (github.com/callanjfox/kv-cache-tester):
// 75 requests a session, prompts of 119 k tokens, outputs of 456, 20 s between an answer and the next
// request, of which half are below 10 s.
#include <stdlib.h>

#include "bench/common/bench_memory.h"
#include "client/common/random.h"
#include "sequence.h"

enum {
    SESSION_COUNT = 64,
    SESSION_AGENTS = 4,
    SESSION_MIN_PREFIX = 15000, // tokens
    SESSION_MAX_PREFIX = 25000,
    SESSION_MAX_PROMPT = 200000,
    SESSION_SUMMARY = 12000, // means
    SESSION_TASK = 3000,
    SESSION_RESULT = 2800,
    SESSION_ANSWER = 450,
    SESSION_STEPS = 68,
    SESSION_MIN_STEPS = 4,
    SESSION_MAX_STEPS = 400,
    SESSION_SIDE_STEPS = 8,
    SESSION_MAX_SIDE_STEPS = 40,
    SESSION_LAST_ANSWER = 1500, // of an agent that was started by another
};
static const double tool = 8, think = 55;             // seconds, means
static const double by_person = 0.25, by_side = 0.02; // of the steps

// One session that is being made.
struct agent_session {
    struct sim_sequence *sequence;
    uint64_t prefix;
    size_t prefix_n;
    uint32_t *main; // its requests, and the first and last of the side conversation before each
    uint32_t *side_first, *side_last;
    size_t n, room, room_first, room_last;
};

static double draw_delay(struct sim_sequence *t) {
    return sim_draw_exponential(&t->rng, kvr_random_unit(&t->rng) < by_person ? think : tool);
}

// A request and its answer at the end of the sequence that is open; returns its place.
static uint32_t step(struct agent_session *s, uint32_t result, uint32_t answer) {
    sim_sequence_ask(s->sequence, 0, result, answer);
    struct bench_workload *w = s->sequence->w;
    w->requests[w->n - 1].delay = draw_delay(s->sequence);
    return (uint32_t)(w->n - 1);
}

static void open_prompt(struct agent_session *s) {
    sim_sequence_fork(s->sequence);
    sim_sequence_add(s->sequence, s->prefix, s->prefix_n);
}

static void make_main(struct agent_session *s) {
    struct sim_sequence *t = s->sequence;
    size_t steps = SESSION_MIN_STEPS + (size_t)sim_draw_exponential(&t->rng, SESSION_STEPS);
    uint32_t result = sim_draw_length(&t->rng, SESSION_TASK);
    open_prompt(s);
    for (s->n = 0; s->n < steps && s->n < SESSION_MAX_STEPS; s->n++) {
        uint32_t answer = sim_draw_length(&t->rng, SESSION_ANSWER);
        if (t->n + result + answer > SESSION_MAX_PROMPT) {
            open_prompt(s);
            result = sim_draw_length(&t->rng, SESSION_SUMMARY);
        }
        s->main = bench_grow(s->main, &s->room, s->n + 1, sizeof *s->main);
        s->main[s->n] = step(s, result, answer);
        result = sim_draw_length(&t->rng, SESSION_RESULT);
    }
}

// What was started between two steps of the session itself, each after all of it is made: the blocks of a
// sequence must lie together.
static void make_sides(struct agent_session *s) {
    struct sim_sequence *t = s->sequence;
    s->side_first = bench_grow(s->side_first, &s->room_first, s->n, sizeof *s->side_first);
    s->side_last = bench_grow(s->side_last, &s->room_last, s->n, sizeof *s->side_last);
    for (size_t i = 0; i < s->n; i++) {
        s->side_first[i] = s->side_last[i] = BENCH_NO_REQUEST;
        if (!i || kvr_random_unit(&t->rng) >= by_side) continue;
        unsigned steps = 1 + (unsigned)sim_draw_exponential(&t->rng, SESSION_SIDE_STEPS - 0.5);
        if (steps > SESSION_MAX_SIDE_STEPS) steps = SESSION_MAX_SIDE_STEPS;
        open_prompt(s);
        uint32_t result = sim_draw_length(&t->rng, SESSION_TASK);
        for (unsigned k = 0; k < steps; k++) {
            bool last = k + 1 == steps;
            uint32_t at = step(
                s, result, sim_draw_length(&t->rng, last ? SESSION_LAST_ANSWER : SESSION_ANSWER));
            struct bench_request *r = &t->w->requests[at];
            r->delay = k ? sim_draw_exponential(&t->rng, tool) : 0;
            if (k) r->after = at - 1;
            if (!k) s->side_first[i] = at;
            s->side_last[i] = at;
            result = sim_draw_length(&t->rng, SESSION_RESULT);
        }
    }
}

// Puts the requests one after the other: each waits for the one before, or what that one has started.
static void link_all(struct agent_session *s, double at) {
    struct bench_request *all = s->sequence->w->requests;
    uint32_t before = BENCH_NO_REQUEST;
    for (size_t i = 0; i < s->n; i++) {
        for (uint32_t r = s->side_first[i]; r != BENCH_NO_REQUEST && r <= s->side_last[i]; r++) {
            all[r].after = before;
            all[r].at = at += all[r].delay;
            before = r;
        }
        struct bench_request *r = &all[s->main[i]];
        r->after = before;
        if (before == BENCH_NO_REQUEST) r->delay = 0;
        r->at = at += r->delay;
        before = s->main[i];
    }
}

void sim_load_sessions(struct bench_workload *w, const struct sim_load_plan *plan) {
    struct sim_sequence t;
    struct agent_session s = {.sequence = &t};
    sim_sequence_open(&t, w, plan);
    w->closed = true;
    for (unsigned i = 0; i < SESSION_COUNT; i++) {
        s.prefix =
            kvr_random_mix(plan->seed * SESSION_AGENTS + sim_draw_zipf(&t.rng, SESSION_AGENTS));
        s.prefix_n = SESSION_MIN_PREFIX + s.prefix % (SESSION_MAX_PREFIX - SESSION_MIN_PREFIX);
        sim_sequence_begin(&t);
        make_main(&s);
        make_sides(&s);
        link_all(&s, 10.0 * i);
    }
    bench_workload_sort(w);
    sim_sequence_close(&t);
    free(s.main);
    free(s.side_first);
    free(s.side_last);
}
