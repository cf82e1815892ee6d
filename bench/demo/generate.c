// SPDX-License-Identifier: Apache-2.0
// Generated chats: conversations of several turns, each under one of a few system prompts.
//
// A conversation is one growing sequence of tokens: system prompt, question, answer, question … The
// prompt of a turn is all of it up to there, so the prefix hashes of all its turns are heads of one
// array. System prompts are chosen unequally (Zipf), questions and answers vary in length, and the
// next question comes some time after the answer.
#include "generate.h"

#include <kvroute/hash.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/memory.h"
#include "bench/common/random.h"
#include "tests/mock-engine/tokens.h"

enum {
    SYSTEM_PROMPTS = 48,
    SYSTEM_MIN = 512, // tokens
    SYSTEM_MAX = 3072,
    QUESTION_MEAN = 250,
    ANSWER_MEAN = 220,
    TURNS_MEAN = 6,
    TURNS_MAX = 20,
    REQUESTS = 12000,
    REQUESTS_QUICK = 4000,
    // With mock engines, whose time is real: fewer, and closer together, with shorter answers.
    MOCK_REQUESTS = 1200,
    MOCK_REQUESTS_QUICK = 250,
    MOCK_ANSWER_MEAN = 80,
    MOCK_DENSER = 2,
};
static const double think_mean = 45;         // seconds
static const double answer_pace = 0.03;      // seconds a token
static const double arrivals_a_worker = 1.7; // requests a second

static double exponential(uint64_t *rng, double mean) {
    return -mean * log(1 - random_unit(rng));
}

// Mostly short, sometimes long: the sum of two exponentials, at least 16 tokens.
static uint32_t length(uint64_t *rng, double mean) {
    return 16 + (uint32_t)(exponential(rng, mean / 2) + exponential(rng, mean / 2));
}

static unsigned system_prompt(uint64_t *rng) {
    double total = 0, sum = 0;
    for (unsigned i = 1; i <= SYSTEM_PROMPTS; i++)
        total += 1.0 / i;
    double draw = random_unit(rng) * total;
    for (unsigned i = 1; i <= SYSTEM_PROMPTS; i++)
        if ((sum += 1.0 / i) > draw) return i;
    return SYSTEM_PROMPTS;
}

// A conversation while it is made.
struct chat {
    uint32_t *tokens;
    size_t n, room;
};

static void say(struct chat *c, uint64_t seed, size_t n) {
    c->tokens = memory_grow(c->tokens, &c->room, c->n + n, sizeof *c->tokens);
    for (size_t i = 0; i < n; i++)
        c->tokens[c->n++] = (uint32_t)(random_mix(seed + i) % 128000);
}

// What a mock engine answers to all that was said.
static void answer(struct chat *c, size_t n) {
    struct tokens prompt = {.ids = c->tokens, .n = c->n};
    uint64_t seed = answer_seed(&prompt);
    c->tokens = memory_grow(c->tokens, &c->room, c->n + n, sizeof *c->tokens);
    for (size_t i = 0; i < n; i++)
        c->tokens[c->n++] = answer_token(seed, i);
}

static int by_time(const void *left, const void *right) {
    const struct bench_request *a = left, *b = right;
    if (a->at != b->at) return a->at < b->at ? -1 : 1;
    return a->first < b->first ? -1 : a->first > b->first;
}

void generate_chats(struct bench_workload *w, const struct options *o) {
    size_t usual = o->mock ? (o->quick ? MOCK_REQUESTS_QUICK : MOCK_REQUESTS)
                           : (o->quick ? REQUESTS_QUICK : REQUESTS);
    size_t want = o->requests ? o->requests : usual;
    size_t room_requests = 0, room_hashes = 0, room_tokens = 0;
    uint64_t rng = random_mix(o->seed + 1);
    double denser = o->mock ? MOCK_DENSER : 1,
           answer_mean = o->mock ? MOCK_ANSWER_MEAN : ANSWER_MEAN;
    double start = 0, pace = denser * arrivals_a_worker * o->workers / TURNS_MEAN;
    struct chat c = {0};
    *w = (struct bench_workload){.block_size = o->block_size};
    // Half as many again: those that later conversations overtake are cut off at the end.
    while (w->n < want + want / 2 + 100) {
        start += exponential(&rng, 1 / pace);
        double at = start;
        unsigned prompt = system_prompt(&rng);
        uint64_t prompt_seed = random_mix(o->seed * SYSTEM_PROMPTS + prompt);
        unsigned turns = 1 + (unsigned)exponential(&rng, TURNS_MEAN - 0.5);
        size_t first = w->n_hashes;
        c.n = 0;
        say(&c, prompt_seed, SYSTEM_MIN + prompt_seed % (SYSTEM_MAX - SYSTEM_MIN));
        for (unsigned turn = 0; turn < turns && turn < TURNS_MAX; turn++) {
            say(&c, random_next(&rng), length(&rng, QUESTION_MEAN));
            struct bench_request r = {
                .at = at,
                .after = BENCH_NO_REQUEST,
                .session = w->sessions,
                .isl = (uint32_t)c.n,
                .osl = length(&rng, answer_mean),
                .blocks = (uint32_t)(c.n / o->block_size),
                .first = first,
                .text = w->n_tokens,
            };
            if (o->mock)
                answer(&c, r.osl);
            else
                say(&c, random_next(&rng), r.osl);
            r.known = (uint32_t)(c.n / o->block_size);
            w->requests = memory_grow(w->requests, &room_requests, w->n + 1, sizeof r);
            w->requests[w->n++] = r;
            at += 1 + r.osl * answer_pace + exponential(&rng, think_mean / denser);
        }
        w->sessions++;
        size_t blocks = c.n / o->block_size;
        w->hashes = memory_grow(w->hashes, &room_hashes, first + blocks, sizeof *w->hashes);
        w->n_hashes +=
            kvr_hash_tokens(c.tokens, c.n, o->block_size, KVR_HASH_SEED, NULL, w->hashes + first);
        if (!o->mock) continue;
        w->tokens = memory_grow(w->tokens, &room_tokens, w->n_tokens + c.n, sizeof *w->tokens);
        memcpy(w->tokens + w->n_tokens, c.tokens, c.n * sizeof *c.tokens);
        w->n_tokens += c.n;
    }
    free(c.tokens);
    qsort(w->requests, w->n, sizeof *w->requests, by_time);
    w->n = want;
    snprintf(w->what, sizeof w->what, "chats over %d system prompts, generated (seed %llu)",
             SYSTEM_PROMPTS, (unsigned long long)o->seed);
}
