// SPDX-License-Identifier: Apache-2.0
// Choosing: SELECT, which books what it chooses, and SCORE, which only shows.
#include "commands.h"
#include "module/command_io/replicate.h"
#include "module/command_io/shared_reply.h"
#include "module/core/decisions/decision_log.h"
#include "module/keyspace/admission.h"
#include "module/keyspace/blocked_callers.h"
#include "route_args.h"

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
    CHOICE_PREFILL_WORKER, // from here on of a pair alone
    CHOICE_PREFILL_RANK,
    CHOICE_PREFILL_ADDR,
    CHOICE_PREFILL_OVERLAP,
    CHOICE_FIELDS,
    SCORE_DEVICE = CHOICE_FIELDS, // from here on of SCORE alone
    SCORE_HOST,
    SCORE_DISK,
    SCORE_PREFILL_TOKENS,
    SCORE_DECODE_BLOCKS,
    SCORE_REQUESTS,
    SCORE_ROOM,
    CHOICE_NAMES
};
static struct mod_shared_reply fields[CHOICE_NAMES] = {
    [CHOICE_WORKER] = {"worker", NULL},
    [CHOICE_RANK] = {"rank", NULL},
    [CHOICE_ADDR] = {"addr", NULL},
    [CHOICE_OVERLAP] = {"overlap", NULL},
    [CHOICE_CACHED] = {"cached", NULL},
    [CHOICE_BLOCKS] = {"blocks", NULL},
    [CHOICE_COST] = {"cost", NULL},
    [CHOICE_REPEAT] = {"repeat", NULL},
    [CHOICE_VERSION] = {"version", NULL},
    [CHOICE_EXPECTED] = {"expected", NULL},
    [CHOICE_TTFT] = {"ttft", NULL},
    [CHOICE_TPOT] = {"tpot", NULL},
    [CHOICE_WAITED] = {"waited", NULL},
    [CHOICE_PREFILL_WORKER] = {"prefill_worker", NULL},
    [CHOICE_PREFILL_RANK] = {"prefill_rank", NULL},
    [CHOICE_PREFILL_ADDR] = {"prefill_addr", NULL},
    [CHOICE_PREFILL_OVERLAP] = {"prefill_overlap", NULL},
    [SCORE_DEVICE] = {"device", NULL},
    [SCORE_HOST] = {"host", NULL},
    [SCORE_DISK] = {"disk", NULL},
    [SCORE_PREFILL_TOKENS] = {"prefill_tokens", NULL},
    [SCORE_DECODE_BLOCKS] = {"decode_blocks", NULL},
    [SCORE_REQUESTS] = {"requests", NULL},
    [SCORE_ROOM] = {"room", NULL},
};

static void choice_bytes(RedisModuleCtx *ctx, enum choice_field f, struct kvr_bytes b) {
    mod_shared_reply_send(ctx, &fields[f]);
    mod_reply_bytes(ctx, b);
}

static void choice_number(RedisModuleCtx *ctx, enum choice_field f, uint64_t v) {
    mod_shared_reply_send(ctx, &fields[f]);
    mod_reply_u64(ctx, v);
}

static void choice_double(RedisModuleCtx *ctx, bool resp3, enum choice_field f, double v) {
    mod_shared_reply_send(ctx, &fields[f]);
    mod_reply_double(ctx, resp3, v);
}

static void reply_choice(RedisModuleCtx *ctx, bool resp3, const struct kvr_pool_choice *choice) {
    const struct kvr_pool_score *s = &choice->score;
    RedisModule_ReplyWithMap(ctx, choice->pair ? CHOICE_FIELDS : CHOICE_PREFILL_WORKER);
    choice_bytes(ctx, CHOICE_WORKER, s->worker);
    choice_number(ctx, CHOICE_RANK, s->rank);
    choice_bytes(ctx, CHOICE_ADDR, s->addr);
    choice_number(ctx, CHOICE_OVERLAP, s->overlap);
    choice_number(ctx, CHOICE_CACHED, (uint64_t)s->cached);
    choice_number(ctx, CHOICE_BLOCKS, choice->blocks);
    choice_double(ctx, resp3, CHOICE_COST, s->cost);
    choice_number(ctx, CHOICE_REPEAT, choice->repeat);
    choice_number(ctx, CHOICE_VERSION, choice->version);
    choice_number(ctx, CHOICE_EXPECTED, s->expected);
    choice_double(ctx, resp3, CHOICE_TTFT, s->ttft);
    choice_double(ctx, resp3, CHOICE_TPOT, s->tpot);
    choice_number(ctx, CHOICE_WAITED, (uint64_t)choice->waited);
    if (!choice->pair) return;
    choice_bytes(ctx, CHOICE_PREFILL_WORKER, choice->prefill_worker);
    mod_shared_reply_send(ctx, &fields[CHOICE_PREFILL_RANK]);
    RedisModule_ReplyWithLongLong(ctx,
                                  choice->prefill_worker.n ? (long long)choice->prefill_rank : -1);
    choice_bytes(ctx, CHOICE_PREFILL_ADDR, choice->prefill_addr);
    choice_number(ctx, CHOICE_PREFILL_OVERLAP, choice->prefill_overlap);
}

