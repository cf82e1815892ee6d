// SPDX-License-Identifier: Apache-2.0
// Choosing: SELECT, which books what it chooses, and SCORE, which only shows.
#include <string.h>

#include "blocks.h"
#include "booking.h"
#include "call.h"
#include "commands.h"
#include "options.h"
#include "shared_reply.h"

struct route {
    struct kvr_query query;
    struct block_list list;
    int64_t lease;
};

// What SELECT and SCORE have in common: blocks and options.
static bool parse_route(struct call *c, bool select, struct route *r) {
    enum {
        ISL,
        OSL,
        AMONG,
        EXCLUDE,
        POLICY,
        OVERLAP,
        PREFILL,
        REQUESTS,
        TEMPERATURE,
        WITH,
        WITHOUT,
        SESSION,
        LEASE,
        WORDS
    };
    static const char *const words[WORDS] = {
        "ISL",      "OSL",         "AMONG", "EXCLUDE", "POLICY",  "OVERLAP", "PREFILL",
        "REQUESTS", "TEMPERATURE", "WITH",  "WITHOUT", "SESSION", "LEASE"};
    struct args *a = &c->args;
    struct kvr_query *q = &r->query;
    unsigned seen = 0;
    memset(r, 0, sizeof *r);
    r->lease = -1;
    q->isl = -1;
    q->rule = kvr_pool_options(c->pool)->rule;
    if (!blocks_parse(a, false, &r->list)) return false;
    // SCORE has no LEASE, the last of the words.
    for (int i; (i = args_option(a, words, select ? WORDS : LEASE, &seen)) >= 0;) {
        bool ok = false;
        switch (i) {
        case ISL:
            ok = args_i64(a, 0, KVR_MAX_TOKENS, &q->isl);
            break;
        case OSL:
            ok = args_i64(a, 0, KVR_MAX_TOKENS, &q->osl);
            break;
        case AMONG:
            q->has_among = true;
            ok = args_names(a, &q->among, &q->n_among);
            break;
        case EXCLUDE:
            ok = args_names(a, &q->exclude, &q->n_exclude);
            break;
        case POLICY:
            ok = options_policy(a, &q->rule.policy);
            break;
        case OVERLAP:
            ok = args_double(a, 0, KVR_MAX_WEIGHT, &q->rule.overlap);
            break;
        case PREFILL:
            ok = args_double(a, 0, KVR_MAX_WEIGHT, &q->rule.prefill);
            break;
        case REQUESTS:
            ok = args_double(a, 0, KVR_MAX_WEIGHT, &q->rule.requests);
            break;
        case TEMPERATURE:
            ok = args_double(a, 0, KVR_MAX_WEIGHT, &q->rule.temperature);
            break;
        case WITH:
            ok = args_labels(a, &q->with, &q->n_with);
            break;
        case WITHOUT:
            ok = args_labels(a, &q->without, &q->n_without);
            break;
        case SESSION:
            ok = args_name(a, KVR_MAX_ID, &q->session);
            break;
        case LEASE:
            ok = args_i64(a, 0, KVR_MAX_MS, &r->lease);
            break;
        }
        if (!ok) return false;
    }
    uint64_t *hashes = NULL;
    uint32_t block_size = kvr_pool_options(c->pool)->block_size;
    if (a->error || !blocks_hashes(a, &r->list, block_size, NULL, &hashes, &q->n)) return false;
    q->hashes = hashes;
    if (q->isl < 0 && blocks_are_tokens(&r->list)) q->isl = (int64_t)r->list.count;
    return true;
}

// Uniform in [0, 1), with all 53 bits of a double.
static double random_fraction(void) {
    uint64_t bits;
    RedisModule_GetRandomBytes((unsigned char *)&bits, sizeof bits);
    return (double)(bits >> 11) * 0x1p-53;
}

enum field {
    WORKER,
    RANK,
    ADDR,
    OVERLAPPING,
    CACHED,
    BLOCKS,
    COST,
    REPEAT,
    VERSION,
    EXPECTED,
    TTFT,
    TPOT,
    WAITED,
    FIELDS
};
static struct shared_reply fields[FIELDS] = {
    [WORKER] = {"worker", NULL},       [RANK] = {"rank", NULL},     [ADDR] = {"addr", NULL},
    [OVERLAPPING] = {"overlap", NULL}, [CACHED] = {"cached", NULL}, [BLOCKS] = {"blocks", NULL},
    [COST] = {"cost", NULL},           [REPEAT] = {"repeat", NULL}, [VERSION] = {"version", NULL},
    [EXPECTED] = {"expected", NULL},   [TTFT] = {"ttft", NULL},     [TPOT] = {"tpot", NULL},
    [WAITED] = {"waited", NULL},
};

void route_start(RedisModuleCtx *ctx) {
    shared_replies_start(ctx, fields, FIELDS);
}

