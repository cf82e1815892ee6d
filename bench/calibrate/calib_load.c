// SPDX-License-Identifier: Apache-2.0
// The load of a calibration; see calib_load.h.
#include "calib_load.h"

#include <kvroute/hash.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_memory.h"
#include "bench/sim/loads/sequence.h"
#include "client/common/random.h"
#include "tests/mock-engine/tokens.h"

enum {
    CALIB_SYSTEM_PROMPTS = 8,
    CALIB_SYSTEM_MIN = 200, // tokens
    CALIB_SYSTEM_MAX = 800,
    CALIB_QUESTION = 40, // means
    CALIB_ANSWER = 200,
    CALIB_TURNS = 4,
    CALIB_MAX_TURNS = 12,
    CALIB_LETTERS = 3,
    CALIB_PIECE = 4, // bytes of a token, as a router without tokens has it
};
static const double settled = 120, think = 4,
                    pace = 0.025; // seconds; seconds a token of the answer

// A conversation as it grows.
struct calib_conversation {
    struct calib_load *s;
    uint64_t rng;
    size_t room_bytes, room_prompts;
    struct tokens tokens;
    size_t text;          // where its bytes begin
    size_t first, hashed; // its first hash; how many of its blocks have one
};

// ---- Text and tokens -----------------------------------------------------------------------------

static void say(struct calib_conversation *g, const char *bytes, size_t n) {
    struct calib_load *s = g->s;
    s->bytes = bench_grow(s->bytes, &g->room_bytes, s->n_bytes + n, 1);
    memcpy(s->bytes + s->n_bytes, bytes, n);
    s->n_bytes += n;
    tokens_text(&g->tokens, bytes, n);
}

static void say_words(struct calib_conversation *g, uint64_t seed, size_t words) {
    for (size_t i = 0; i < words; i++) {
        char word[1 + CALIB_LETTERS] = {' '};
        uint64_t h = kvr_random_mix(seed + i);
        for (int k = 1; k <= CALIB_LETTERS; k++, h /= 26)
            word[k] = (char)('a' + h % 26);
        size_t skip = g->tokens.n == 0; // no space before the first
        say(g, word + skip, sizeof word - skip);
    }
}

static void say_answer(struct calib_conversation *g, size_t words) {
    uint64_t seed = answer_seed(&g->tokens);
    for (size_t i = 0; i < words; i++) {
        char word[WORD_SIZE];
        size_t n = answer_word(seed, i, word);
        say(g, word, n);
    }
}

// ---- Requests ------------------------------------------------------------------------------------

// The last token of an answer is never computed, so no engine has it in a block.
static void ask(struct calib_conversation *g, double at, uint32_t question, uint32_t answer) {
    struct calib_load *s = g->s;
    struct bench_workload *w = &s->load;
    say_words(g, kvr_random(&g->rng), question);
    struct bench_request r = {.at = at,
                              .after = BENCH_NO_REQUEST,
                              .session = s->load.sessions,
                              .isl = (uint32_t)g->tokens.n,
                              .osl = answer,
                              .blocks = (uint32_t)(g->tokens.n / w->block_size),
                              .known = (uint32_t)((g->tokens.n + answer - 1) / w->block_size),
                              .first = g->first,
                              .text = w->n};
    s->prompts = bench_grow(s->prompts, &g->room_prompts, w->n + 1, sizeof *s->prompts);
    s->prompts[w->n] = (struct calib_text){g->text, s->n_bytes - g->text};
    bench_workload_add(w, &r);
    say_answer(g, answer);
    g->hashed = bench_workload_hash(w, g->tokens.ids, g->tokens.n, g->hashed);
}

