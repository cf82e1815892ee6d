// SPDX-License-Identifier: Apache-2.0
// What is played; see script.h.
#include "script.h"

#include <kvroute/hash.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_memory.h"
#include "bench/sim/loads/sequence.h"
#include "client/common/random.h"
#include "tests/mock-engine/mock_tokens.h"

enum {
    SCRIPT_MAX_TURNS = 12,
    SCRIPT_LETTERS = 3,
    SCRIPT_PIECE = 4, // bytes of a token, as a router without tokens has it
};
static const double settled = 120, pace = 0.025; // seconds; seconds a token of the answer

// A conversation as it grows.
struct script_writer {
    struct bench_script *s;
    uint64_t rng;
    size_t room_bytes, room_prompts;
    struct mock_tokens tokens;
    size_t text;          // where its bytes begin
    size_t first, hashed; // its first hash; how many of its blocks have one
};

// ---- Text and tokens -----------------------------------------------------------------------------

static void say(struct script_writer *g, const char *bytes, size_t n) {
    struct bench_script *s = g->s;
    s->bytes = bench_grow(s->bytes, &g->room_bytes, s->n_bytes + n, 1);
    memcpy(s->bytes + s->n_bytes, bytes, n);
    s->n_bytes += n;
    mock_tokens_text(&g->tokens, bytes, n);
}

static void say_words(struct script_writer *g, uint64_t seed, size_t words) {
    for (size_t i = 0; i < words; i++) {
        char word[1 + SCRIPT_LETTERS] = {' '};
        uint64_t h = kvr_random_mix(seed + i);
        for (int k = 1; k <= SCRIPT_LETTERS; k++, h /= 26)
            word[k] = (char)('a' + h % 26);
        size_t skip = g->tokens.n == 0; // no space before the first
        say(g, word + skip, sizeof word - skip);
    }
}

static void say_answer(struct script_writer *g, size_t words) {
    uint64_t seed = mock_answer_seed(&g->tokens);
    for (size_t i = 0; i < words; i++) {
        char word[MOCK_WORD_SIZE];
        size_t n = mock_answer_word(seed, i, word);
        say(g, word, n);
    }
}

// ---- Requests ------------------------------------------------------------------------------------

// A request whose prompt has been said. known: tokens of prompt and answer that engines will have in blocks.
static void add_request(struct script_writer *g, double at, uint32_t answer, size_t known) {
    struct bench_script *s = g->s;
    struct bench_workload *w = &s->load;
    struct bench_request r = {.at = at,
                              .after = BENCH_NO_REQUEST,
                              .session = w->sessions,
                              .isl = (uint32_t)g->tokens.n,
                              .osl = answer,
                              .blocks = (uint32_t)(g->tokens.n / w->block_size),
                              .known = (uint32_t)(known / w->block_size),
                              .first = g->first,
                              .text = w->n};
    s->prompts = bench_grow(s->prompts, &g->room_prompts, w->n + 1, sizeof *s->prompts);
    s->prompts[w->n] = (struct bench_script_text){g->text, s->n_bytes - g->text};
    bench_workload_add(w, &r);
}

static void hash_blocks(struct script_writer *g) {
    g->hashed = bench_workload_hash(&g->s->load, g->tokens.ids, g->tokens.n, g->hashed);
}

// The last token of an answer is never computed, so no engine has it in a block.
static void ask(struct script_writer *g, double at, uint32_t question, uint32_t answer) {
    say_words(g, kvr_random(&g->rng), question);
    add_request(g, at, answer, g->tokens.n + answer - 1);
    say_answer(g, answer);
    hash_blocks(g);
}

static void begin_prompt(struct script_writer *g) {
    g->tokens.n = g->hashed = 0;
    g->first = g->s->load.n_hashes;
    g->text = g->s->n_bytes;
}

