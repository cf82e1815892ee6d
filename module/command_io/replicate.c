// SPDX-License-Identifier: Apache-2.0
// An effect is made for each choice and each release, so it is cheap: making a string costs more than putting
// one into an effect. Words, low ranks and the present time are strings that effects share (the server holds
// what it still needs); a HASHES blob is passed on as it came; options that have their default are left out.
// The default may be the pool's: whoever applies the effect has the same options, as they are part of the
// stream.
#include "replicate.h"

enum effect_word {
    EFFECT_AT,
    EFFECT_SEEN,
    EFFECT_HASHES,
    EFFECT_ISL,
    EFFECT_CACHED,
    EFFECT_OUTPUT,
    EFFECT_PREFILLED,
    EFFECT_LEASE,
    EFFECT_OSL,
    EFFECT_CREATED,
    EFFECT_RENEWED,
    EFFECT_PREDICTED,
    EFFECT_OVERLAP,
    EFFECT_COST,
    EFFECT_SESSION,
    EFFECT_EXPECTED,
    EFFECT_WORDS
};
static RedisModuleString *words[EFFECT_WORDS];

void mod_replicate_start(void) {
    static const char *const texts[EFFECT_WORDS] = {
        "AT",  "SEEN",    "HASHES",  "ISL",       "CACHED",  "OUTPUT", "PREFILLED", "LEASE",
        "OSL", "CREATED", "RENEWED", "PREDICTED", "OVERLAP", "COST",   "SESSION",   "EXPECTED"};
    for (int i = 0; i < EFFECT_WORDS; i++)
        words[i] = RedisModule_CreateStringPrintf(NULL, "%s", texts[i]);
}

// NULL: too high to be shared.
static RedisModuleString *shared_rank(uint32_t rank) {
    enum { SHARED_RANKS = 32 };
    static RedisModuleString *ranks[SHARED_RANKS];
    if (rank >= SHARED_RANKS) return NULL;
    if (!ranks[rank]) ranks[rank] = RedisModule_CreateStringFromLongLong(NULL, rank);
    return ranks[rank];
}

// Good until the next call: at high rates many in a row are the same.
static RedisModuleString *shared_time(int64_t ms) {
    static RedisModuleString *string;
    static int64_t last;
    if (string && last == ms) return string;
    if (string) RedisModule_FreeString(NULL, string);
    string = RedisModule_CreateStringFromLongLong(NULL, ms);
    last = ms;
    return string;
}

// ---- Commands as they came -----------------------------------------------------------------------

// Verbatim is the cheapest, but isn't to be mixed with what mod_expire has replicated.
void mod_replicate(struct mod_call *c, const char *command) {
    if (c->expired)
        RedisModule_Replicate(c->ctx, command, "v", c->args.argv + 1, (size_t)c->args.argc - 1);
    else
        RedisModule_ReplicateVerbatim(c->ctx);
}

void mod_replicate_with_time(struct mod_call *c, const char *command, enum mod_time_word word,
                             int64_t time) {
    if (c->trusted)
        mod_replicate(c, command);
    else
        RedisModule_Replicate(c->ctx, command, "vss", c->args.argv + 1, (size_t)c->args.argc - 1,
                              words[word == MOD_WORD_AT ? EFFECT_AT : EFFECT_SEEN],
                              shared_time(time));
}

// ---- Bookings ------------------------------------------------------------------------------------

enum { MAX_EFFECT_ARGS = 6 + 2 * EFFECT_WORDS };
struct booking_effect {
    RedisModuleString *argv[MAX_EFFECT_ARGS];
    bool own[MAX_EFFECT_ARGS]; // to be freed here
    size_t n;
};

static void put(struct booking_effect *e, RedisModuleString *s, bool own) {
    e->own[e->n] = own;
    e->argv[e->n++] = s;
}

static void put_word(struct booking_effect *e, enum effect_word word) {
    put(e, words[word], false);
}

static void put_bytes(struct booking_effect *e, const char *bytes, size_t n) {
    put(e, RedisModule_CreateString(NULL, bytes, n), true);
}

static void put_number(struct booking_effect *e, int64_t v) {
    put(e, RedisModule_CreateStringFromLongLong(NULL, v), true);
}

static void put_option(struct booking_effect *e, enum effect_word word, int64_t v) {
    put_word(e, word);
    put_number(e, v);
}

void mod_replicate_booking(struct mod_call *c, RedisModuleString *id, struct kvr_bytes worker,
                           uint32_t rank, const struct kvr_booking *b,
                           const struct mod_block_list *list) {
    struct booking_effect e = {.n = 0};
    put(&e, c->name, false);
    put(&e, id, false);
    put_bytes(&e, worker.p, worker.n);
    RedisModuleString *shared = shared_rank(rank);
    if (shared)
        put(&e, shared, false);
    else
        put_number(&e, rank);
    put_word(&e, EFFECT_HASHES);
    if (list->form == MOD_BLOCKS_HASHES)
        put(&e, list->blob, false);
    else
        put_bytes(&e, (const char *)b->hashes, b->n * sizeof *b->hashes);
    const struct kvr_options *o = kvr_pool_options(c->pool);
    if (b->isl != (int64_t)b->n * o->block_size) put_option(&e, EFFECT_ISL, b->isl);
    if (b->lease != o->lease) put_option(&e, EFFECT_LEASE, b->lease);
    put_word(&e, EFFECT_CREATED);
    put(&e, shared_time(b->created), false);
    if (b->renewed != b->created) put_option(&e, EFFECT_RENEWED, b->renewed);
    if (b->cached) put_option(&e, EFFECT_CACHED, b->cached);
    if (b->output) put_option(&e, EFFECT_OUTPUT, b->output);
    if (b->osl) put_option(&e, EFFECT_OSL, b->osl);
    if (b->predict_until) put_option(&e, EFFECT_PREDICTED, b->predict_until);
    // Without EXPECTED, both follow from what is cached, and an overlap of 0 can't be said.
    int64_t blocks = b->cached / o->block_size;
    bool expected = b->expected && (b->expected != blocks || !b->overlap);
    if (b->overlap && (expected || b->overlap != blocks))
        put_option(&e, EFFECT_OVERLAP, b->overlap);
    if (b->cost != 0) {
        char text[MOD_MAX_DOUBLE];
        put_word(&e, EFFECT_COST);
        put_bytes(&e, text, mod_format_double(b->cost, text));
    }
    if (b->prefilled) put_word(&e, EFFECT_PREFILLED);
    if (b->session.n) {
        put_word(&e, EFFECT_SESSION);
        put_bytes(&e, b->session.p, b->session.n);
    }
    if (expected) put_option(&e, EFFECT_EXPECTED, b->expected);
    RedisModule_Replicate(c->ctx, "KVROUTE.CLAIM", "v", e.argv, e.n);
    for (size_t i = 0; i < e.n; i++)
        if (e.own[i]) RedisModule_FreeString(NULL, e.argv[i]);
}
