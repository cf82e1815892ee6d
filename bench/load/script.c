// SPDX-License-Identifier: Apache-2.0
// What is played; see script.h.
#include "script.h"

#include <kvroute/hash.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/memory.h"
#include "bench/common/random.h"
#include "tests/mock-engine/tokens.h"

enum {
    SHORTEST = 16, // tokens, of a question or an answer
    MAX_TURNS = 12,
    LETTERS = 3,
    PIECE = 4, // bytes of a token, as a router without tokens has it
};
static const double settled = 120, pace = 0.025; // seconds; seconds a token of the answer

// A conversation as it grows.
struct growing {
    struct bench_script *s;
    uint64_t rng;
    size_t room_bytes, room_requests, room_prompts, room_hashes;
    struct tokens tokens;
    size_t text;          // where its bytes begin
    size_t first, hashed; // its first hash; how many of its blocks have one
};

static double exponential(uint64_t *rng, double mean) {
    return -mean * log(1 - random_unit(rng));
}

static uint32_t length(uint64_t *rng, double mean) {
    return SHORTEST + (uint32_t)(exponential(rng, mean / 2) + exponential(rng, mean / 2));
}

// 0 … n - 1, i with a weight of 1 / (i + 1).
static unsigned pick(uint64_t *rng, unsigned n) {
    double total = 0, sum = 0;
    for (unsigned i = 1; i <= n; i++)
        total += 1.0 / i;
    double draw = random_unit(rng) * total;
    for (unsigned i = 1; i < n; i++)
        if ((sum += 1.0 / i) > draw) return i - 1;
    return n - 1;
}

// ---- Text and tokens -----------------------------------------------------------------------------

static void say(struct growing *g, const char *bytes, size_t n) {
    struct bench_script *s = g->s;
    s->bytes = memory_grow(s->bytes, &g->room_bytes, s->n_bytes + n, 1);
    memcpy(s->bytes + s->n_bytes, bytes, n);
    s->n_bytes += n;
    tokens_text(&g->tokens, bytes, n);
}

static void say_words(struct growing *g, uint64_t seed, size_t words) {
    for (size_t i = 0; i < words; i++) {
        char word[1 + LETTERS] = {' '};
        uint64_t h = random_mix(seed + i);
        for (int k = 1; k <= LETTERS; k++, h /= 26)
            word[k] = (char)('a' + h % 26);
        size_t skip = g->tokens.n == 0; // no space before the first
        say(g, word + skip, sizeof word - skip);
    }
}

static void say_answer(struct growing *g, size_t words) {
    uint64_t seed = answer_seed(&g->tokens);
    for (size_t i = 0; i < words; i++) {
        char word[WORD_SIZE];
        size_t n = answer_word(seed, i, word);
        say(g, word, n);
    }
}

// Hashes the blocks that have become full.
static void hash_blocks(struct growing *g) {
    struct workload *w = &g->s->load;
    size_t size = w->block_size, more = g->tokens.n / size - g->hashed;
    if (!more) return;
    w->hashes = memory_grow(w->hashes, &g->room_hashes, w->n_hashes + more, sizeof *w->hashes);
    const uint64_t *parent = g->hashed ? &w->hashes[w->n_hashes - 1] : NULL;
    kvr_hash_tokens(g->tokens.ids + g->hashed * size, more * size, size, KVR_HASH_SEED, parent,
                    w->hashes + w->n_hashes);
    w->n_hashes += more;
    g->hashed += more;
}

// ---- Requests ------------------------------------------------------------------------------------

// A request whose prompt has been said. known: tokens of prompt and answer that engines will have in blocks.
static void add_request(struct growing *g, double at, uint32_t answer, size_t known) {
    struct bench_script *s = g->s;
    struct workload *w = &s->load;
    struct request r = {.at = at,
                        .after = NO_REQUEST,
                        .session = w->sessions,
                        .isl = (uint32_t)g->tokens.n,
                        .osl = answer,
                        .blocks = (uint32_t)(g->tokens.n / w->block_size),
                        .known = (uint32_t)(known / w->block_size),
                        .first = g->first,
                        .text = w->n};
    s->prompts = memory_grow(s->prompts, &g->room_prompts, w->n + 1, sizeof *s->prompts);
    s->prompts[w->n] = (struct bench_script_text){g->text, s->n_bytes - g->text};
    w->requests = memory_grow(w->requests, &g->room_requests, w->n + 1, sizeof r);
    w->requests[w->n++] = r;
}

// The last token of an answer is never computed, so no engine has it in a block.
static void ask(struct growing *g, double at, uint32_t question, uint32_t answer) {
    say_words(g, random_next(&g->rng), question);
    add_request(g, at, answer, g->tokens.n + answer - 1);
    say_answer(g, answer);
    hash_blocks(g);
}