static void reply_no_room(RedisModuleCtx *ctx, int64_t ms) {
    mod_reply_retry(ctx, MOD_ERROR_NOROOM, ms);
}

static void reply_no_pool(RedisModuleCtx *ctx) {
    mod_reply_error(ctx, MOD_ERROR_NOPOOL, NULL);
}

static void reply_waiting(RedisModuleCtx *ctx, const struct kvr_pool_choice *choice) {
    RedisModule_ReplyWithMap(ctx, 4);
    mod_field_int(ctx, "waiting", 1);
    mod_field_u64(ctx, "position", choice->position);
    mod_field_int(ctx, "estimate", choice->estimate);
    mod_field_u64(ctx, "version", choice->version);
}

void cmd_select_start(RedisModuleCtx *ctx) {
    static const struct mod_caller_replies replies = {reply_choice, reply_no_room, reply_no_pool};
    mod_shared_replies_start(ctx, fields, CHOICE_NAMES);
    mod_callers_start(&replies);
}

// Before the server runs the command for a user who may not publish everywhere, it asks which channel is named:
// what the same words will mean to the command, wherever they stand.
static int tell_channel(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    enum { FIRST_OPTION = 3 };
    static struct mod_arena arena;
    struct mod_args a = {.argv = argv, .argc = argc, .at = FIRST_OPTION, .arena = &arena};
    struct cmd_route r = {.lease = -1};
    if (argc > FIRST_OPTION && cmd_route_words(&a, CMD_ROUTE_SELECT, &r) && r.query.notify.n)
        for (int i = FIRST_OPTION; i < argc; i++)
            if (mod_bytes_of(argv[i]).p == r.query.notify.p)
                RedisModule_ChannelAtPosWithFlags(ctx, i, REDISMODULE_CMD_CHANNEL_PUBLISH);
    mod_arena_reset(&arena);
    return REDISMODULE_OK;
}

static int refuse_choice(struct mod_call *c, enum kvr_err err, int64_t retry) {
    if (err != KVR_NOROOM && err != KVR_LIMITED) return mod_call_core_error(c, err);
    mod_reply_retry(c->ctx, err == KVR_NOROOM ? MOD_ERROR_NOROOM : MOD_ERROR_LIMITED, retry);
    return mod_call_end(c);
}

// What a choice has changed, as the effect that says so.
static void replicate_choice(struct mod_call *c, RedisModuleString *id, const struct cmd_route *r,
                             const struct kvr_pool_choice *choice,
                             const struct kvr_booking *booked) {
    if (choice->waiting && choice->changed)
        mod_replicate_with_time(c, "KVROUTE.ENQUEUE", MOD_EFFECT_AT, c->now);
    else if (choice->came)
        mod_replicate_coming(c, id, c->now);
    else if (!choice->waiting && !choice->repeat)
        mod_replicate_booking(c, id, choice->score.worker, choice->score.rank, booked, &r->list);
    else
        return;
    mod_call_changed(c, choice->waiting ? "kvroute.enqueue" : "kvroute.select");
}