static void add_conversation(struct script_writer *g, const struct bench_script_chats *c,
                             double at) {
    uint64_t prompt = kvr_random_mix(sim_draw_zipf(&g->rng, c->system_prompts));
    unsigned turns = 1 + (unsigned)sim_draw_exponential(&g->rng, c->turns - 0.5);
    begin_prompt(g);
    say_words(g, prompt, c->system_min + prompt % (c->system_max - c->system_min));
    for (unsigned turn = 0; turn < turns && turn < SCRIPT_MAX_TURNS; turn++) {
        uint32_t question = sim_draw_length(&g->rng, c->question),
                 answer = sim_draw_length(&g->rng, c->answer);
        ask(g, at, question, answer);
        at += 1 + answer * pace + sim_draw_exponential(&g->rng, c->think);
    }
    g->s->load.sessions++;
}

// Keeps what arrives within the time, in order. Conversations have begun long before it, so that turns
// of every number arrive from the first second on.
static void settle(struct bench_script *s, double seconds) {
    struct bench_workload *w = &s->load;
    struct bench_script_text *prompts = bench_calloc(w->n + 1, sizeof *prompts);
    size_t left = 0;
    bench_workload_sort(w);
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
static void cut_text(struct bench_script *s) {
    const struct bench_workload *w = &s->load;
    struct bench_workload *t = &s->text;
    size_t piece = (size_t)SCRIPT_PIECE * w->block_size;
    *t = (struct bench_workload){.n = w->n, .sessions = w->sessions, .block_size = w->block_size};
    t->requests = bench_calloc(w->n + 1, sizeof *t->requests);
    for (size_t i = 0; i < w->n; i++) {
        struct bench_request *r = &t->requests[i];
        size_t bytes = s->prompts[i].n;
        *r = w->requests[i];
        r->isl = (uint32_t)(bytes / SCRIPT_PIECE);
        r->blocks = r->known = (uint32_t)(bytes / piece);
        r->first = t->n_hashes;
        uint64_t *hashes = bench_workload_more_hashes(t, r->blocks + 1);
        kvr_hash_tokens(bench_script_prompt(s, i), bytes / SCRIPT_PIECE, w->block_size,
                        KVR_HASH_SEED, NULL, hashes);
        t->n_hashes += r->blocks;
    }
}

void bench_script_chat(struct bench_script *s, const struct bench_script_plan *plan) {
    *s = (struct bench_script){.load = {.block_size = plan->block_size}};
    struct script_writer g = {.s = s, .rng = kvr_random_mix(plan->seed + 1)};
    for (double at = 0; at < settled + plan->seconds;) {
        at += sim_draw_exponential(&g.rng, plan->chats.turns / plan->rate);
        add_conversation(&g, &plan->chats, at);
    }
    settle(s, plan->seconds);
    cut_text(s);
    snprintf(s->load.what, sizeof s->load.what, "conversations of some %u turns (seed %llu)",
             plan->chats.turns, (unsigned long long)plan->seed);
    mock_tokens_free(&g.tokens);
}

// A block's words are drawn by its prefix hash: equal where all before it is equal, too.
void bench_script_trace(struct bench_script *s, const struct bench_workload *trace) {
    *s = (struct bench_script){.load = {.block_size = trace->block_size}};
    struct script_writer g = {.s = s};
    for (size_t i = 0; i < trace->n; i++) {
        const struct bench_request *r = &trace->requests[i];
        const uint64_t *hashes = bench_request_hashes(trace, i);
        uint32_t rest = r->isl - r->blocks * trace->block_size;
        begin_prompt(&g);
        for (uint32_t k = 0; k < r->blocks; k++)
            say_words(&g, hashes[k], trace->block_size);
        say_words(&g, kvr_random_mix(i + 1), rest ? rest : 1);
        hash_blocks(&g);
        add_request(&g, r->at, r->osl ? r->osl : 1, g.tokens.n);
    }
    snprintf(s->load.what, sizeof s->load.what, "%s", trace->what);
    cut_text(s);
    mock_tokens_free(&g.tokens);
}

void bench_script_free(struct bench_script *s) {
    bench_workload_free(&s->load);
    bench_workload_free(&s->text);
    free(s->prompts);
    free(s->bytes);
    *s = (struct bench_script){0};
}
