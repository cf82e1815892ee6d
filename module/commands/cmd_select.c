// SPDX-License-Identifier: Apache-2.0
// Choosing: SELECT, which books what it chooses, and SCORE, which only shows.
#include <stddef.h>
#include <string.h>

#include "commands.h"
#include "module/command_io/block_list.h"
#include "module/command_io/command_call.h"
#include "module/command_io/replicate.h"
#include "module/command_io/shared_reply.h"

struct route_query {
    struct kvr_query query;
    struct mod_block_list list;
    int64_t lease;
};

#define FIELD(name) .at = offsetof(struct route_query, name)
static const struct mod_option route_options[] = {
    {"ISL", MOD_OPTION_I64, FIELD(query.isl), 0, KVR_MAX_TOKENS},
    {"OSL", MOD_OPTION_I64, FIELD(query.osl), 0, KVR_MAX_TOKENS},
    {"AMONG", MOD_OPTION_NAMES, FIELD(query.among),
     .count_at = offsetof(struct route_query, query.n_among)},
    {"EXCLUDE", MOD_OPTION_NAMES, FIELD(query.exclude),
     .count_at = offsetof(struct route_query, query.n_exclude)},
    {"POLICY", MOD_OPTION_POLICY, FIELD(query.rule.policy)},
    {"OVERLAP", MOD_OPTION_DOUBLE, FIELD(query.rule.overlap), 0, KVR_MAX_WEIGHT},
    {"PREFILL", MOD_OPTION_DOUBLE, FIELD(query.rule.prefill), 0, KVR_MAX_WEIGHT},
    {"REQUESTS", MOD_OPTION_DOUBLE, FIELD(query.rule.requests), 0, KVR_MAX_WEIGHT},
    {"TEMPERATURE", MOD_OPTION_DOUBLE, FIELD(query.rule.temperature), 0, KVR_MAX_WEIGHT},
    {"WITH", MOD_OPTION_LABELS, FIELD(query.with),
     .count_at = offsetof(struct route_query, query.n_with)},
    {"WITHOUT", MOD_OPTION_LABELS, FIELD(query.without),
     .count_at = offsetof(struct route_query, query.n_without)},
    {"SESSION", MOD_OPTION_NAME, FIELD(query.session), 1, KVR_MAX_ID},
    {"LEASE", MOD_OPTION_I64, FIELD(lease), 0, KVR_MAX_MS}, // last: SCORE has it not
};
#undef FIELD
enum { ROUTE_OPTIONS = sizeof route_options / sizeof *route_options };

// What SELECT and SCORE have in common: blocks and options.
static bool parse_route(struct mod_call *c, bool select, struct route_query *r) {
    struct mod_args *a = &c->args;
    struct kvr_query *q = &r->query;
    unsigned seen;
    memset(r, 0, sizeof *r);
    r->lease = -1;
    q->isl = -1;
    q->rule = kvr_pool_options(c->pool)->rule;
    if (!mod_blocks_parse(a, false, &r->list) ||
        !mod_args_options(a, route_options, ROUTE_OPTIONS - !select, r, &seen))
        return false;
    q->has_among = q->among != NULL;
    uint64_t *hashes = NULL;
    uint32_t block_size = kvr_pool_options(c->pool)->block_size;
    if (!mod_blocks_hashes(a, &r->list, block_size, NULL, &hashes, &q->n)) return false;
    q->hashes = hashes;
    if (q->isl < 0 && mod_blocks_are_tokens(&r->list)) q->isl = (int64_t)r->list.count;
    return true;
}

// Uniform in [0, 1), with all 53 bits of a double.
static double random_fraction(void) {
    uint64_t bits;
    RedisModule_GetRandomBytes((unsigned char *)&bits, sizeof bits);
    return (double)(bits >> 11) * 0x1p-53;
}

enum choice_field {
    CHOICE_WORKER,
    CHOICE_RANK,
    CHOICE_ADDR,
    CHOICE_OVERLAP,
    CHOICE_CACHED,
    CHOICE_BLOCKS,
    CHOICE_COST,
    CHOICE_REPEAT,
    CHOICE_VERSION,
    CHOICE_EXPECTED,
    CHOICE_TTFT,
    CHOICE_TPOT,
    CHOICE_WAITED,
    CHOICE_FIELDS
};
static struct mod_shared_reply fields[CHOICE_FIELDS] = {
    [CHOICE_WORKER] = {"worker", NULL},   [CHOICE_RANK] = {"rank", NULL},
    [CHOICE_ADDR] = {"addr", NULL},       [CHOICE_OVERLAP] = {"overlap", NULL},
    [CHOICE_CACHED] = {"cached", NULL},   [CHOICE_BLOCKS] = {"blocks", NULL},
    [CHOICE_COST] = {"cost", NULL},       [CHOICE_REPEAT] = {"repeat", NULL},
    [CHOICE_VERSION] = {"version", NULL}, [CHOICE_EXPECTED] = {"expected", NULL},
    [CHOICE_TTFT] = {"ttft", NULL},       [CHOICE_TPOT] = {"tpot", NULL},
    [CHOICE_WAITED] = {"waited", NULL},
};

void cmd_select_start(RedisModuleCtx *ctx) {
    mod_shared_replies_start(ctx, fields, CHOICE_FIELDS);
}