// KVROUTE.SELECT key request blocks [ISL tokens] [OSL tokens] [LEASE ms] [AMONG n worker ...]
//     [EXCLUDE n worker ...] [POLICY p] [OVERLAP x] [PREFILL x] [REQUESTS x] [TEMPERATURE x]
//     [WITH n label ...] [WITHOUT n label ...] [SESSION name] [WAIT ms] [CLASS name] [FLOW name]
//     [NOTIFY channel] [BLOCK] [PAIR]
// Replicated as the KVROUTE.CLAIM of what it chose; if it waits, as KVROUTE.ENQUEUE; if its owner comes for the
// booking, as KVROUTE.UPDATE.
int cmd_select(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (RedisModule_IsChannelsPositionRequest(ctx)) return tell_channel(ctx, argv, argc);
    if (!mod_call_pool(&c, MOD_COMMAND_SELECT, ctx, argv, argc, 1, MOD_FOR_WRITE))
        return REDISMODULE_OK;
    if (c.trusted) return mod_call_error(&c, MOD_ERROR_ERR, "a choice is replicated as its effect");
    struct cmd_route r;
    if (!mod_args_name(&c.args, KVR_MAX_ID, &c.asking) ||
        !cmd_route_parse(&c, CMD_ROUTE_SELECT, &r))
        return mod_call_bad_args(&c);
    struct kvr_request_info live;
    if (c.full && !kvr_request_get(c.pool, c.now, c.asking, &live) && !kvr_waits(c.pool, c.asking))
        return mod_call_refuse_growth(&c);
    if (mod_call_admits(&c)) mod_call_admit(&c); // those who wait go first
    struct kvr_pool_choice choice;
    struct kvr_booking booked;
    double random = r.query.rule.temperature > 0 ? mod_random_fraction() : 0;
    struct kvr_decision_log *log = c.value->decisions;
    struct kvr_decision_record *record =
        log ? kvr_decision_log_begin(log, c.pool, c.now, c.asking, &r.query) : NULL;
    enum kvr_err err =
        kvr_select(c.pool, c.now, c.asking, &r.query, r.lease, random, &choice, &booked);
    if (record) kvr_decision_log_end(log, record, err, &choice);
    if (err != KVR_OK) return refuse_choice(&c, err, choice.retry);
    if (!choice.waiting) reply_choice(ctx, c.resp3, &choice);
    replicate_choice(&c, argv[2], &r, &choice, &booked);
    if (!choice.waiting) return mod_call_end(&c);
    // It may have been admitted at once, behind those who had to be looked at first.
    if (!kvr_waits(c.pool, c.asking)) {
        err = kvr_select(c.pool, c.now, c.asking, &r.query, r.lease, random, &choice, &booked);
        if (err != KVR_OK) return refuse_choice(&c, err, choice.retry);
        reply_choice(ctx, c.resp3, &choice);
    } else if (r.block && mod_call_may_block(&c)) {
        mod_callers_block(ctx, c.value, c.asking, c.resp3, r.query.pair);
    } else {
        reply_waiting(ctx, &choice);
    }
    return mod_call_end(&c);
}

static void reply_score(RedisModuleCtx *ctx, bool resp3, const struct kvr_pool_score *s) {
    RedisModule_ReplyWithMap(ctx, 16);
    choice_bytes(ctx, CHOICE_WORKER, s->worker);
    choice_number(ctx, CHOICE_RANK, s->rank);
    choice_bytes(ctx, CHOICE_ADDR, s->addr);
    choice_number(ctx, CHOICE_OVERLAP, s->overlap);
    choice_number(ctx, SCORE_DEVICE, s->by_tier[KVR_DEVICE]);
    choice_number(ctx, SCORE_HOST, s->by_tier[KVR_HOST]);
    choice_number(ctx, SCORE_DISK, s->by_tier[KVR_DISK]);
    choice_number(ctx, CHOICE_CACHED, (uint64_t)s->cached);
    choice_number(ctx, SCORE_PREFILL_TOKENS, s->prefill_tokens);
    choice_number(ctx, SCORE_DECODE_BLOCKS, s->decode_blocks);
    choice_number(ctx, SCORE_REQUESTS, s->requests);
    choice_double(ctx, resp3, CHOICE_COST, s->cost);
    choice_number(ctx, CHOICE_EXPECTED, s->expected);
    choice_double(ctx, resp3, CHOICE_TTFT, s->ttft);
    choice_double(ctx, resp3, CHOICE_TPOT, s->tpot);
    choice_number(ctx, SCORE_ROOM, s->room);
}

// KVROUTE.SCORE key blocks [the options of SELECT but LEASE, WAIT, CLASS, FLOW, NOTIFY, BLOCK, PAIR]
int cmd_score(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_SCORE, ctx, argv, argc, 1, MOD_FOR_READ))
        return REDISMODULE_OK;
    struct cmd_route r;
    if (!cmd_route_parse(&c, CMD_ROUTE_SCORE, &r)) return mod_call_bad_args(&c);
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