static void add_conversation(struct calib_conversation *g, double at) {
    uint64_t prompt = kvr_random_mix(sim_draw_zipf(&g->rng, CALIB_SYSTEM_PROMPTS));
    unsigned turns = 1 + (unsigned)sim_draw_exponential(&g->rng, CALIB_TURNS - 0.5);
    g->tokens.n = g->hashed = 0;
    g->first = g->s->load.n_hashes;
    g->text = g->s->n_bytes;
    say_words(g, prompt, CALIB_SYSTEM_MIN + prompt % (CALIB_SYSTEM_MAX - CALIB_SYSTEM_MIN));
    for (unsigned turn = 0; turn < turns && turn < CALIB_MAX_TURNS; turn++) {
        uint32_t question = sim_draw_length(&g->rng, CALIB_QUESTION),
                 answer = sim_draw_length(&g->rng, CALIB_ANSWER);
        ask(g, at, question, answer);
        at += 1 + answer * pace + sim_draw_exponential(&g->rng, think);
    }
    g->s->load.sessions++;
}

static int by_time(const void *left, const void *right) {
    const struct bench_request *a = left, *b = right;
    if (a->at != b->at) return a->at < b->at ? -1 : 1;
    return a->text < b->text ? -1 : a->text > b->text;
}

// Keeps what arrives within the time, in order. Conversations have begun long before it, so that turns
// of every number arrive from the first second on.
static void settle(struct calib_load *s, double seconds) {
    struct bench_workload *w = &s->load;
    struct calib_text *prompts = bench_calloc(w->n + 1, sizeof *prompts);
    size_t left = 0;
    qsort(w->requests, w->n, sizeof *w->requests, by_time);
    for (size_t i = 0; i < w->n; i++) {
        struct bench_request r = w->requests[i];
        if (r.at < settled || r.at >= settled + seconds) continue;
        prompts[left] = s->prompts[r.text];
        r.at -= settled;
        r.text = 0;
        w->requests[left++] = r;
    }
    w->n = left;
    free(s->prompts);
    s->prompts = prompts;
}

// As kvroute-router does with blocks=text: pieces of four bytes a token.
static void cut_text(struct calib_load *s) {
    const struct bench_workload *w = &s->load;
    struct bench_workload *t = &s->text;
    size_t piece = (size_t)CALIB_PIECE * w->block_size;
    *t = (struct bench_workload){.n = w->n, .sessions = w->sessions, .block_size = w->block_size};
    t->requests = bench_calloc(w->n + 1, sizeof *t->requests);
    for (size_t i = 0; i < w->n; i++) {
        struct bench_request *r = &t->requests[i];
        size_t bytes = s->prompts[i].n;
        *r = w->requests[i];
        r->isl = (uint32_t)(bytes / CALIB_PIECE);
        r->blocks = r->known = (uint32_t)(bytes / piece);
        r->first = t->n_hashes;
        uint64_t *hashes = bench_workload_more_hashes(t, r->blocks + 1);
        kvr_hash_tokens(calib_load_prompt(s, i), bytes / CALIB_PIECE, w->block_size, KVR_HASH_SEED,
                        NULL, hashes);
        t->n_hashes += r->blocks;
    }
}

void calib_load_make(struct calib_load *s, const struct calib_load_plan *plan) {
    *s = (struct calib_load){.load = {.block_size = plan->block_size}};
    struct calib_conversation g = {.s = s, .rng = kvr_random_mix(plan->seed + 1)};
    for (double at = 0; at < settled + plan->seconds;) {
        at += sim_draw_exponential(&g.rng, CALIB_TURNS / plan->rate);
        add_conversation(&g, at);
    }
    settle(s, plan->seconds);
    cut_text(s);
    snprintf(s->load.what, sizeof s->load.what, "conversations of some %d turns (seed %llu)",
             CALIB_TURNS, (unsigned long long)plan->seed);
    tokens_free(&g.tokens);
}

void calib_load_free(struct calib_load *s) {
    bench_workload_free(&s->load);
    bench_workload_free(&s->text);
    free(s->prompts);
    free(s->bytes);
    *s = (struct calib_load){0};
}
