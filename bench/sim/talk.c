// SPDX-License-Identifier: Apache-2.0
// Sequences and their requests; see talk.h.
#include "talk.h"

#include <kvroute/hash.h>
#include <math.h>
#include <stdlib.h>

#include "bench/common/memory.h"
#include "bench/common/random.h"

void talk_open(struct talk *t, struct workload *w, const struct load_plan *plan) {
    *w = (struct workload){.block_size = plan->block_size};
    *t = (struct talk){.w = w, .plan = plan, .rng = random_mix(plan->seed + 1)};
}

// Hashes the blocks that have become full.
static void hash_blocks(struct talk *t) {
    struct workload *w = t->w;
    size_t full = t->n / w->block_size, more = full - t->hashed;
    if (!more) return;
    w->hashes = memory_grow(w->hashes, &t->room_hashes, w->n_hashes + more, sizeof *w->hashes);
    const uint64_t *parent = t->hashed ? &w->hashes[w->n_hashes - 1] : NULL;
    kvr_hash_tokens(t->tokens + t->hashed * w->block_size, more * w->block_size, w->block_size,
                    KVR_HASH_SEED, parent, w->hashes + w->n_hashes);
    w->n_hashes += more;
    t->hashed = full;
}

void talk_begin(struct talk *t) {
    t->session = t->w->sessions++;
    talk_fork(t);
}

void talk_fork(struct talk *t) {
    t->n = t->hashed = 0;
    t->first = t->w->n_hashes;
}

void talk_say(struct talk *t, uint64_t seed, size_t tokens) {
    t->tokens = memory_grow(t->tokens, &t->room, t->n + tokens, sizeof *t->tokens);
    for (size_t i = 0; i < tokens; i++)
        t->tokens[t->n++] = (uint32_t)(random_mix(seed + i) % 128000);
    hash_blocks(t);
}

void talk_ask(struct talk *t, double at, uint32_t question, uint32_t answer) {
    struct workload *w = t->w;
    talk_say(t, random_next(&t->rng), question);
    struct request r = {
        .at = at,
        .after = NO_REQUEST,
        .session = t->session,
        .isl = (uint32_t)t->n,
        .osl = answer,
        .blocks = (uint32_t)(t->n / w->block_size),
        .first = t->first,
    };
    talk_say(t, random_next(&t->rng), answer);
    r.known = (uint32_t)(t->n / w->block_size);
    w->requests = memory_grow(w->requests, &t->room_requests, w->n + 1, sizeof r);
    w->requests[w->n++] = r;
}

static int by_time(const void *left, const void *right) {
    const struct request *a = left, *b = right;
    if (a->at != b->at) return a->at < b->at ? -1 : 1;
    if (a->first != b->first) return a->first < b->first ? -1 : 1;
    return a->isl < b->isl ? -1 : a->isl > b->isl;
}

double talk_until(const struct talk *t, double skip) {
    return skip + 60 + 1.5 * (double)t->plan->requests / t->plan->rate;
}

void talk_finish(struct talk *t, double skip) {
    struct workload *w = t->w;
    size_t left = 0;
    qsort(w->requests, w->n, sizeof *w->requests, by_time);
    for (size_t i = 0; i < w->n && left < t->plan->requests; i++)
        if (w->requests[i].at >= skip) w->requests[left++] = w->requests[i];
    w->n = left;
    talk_close(t);
}

void talk_close(struct talk *t) {
    free(t->tokens);
    t->tokens = NULL;
}

double talk_exponential(struct talk *t, double mean) {
    return -mean * log(1 - random_unit(&t->rng));
}

uint32_t talk_length(struct talk *t, double mean) {
    double half = mean / 2;
    return 16 + (uint32_t)(talk_exponential(t, half) + talk_exponential(t, half));
}

unsigned talk_pick(struct talk *t, unsigned n) {
    double total = 0, sum = 0;
    for (unsigned i = 1; i <= n; i++)
        total += 1.0 / i;
    double draw = random_unit(&t->rng) * total;
    for (unsigned i = 1; i <= n; i++)
        if ((sum += 1.0 / i) > draw) return i;
    return n;
}