static void converse(struct growing *g, const struct bench_script_chats *c, double at) {
    uint64_t prompt = random_mix(pick(&g->rng, c->system_prompts) + 1);
    unsigned turns = 1 + (unsigned)exponential(&g->rng, c->turns - 0.5);
    g->tokens.n = g->hashed = 0;
    g->first = g->s->load.n_hashes;
    g->text = g->s->n_bytes;
    say_words(g, prompt, c->system_min + prompt % (c->system_max - c->system_min));
    for (unsigned turn = 0; turn < turns && turn < MAX_TURNS; turn++) {
        uint32_t question = length(&g->rng, c->question), answer = length(&g->rng, c->answer);
        ask(g, at, question, answer);
        at += 1 + answer * pace + exponential(&g->rng, c->think);
    }
    g->s->load.sessions++;
}

static int by_time(const void *left, const void *right) {
    const struct request *a = left, *b = right;
    if (a->at != b->at) return a->at < b->at ? -1 : 1;
    return a->text < b->text ? -1 : a->text > b->text;
}

// Keeps what arrives within the time, in order. Conversations have begun long before it, so that turns
// of every number arrive from the first second on.
static void settle(struct bench_script *s, double seconds) {
    struct workload *w = &s->load;
    struct bench_script_text *prompts = memory_take(w->n + 1, sizeof *prompts);
    size_t left = 0;
    qsort(w->requests, w->n, sizeof *w->requests, by_time);
    for (size_t i = 0; i < w->n; i++) {
        struct request r = w->requests[i];
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
    const struct workload *w = &s->load;
    struct workload *t = &s->text;
    size_t room = 0, piece = (size_t)PIECE * w->block_size;
    *t = (struct workload){.n = w->n, .sessions = w->sessions, .block_size = w->block_size};
    t->requests = memory_take(w->n + 1, sizeof *t->requests);
    for (size_t i = 0; i < w->n; i++) {
        struct request *r = &t->requests[i];
        size_t bytes = s->prompts[i].n;
        *r = w->requests[i];
        r->isl = (uint32_t)(bytes / PIECE);
        r->blocks = r->known = (uint32_t)(bytes / piece);
        r->first = t->n_hashes;
        t->hashes = memory_grow(t->hashes, &room, t->n_hashes + r->blocks + 1, sizeof *t->hashes);
        kvr_hash_tokens(bench_script_prompt(s, i), bytes / PIECE, w->block_size, KVR_HASH_SEED,
                        NULL, t->hashes + t->n_hashes);
        t->n_hashes += r->blocks;
    }
}

void bench_script_chat(struct bench_script *s, const struct bench_script_plan *plan) {
    *s = (struct bench_script){.load = {.block_size = plan->block_size}};
    struct growing g = {.s = s, .rng = random_mix(plan->seed + 1)};
    for (double at = 0; at < settled + plan->seconds;) {
        at += exponential(&g.rng, plan->chats.turns / plan->rate);
        converse(&g, &plan->chats, at);
    }
    settle(s, plan->seconds);
    cut_text(s);
    snprintf(s->load.what, sizeof s->load.what, "conversations of some %u turns (seed %llu)",
             plan->chats.turns, (unsigned long long)plan->seed);
    tokens_free(&g.tokens);
}

// A block's words are drawn by its prefix hash: equal where all before it is equal, too.
void bench_script_trace(struct bench_script *s, const struct workload *trace) {
    *s = (struct bench_script){.load = {.block_size = trace->block_size}};
    struct growing g = {.s = s};
    for (size_t i = 0; i < trace->n; i++) {
        const struct request *r = &trace->requests[i];
        const uint64_t *hashes = request_hashes(trace, i);
        uint32_t rest = r->isl - r->blocks * trace->block_size;
        g.tokens.n = g.hashed = 0;
        g.first = s->load.n_hashes;
        g.text = s->n_bytes;
        for (uint32_t k = 0; k < r->blocks; k++)
            say_words(&g, hashes[k], trace->block_size);
        say_words(&g, random_mix(i + 1), rest ? rest : 1);
        hash_blocks(&g);
        add_request(&g, r->at, r->osl ? r->osl : 1, g.tokens.n);
    }
    snprintf(s->load.what, sizeof s->load.what, "%s", trace->what);
    cut_text(s);
    tokens_free(&g.tokens);
}

void bench_script_free(struct bench_script *s) {
    workload_free(&s->load);
    workload_free(&s->text);
    free(s->prompts);
    free(s->bytes);
    *s = (struct bench_script){0};
}
