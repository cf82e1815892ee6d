// SPDX-License-Identifier: Apache-2.0
#include "effect.h"

#include <kvroute/hash.h>
#include <string.h>

#include "double_text.h"

static RedisModuleString *words[MOD_EFFECT_WORDS];

void mod_effect_start(void) {
    static const char *const texts[MOD_EFFECT_WORDS] = {
        "AT",        "SEEN",     "HASHES",    "ISL",           "CACHED",        "OUTPUT",
        "PREFILLED", "LEASE",    "OSL",       "CREATED",       "RENEWED",       "PREDICTED",
        "OVERLAP",   "COST",     "SESSION",   "EXPECTED",      "CLASS",         "FLOW",
        "LEFT",      "UNCALLED", "PREFILLER", "PREFILLCACHED", "PREFILLOVERLAP"};
    for (int i = 0; i < MOD_EFFECT_WORDS; i++)
        words[i] = RedisModule_CreateStringPrintf(NULL, "%s", texts[i]);
}

RedisModuleString *mod_effect_word(enum mod_effect_word word) {
    return words[word];
}

// At high rates many in a row are the same.
RedisModuleString *mod_effect_time(int64_t ms) {
    static RedisModuleString *string;
    static int64_t last;
    if (string && last == ms) return string;
    if (string) RedisModule_FreeString(NULL, string);
    string = RedisModule_CreateStringFromLongLong(NULL, ms);
    last = ms;
    return string;
}

// NULL: too high to be shared.
static RedisModuleString *shared_rank(uint32_t rank) {
    enum { SHARED_RANKS = 32 };
    static RedisModuleString *ranks[SHARED_RANKS];
    if (rank >= SHARED_RANKS) return NULL;
    if (!ranks[rank]) ranks[rank] = RedisModule_CreateStringFromLongLong(NULL, rank);
    return ranks[rank];
}

// Names of workers, numbers of tokens, costs: effects say the same few again and again. Those that were said last
// are kept, each at the place that its hash gives; whoever puts one into an effect shares it.
static RedisModuleString *kept(const char *bytes, size_t n) {
    enum { KEPT_STRINGS = 256 };
    static RedisModuleString *strings[KEPT_STRINGS];
    RedisModuleString **place = &strings[XXH3_64bits(bytes, n) % KEPT_STRINGS];
    struct kvr_bytes b = *place ? mod_bytes_of(*place) : (struct kvr_bytes){NULL, 0};
    if (!*place || b.n != n || memcmp(b.p, bytes, n) != 0) {
        if (*place) RedisModule_FreeString(NULL, *place);
        *place = RedisModule_CreateString(NULL, bytes, n);
    }
    RedisModule_RetainString(NULL, *place);
    return *place;
}

static void put(struct mod_effect *e, RedisModuleString *s, bool own) {
    e->own[e->n] = own;
    e->argv[e->n++] = s;
}

void mod_effect_put(struct mod_effect *e, RedisModuleString *s) {
    put(e, s, false);
}

void mod_effect_put_word(struct mod_effect *e, enum mod_effect_word word) {
    put(e, words[word], false);
}

void mod_effect_put_bytes(struct mod_effect *e, const char *bytes, size_t n) {
    enum { KEPT_BYTES = 64 };
    put(e, n <= KEPT_BYTES ? kept(bytes, n) : RedisModule_CreateString(NULL, bytes, n), true);
}

void mod_effect_put_number(struct mod_effect *e, int64_t v) {
    char digits[MOD_MAX_U64];
    if (v < 0)
        put(e, RedisModule_CreateStringFromLongLong(NULL, v), true);
    else
        put(e, kept(digits, mod_format_u64((uint64_t)v, digits)), true);
}

void mod_effect_put_rank(struct mod_effect *e, uint32_t rank) {
    RedisModuleString *shared = shared_rank(rank);
    if (shared)
        put(e, shared, false);
    else
        mod_effect_put_number(e, rank);
}

void mod_effect_put_time(struct mod_effect *e, enum mod_effect_word word, int64_t ms) {
    mod_effect_put_word(e, word);
    put(e, mod_effect_time(ms), false);
}

void mod_effect_put_option(struct mod_effect *e, enum mod_effect_word word, int64_t v) {
    mod_effect_put_word(e, word);
    mod_effect_put_number(e, v);
}

void mod_effect_put_name(struct mod_effect *e, enum mod_effect_word word, struct kvr_bytes b) {
    if (!b.n) return;
    mod_effect_put_word(e, word);
    mod_effect_put_bytes(e, b.p, b.n);
}

// Without EXPECTED, both follow from what is cached, and an overlap of 0 can't be said.
void mod_effect_put_answer(struct mod_effect *e, const struct kvr_booking *b, uint32_t block_size) {
    int64_t blocks = b->cached / block_size;
    bool expected = b->expected && (b->expected != blocks || !b->overlap);
    if (b->cached) mod_effect_put_option(e, MOD_EFFECT_CACHED, b->cached);
    if (b->predict_until) mod_effect_put_option(e, MOD_EFFECT_PREDICTED, b->predict_until);
    if (b->overlap && (expected || b->overlap != blocks))
        mod_effect_put_option(e, MOD_EFFECT_OVERLAP, b->overlap);
    if (b->cost != 0) {
        char text[MOD_MAX_DOUBLE];
        mod_effect_put_word(e, MOD_EFFECT_COST);
        mod_effect_put_bytes(e, text, mod_format_double(b->cost, text));
    }
    if (expected) mod_effect_put_option(e, MOD_EFFECT_EXPECTED, b->expected);
    if (b->has_left) mod_effect_put_option(e, MOD_EFFECT_LEFT, b->left);
    if (!b->prefill_worker.n) return;
    mod_effect_put_name(e, MOD_EFFECT_PREFILLER, b->prefill_worker);
    mod_effect_put_rank(e, b->prefill_rank);
    mod_effect_put_option(e, MOD_EFFECT_PREFILLCACHED, b->prefill_cached);
    if (b->prefill_overlap) mod_effect_put_option(e, MOD_EFFECT_PREFILLOVERLAP, b->prefill_overlap);
}

void mod_effect_send(struct mod_effect *e, RedisModuleCtx *ctx, const char *command) {
    RedisModule_Replicate(ctx, command, "v", e->argv, e->n);
    for (size_t i = 0; i < e->n; i++)
        if (e->own[i]) RedisModule_FreeString(NULL, e->argv[i]);
}
