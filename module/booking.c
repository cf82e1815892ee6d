// SPDX-License-Identifier: Apache-2.0
// A booking as a command: KVROUTE.CLAIM with absolute times, the effect of SELECT and of CLAIM.
//
// One is made for each SELECT, so it is cheap: the words are strings that all effects share, a
// HASHES blob is passed on as it came, and options that have their default are left out. The default may
// be the pool's: whoever applies the effect has the same options, as they are part of the stream.
#include "booking.h"

#include "shared_string.h"

enum word {
    HASHES,
    ISL,
    CACHED,
    OUTPUT,
    PREFILLED,
    LEASE,
    OSL,
    CREATED,
    RENEWED,
    PREDICTED,
    OVERLAP,
    COST,
    SESSION,
    EXPECTED,
    WORDS
};
static RedisModuleString *words[WORDS];

void booking_start(void) {
    static const char *const texts[WORDS] = {"HASHES",  "ISL",  "CACHED",  "OUTPUT",  "PREFILLED",
                                             "LEASE",   "OSL",  "CREATED", "RENEWED", "PREDICTED",
                                             "OVERLAP", "COST", "SESSION", "EXPECTED"};
    for (int i = 0; i < WORDS; i++)
        words[i] = RedisModule_CreateStringPrintf(NULL, "%s", texts[i]);
}

enum { MOST = 6 + 2 * WORDS };
struct effect {
    RedisModuleString *argv[MOST];
    bool own[MOST]; // to be freed here
    size_t n;
};

static void put(struct effect *e, RedisModuleString *s, bool own) {
    e->own[e->n] = own;
    e->argv[e->n++] = s;
}

static void put_number(struct effect *e, int64_t v) {
    put(e, RedisModule_CreateStringFromLongLong(NULL, v), true);
}

static void put_option(struct effect *e, enum word word, int64_t v) {
    put(e, words[word], false);
    put_number(e, v);
}

void booking_replicate(struct call *c, RedisModuleString *id, struct kvr_bytes worker,
                       uint32_t rank, const struct kvr_booking *b, const struct block_list *list) {
    struct effect e = {.n = 0};
    put(&e, c->name, false);
    put(&e, id, false);
    put(&e, RedisModule_CreateString(NULL, worker.p, worker.n), true);
    RedisModuleString *shared = shared_rank(rank);
    if (shared)
        put(&e, shared, false);
    else
        put_number(&e, rank);
    put(&e, words[HASHES], false);
    if (list->form == BLOCKS_HASHES)
        put(&e, list->blob, false);
    else
        put(&e, RedisModule_CreateString(NULL, (const char *)b->hashes, b->n * sizeof *b->hashes),
            true);
    const struct kvr_options *o = kvr_pool_options(c->pool);
    if (b->isl != (int64_t)b->n * o->block_size) put_option(&e, ISL, b->isl);
    if (b->lease != o->lease) put_option(&e, LEASE, b->lease);
    put(&e, words[CREATED], false);
    put(&e, shared_time(b->created), false);
    if (b->renewed != b->created) put_option(&e, RENEWED, b->renewed);
    if (b->cached) put_option(&e, CACHED, b->cached);
    if (b->output) put_option(&e, OUTPUT, b->output);
    if (b->osl) put_option(&e, OSL, b->osl);
    if (b->predict_until) put_option(&e, PREDICTED, b->predict_until);
    // Without EXPECTED, both follow from what is cached, and an overlap of 0 can't be said.
    int64_t blocks = b->cached / o->block_size;
    bool expected = b->expected && (b->expected != blocks || !b->overlap);
    if (b->overlap && (expected || b->overlap != blocks)) put_option(&e, OVERLAP, b->overlap);
    if (b->cost != 0) {
        char text[DOUBLE_ROOM];
        size_t n = format_double(b->cost, text);
        put(&e, words[COST], false);
        put(&e, RedisModule_CreateString(NULL, text, n), true);
    }
    if (b->prefilled) put(&e, words[PREFILLED], false);
    if (b->session.n) {
        put(&e, words[SESSION], false);
        put(&e, RedisModule_CreateString(NULL, b->session.p, b->session.n), true);
    }
    if (expected) put_option(&e, EXPECTED, b->expected);
    RedisModule_Replicate(c->ctx, "KVROUTE.CLAIM", "v", e.argv, e.n);
    for (size_t i = 0; i < e.n; i++)
        if (e.own[i]) RedisModule_FreeString(NULL, e.argv[i]);
}