static void choice_bytes(struct call *c, enum field f, struct kvr_bytes b) {
    shared_reply_send(c->ctx, &fields[f]);
    reply_bytes(c->ctx, b);
}

static void choice_number(struct call *c, enum field f, uint64_t v) {
    shared_reply_send(c->ctx, &fields[f]);
    reply_u64(c->ctx, v);
}

static void choice_double(struct call *c, enum field f, double v) {
    shared_reply_send(c->ctx, &fields[f]);
    reply_double(c->ctx, c->resp3, v);
}

static void reply_choice(struct call *c, const struct kvr_pool_choice *choice) {
    const struct kvr_pool_score *s = &choice->score;
    RedisModule_ReplyWithMap(c->ctx, FIELDS);
    choice_bytes(c, WORKER, s->worker);
    choice_number(c, RANK, s->rank);
    choice_bytes(c, ADDR, s->addr);
    choice_number(c, OVERLAPPING, s->overlap);
    choice_number(c, CACHED, (uint64_t)s->cached);
    choice_number(c, BLOCKS, choice->blocks);
    choice_double(c, COST, s->cost);
    choice_number(c, REPEAT, choice->repeat);
    choice_number(c, VERSION, choice->version);
    choice_number(c, EXPECTED, s->expected);
    choice_double(c, TTFT, s->ttft);
    choice_double(c, TPOT, s->tpot);
    choice_number(c, WAITED, 0); // nobody waits
}

// KVROUTE.SELECT key request blocks [ISL tokens] [OSL tokens] [LEASE ms] [AMONG n worker ...]
//     [EXCLUDE n worker ...] [POLICY p] [OVERLAP x] [PREFILL x] [REQUESTS x] [TEMPERATURE x]
//     [WITH n label ...] [WITHOUT n label ...] [SESSION name]
// Replicated as the KVROUTE.CLAIM of what it chose.
int cmd_select(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct call c;
    if (!call_pool(&c, CMD_SELECT, ctx, argv, argc, 1, FOR_WRITE)) return REDISMODULE_OK;
    if (c.trusted) return call_error(&c, ERROR_ERR, "a choice is replicated as its effect");
    struct kvr_bytes id;
    struct route r;
    if (!args_name(&c.args, KVR_MAX_ID, &id) || !parse_route(&c, true, &r))
        return call_bad_args(&c);
    struct kvr_pool_choice choice;
    struct kvr_booking booked;
    double random = r.query.rule.temperature > 0 ? random_fraction() : 0;
    enum kvr_err err = kvr_select(c.pool, c.now, id, &r.query, r.lease, random, &choice, &booked);
    if (err != KVR_OK) return call_core_error(&c, err);
    reply_choice(&c, &choice);
    if (!choice.repeat) {
        booking_replicate(&c, argv[2], choice.score.worker, choice.score.rank, &booked, &r.list);
        call_changed(&c, "kvroute.select");
    }
    return call_end(&c);
}

static void reply_score(RedisModuleCtx *ctx, bool resp3, const struct kvr_pool_score *s) {
    RedisModule_ReplyWithMap(ctx, 16);
    field_bytes(ctx, "worker", s->worker);
    field_u64(ctx, "rank", s->rank);
    field_bytes(ctx, "addr", s->addr);
    field_u64(ctx, "overlap", s->overlap);
    field_u64(ctx, "device", s->by_tier[KVR_DEVICE]);
    field_u64(ctx, "host", s->by_tier[KVR_HOST]);
    field_u64(ctx, "disk", s->by_tier[KVR_DISK]);
    field_int(ctx, "cached", s->cached);
    field_u64(ctx, "prefill_tokens", s->prefill_tokens);
    field_u64(ctx, "decode_blocks", s->decode_blocks);
    field_u64(ctx, "requests", s->requests);
    reply_text(ctx, "cost");
    reply_double(ctx, resp3, s->cost);
    field_u64(ctx, "expected", s->expected);
    reply_text(ctx, "ttft");
    reply_double(ctx, resp3, s->ttft);
    reply_text(ctx, "tpot");
    reply_double(ctx, resp3, s->tpot);
    field_int(ctx, "room", 1); // there are no limits
}

// KVROUTE.SCORE key blocks [the options of SELECT but LEASE]
int cmd_score(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct call c;
    if (!call_pool(&c, CMD_SCORE, ctx, argv, argc, 1, FOR_READ)) return REDISMODULE_OK;
    struct route r;
    if (!parse_route(&c, false, &r)) return call_bad_args(&c);
    const struct kvr_pool_score *scores = NULL;
    size_t n = 0;
    enum kvr_err err = kvr_scores(c.pool, c.now, &r.query, &scores, &n);
    if (err != KVR_OK) return call_core_error(&c, err);
    bool resp3 = reply_resp3(ctx);
    RedisModule_ReplyWithArray(ctx, (long)n);
    for (size_t i = 0; i < n; i++)
        reply_score(ctx, resp3, &scores[i]);
    return call_end(&c);
}