static void choice_bytes(struct mod_call *c, enum choice_field f, struct kvr_bytes b) {
    mod_shared_reply_send(c->ctx, &fields[f]);
    mod_reply_bytes(c->ctx, b);
}

static void choice_number(struct mod_call *c, enum choice_field f, uint64_t v) {
    mod_shared_reply_send(c->ctx, &fields[f]);
    mod_reply_u64(c->ctx, v);
}

static void choice_double(struct mod_call *c, enum choice_field f, double v) {
    mod_shared_reply_send(c->ctx, &fields[f]);
    mod_reply_double(c->ctx, c->resp3, v);
}

static void reply_choice(struct mod_call *c, const struct kvr_pool_choice *choice) {
    const struct kvr_pool_score *s = &choice->score;
    RedisModule_ReplyWithMap(c->ctx, CHOICE_FIELDS);
    choice_bytes(c, CHOICE_WORKER, s->worker);
    choice_number(c, CHOICE_RANK, s->rank);
    choice_bytes(c, CHOICE_ADDR, s->addr);
    choice_number(c, CHOICE_OVERLAP, s->overlap);
    choice_number(c, CHOICE_CACHED, (uint64_t)s->cached);
    choice_number(c, CHOICE_BLOCKS, choice->blocks);
    choice_double(c, CHOICE_COST, s->cost);
    choice_number(c, CHOICE_REPEAT, choice->repeat);
    choice_number(c, CHOICE_VERSION, choice->version);
    choice_number(c, CHOICE_EXPECTED, s->expected);
    choice_double(c, CHOICE_TTFT, s->ttft);
    choice_double(c, CHOICE_TPOT, s->tpot);
    choice_number(c, CHOICE_WAITED, 0); // nobody waits
}

// KVROUTE.SELECT key request blocks [ISL tokens] [OSL tokens] [LEASE ms] [AMONG n worker ...]
//     [EXCLUDE n worker ...] [POLICY p] [OVERLAP x] [PREFILL x] [REQUESTS x] [TEMPERATURE x]
//     [WITH n label ...] [WITHOUT n label ...] [SESSION name]
// Replicated as the KVROUTE.CLAIM of what it chose.
int cmd_select(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_SELECT, ctx, argv, argc, 1, MOD_FOR_WRITE))
        return REDISMODULE_OK;
    if (c.trusted) return mod_call_error(&c, MOD_ERROR_ERR, "a choice is replicated as its effect");
    struct kvr_bytes id;
    struct route_query r;
    if (!mod_args_name(&c.args, KVR_MAX_ID, &id) || !parse_route(&c, true, &r))
        return mod_call_bad_args(&c);
    struct kvr_pool_choice choice;
    struct kvr_booking booked;
    double random = r.query.rule.temperature > 0 ? random_fraction() : 0;
    enum kvr_err err = kvr_select(c.pool, c.now, id, &r.query, r.lease, random, &choice, &booked);
    if (err != KVR_OK) return mod_call_core_error(&c, err);
    reply_choice(&c, &choice);
    if (!choice.repeat) {
        mod_replicate_booking(&c, argv[2], choice.score.worker, choice.score.rank, &booked,
                              &r.list);
        mod_call_changed(&c, "kvroute.select");
    }
    return mod_call_end(&c);
}

static void reply_score(RedisModuleCtx *ctx, bool resp3, const struct kvr_pool_score *s) {
    RedisModule_ReplyWithMap(ctx, 16);
    mod_field_bytes(ctx, "worker", s->worker);
    mod_field_u64(ctx, "rank", s->rank);
    mod_field_bytes(ctx, "addr", s->addr);
    mod_field_u64(ctx, "overlap", s->overlap);
    mod_field_u64(ctx, "device", s->by_tier[KVR_DEVICE]);
    mod_field_u64(ctx, "host", s->by_tier[KVR_HOST]);
    mod_field_u64(ctx, "disk", s->by_tier[KVR_DISK]);
    mod_field_int(ctx, "cached", s->cached);
    mod_field_u64(ctx, "prefill_tokens", s->prefill_tokens);
    mod_field_u64(ctx, "decode_blocks", s->decode_blocks);
    mod_field_u64(ctx, "requests", s->requests);
    mod_reply_text(ctx, "cost");
    mod_reply_double(ctx, resp3, s->cost);
    mod_field_u64(ctx, "expected", s->expected);
    mod_reply_text(ctx, "ttft");
    mod_reply_double(ctx, resp3, s->ttft);
    mod_reply_text(ctx, "tpot");
    mod_reply_double(ctx, resp3, s->tpot);
    mod_field_int(ctx, "room", 1); // there are no limits
}

// KVROUTE.SCORE key blocks [the options of SELECT but LEASE]
int cmd_score(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_SCORE, ctx, argv, argc, 1, MOD_FOR_READ))
        return REDISMODULE_OK;
    struct route_query r;
    if (!parse_route(&c, false, &r)) return mod_call_bad_args(&c);
    const struct kvr_pool_score *scores = NULL;
    size_t n = 0;
    enum kvr_err err = kvr_scores(c.pool, c.now, &r.query, &scores, &n);
    if (err != KVR_OK) return mod_call_core_error(&c, err);
    bool resp3 = mod_reply_resp3(ctx);
    RedisModule_ReplyWithArray(ctx, (long)n);
    for (size_t i = 0; i < n; i++)
        reply_score(ctx, resp3, &scores[i]);
    return mod_call_end(&c);
}
