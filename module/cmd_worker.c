// SPDX-License-Identifier: Apache-2.0
// Workers: WORKER SET, DEL, GET, LIST, REPORT.
#include "call.h"
#include "commands.h"

static bool parse_state(struct args *a, enum kvr_state *out) {
    int i = args_word(a, kvr_state_names, KVR_EXPIRED);
    *out = i < 0 ? KVR_READY : (enum kvr_state)i;
    return i >= 0;
}

static bool parse_worker(struct call *c, struct kvr_worker_set *w, int64_t *seen) {
    enum { ADDR, RANKS, CAPACITY, STATE, TTL, SPEED, LABELS, SEEN, WORDS };
    static const char *const words[WORDS] = {"ADDR", "RANKS", "CAPACITY", "STATE",
                                             "TTL",  "SPEED", "LABELS",   "SEEN"};
    static const unsigned bits[WORDS] = {
        KVR_SET_ADDR, KVR_SET_RANKS, KVR_SET_CAPACITY, KVR_SET_STATE,
        KVR_SET_TTL,  KVR_SET_SPEED, KVR_SET_LABELS,   0};
    struct args *a = &c->args;
    unsigned given = 0;
    uint64_t ranks;
    for (int i; (i = args_option(a, words, WORDS, &given)) >= 0;) {
        bool ok = false;
        switch (i) {
        case ADDR:
            ok = args_bytes(a, &w->addr) &&
                 (w->addr.n <= KVR_MAX_ADDR || args_fail(a, "address is too long"));
            break;
        case RANKS:
            ok = args_u64(a, 1, KVR_MAX_RANKS, &ranks);
            if (ok) w->ranks = (uint32_t)ranks;
            break;
        case CAPACITY:
            ok = args_u64(a, 0, UINT64_C(1) << 53, &w->capacity);
            break;
        case STATE:
            ok = parse_state(a, &w->state);
            break;
        case TTL:
            ok = args_i64(a, 0, KVR_MAX_MS, &w->ttl);
            break;
        case SPEED:
            ok = args_double(a, 0, KVR_MAX_SPEED, &w->speed);
            break;
        case LABELS:
            ok = args_labels(a, &w->labels, &w->n_labels);
            break;
        case SEEN:
            ok = call_effect_time(c, seen);
            break;
        }
        if (!ok) return false;
        w->set |= bits[i];
    }
    if (c->trusted && !(given & 1u << SEEN)) args_fail(a, "SEEN is missing");
    return !a->error;
}

// KVROUTE.WORKER SET key worker [ADDR addr] [RANKS n] [CAPACITY blocks] [STATE ready|draining]
//     [TTL ms] [SPEED x] [LABELS n label ...]
// Replicated with SEEN ms, the time it was renewed.
int cmd_worker_set(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct call c;
    if (!call_pool(&c, CMD_WORKER_SET, ctx, argv, argc, 2, FOR_WRITE)) return REDISMODULE_OK;
    struct kvr_bytes name;
    struct kvr_worker_set w = {.state = KVR_READY};
    int64_t seen = c.now;
    int created = 0;
    if (!args_name(&c.args, KVR_MAX_NAME, &name) || !parse_worker(&c, &w, &seen))
        return call_bad_args(&c);
    enum kvr_err err = kvr_worker_set(c.pool, seen, name, &w, &created);
    if (err != KVR_OK) return call_core_error(&c, err);
    RedisModule_ReplyWithLongLong(ctx, created);
    call_replicate(&c, "KVROUTE.WORKER", c.trusted ? NULL : "SEEN", seen);
    call_changed(&c, "kvroute.worker.set");
    return call_end(&c);
}

// KVROUTE.WORKER DEL key worker
int cmd_worker_del(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct call c;
    if (!call_pool(&c, CMD_WORKER_DEL, ctx, argv, argc, 2, FOR_WRITE)) return REDISMODULE_OK;
    struct kvr_bytes name;
    if (!args_bytes(&c.args, &name) || !args_end(&c.args)) return call_bad_args(&c);
    enum kvr_err err = kvr_worker_del(c.pool, name);
    if (err != KVR_OK && err != KVR_NOWORKER) return call_core_error(&c, err);
    RedisModule_ReplyWithLongLong(ctx, err == KVR_OK);
    if (err == KVR_OK) {
        call_replicate(&c, "KVROUTE.WORKER", NULL, 0);
        call_changed(&c, "kvroute.worker.del");
    }
    return call_end(&c);
}

static void reply_rank(struct call *c, size_t worker, uint32_t rank) {
    struct kvr_rank_info r;
    kvr_worker_rank(c->pool, worker, rank, &r);
    RedisModule_ReplyWithMap(c->ctx, 11);
    field_u64(c->ctx, "rank", rank);
    field_u64(c->ctx, "epoch", r.epoch);
    field_u64(c->ctx, "seq", r.seq);
    field_u64(c->ctx, "device_blocks", r.blocks[KVR_DEVICE]);
    field_u64(c->ctx, "host_blocks", r.blocks[KVR_HOST]);
    field_u64(c->ctx, "disk_blocks", r.blocks[KVR_DISK]);
    field_u64(c->ctx, "requests", r.requests);
    field_u64(c->ctx, "prefill_tokens", r.prefill_tokens);
    field_u64(c->ctx, "decode_blocks", r.decode_blocks);
    field_double(c->ctx, "ttft", r.ttft);
    field_double(c->ctx, "tpot", r.tpot);
}

static void reply_worker(struct call *c, size_t i) {
    struct kvr_worker_info w;
    kvr_worker_at(c->pool, c->now, i, &w);
    RedisModule_ReplyWithMap(c->ctx, 10);
    field_bytes(c->ctx, "worker", w.name);
    field_bytes(c->ctx, "addr", w.addr);
    field_text(c->ctx, "state", kvr_state_names[w.state]);
    field_u64(c->ctx, "capacity", w.capacity);
    field_int(c->ctx, "ttl_left", w.ttl_left);
    reply_text(c->ctx, "ranks");
    RedisModule_ReplyWithArray(c->ctx, w.ranks);
    for (uint32_t rank = 0; rank < w.ranks; rank++)
        reply_rank(c, i, rank);
    field_text(c->ctx, "circuit", kvr_circuit_names[w.circuit]);
    field_u64(c->ctx, "failures", w.failures);
    field_double(c->ctx, "speed", w.speed);
    reply_text(c->ctx, "labels");
    RedisModule_ReplyWithArray(c->ctx, (long)w.n_labels);
    for (size_t k = 0; k < w.n_labels; k++)
        reply_bytes(c->ctx, kvr_worker_label(c->pool, i, k));
}

// KVROUTE.WORKER GET key worker
int cmd_worker_get(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct call c;
    if (!call_pool(&c, CMD_WORKER_GET, ctx, argv, argc, 2, FOR_READ)) return REDISMODULE_OK;
    struct kvr_bytes name;
    if (!args_bytes(&c.args, &name) || !args_end(&c.args)) return call_bad_args(&c);
    long i = kvr_worker_find(c.pool, name);
    if (i < 0)
        RedisModule_ReplyWithNull(ctx);
    else
        reply_worker(&c, (size_t)i);
    return call_end(&c);
}

// KVROUTE.WORKER LIST key
int cmd_worker_list(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct call c;
    if (!call_pool(&c, CMD_WORKER_LIST, ctx, argv, argc, 2, FOR_READ)) return REDISMODULE_OK;
    if (!args_end(&c.args)) return call_bad_args(&c);
    size_t n = kvr_worker_count(c.pool);
    RedisModule_ReplyWithArray(ctx, (long)n);
    for (size_t i = 0; i < n; i++)
        reply_worker(&c, i);
    return call_end(&c);
}

// KVROUTE.REPORT key worker OK|FAILED
// Replicated with AT ms, the time it was reported.
int cmd_report(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    static const char *const outcomes[] = {"OK", "FAILED"}, *const words[] = {"AT"};
    struct call c;
    if (!call_pool(&c, CMD_REPORT, ctx, argv, argc, 1, FOR_WRITE)) return REDISMODULE_OK;
    struct args *a = &c.args;
    struct kvr_bytes name;
    int64_t at = c.now;
    unsigned seen = 0;
    if (!args_bytes(a, &name)) return call_bad_args(&c);
    int outcome = args_word(a, outcomes, 2);
    while (args_option(a, words, 1, &seen) >= 0)
        call_effect_time(&c, &at);
    if (c.trusted && !seen) args_fail(a, "AT is missing");
    if (a->error) return call_bad_args(&c);
    enum kvr_circuit circuit;
    bool changed;
    enum kvr_err err = kvr_report(c.pool, at, name, outcome == 0, &circuit, &changed);
    if (err != KVR_OK) return call_core_error(&c, err);
    RedisModule_ReplyWithSimpleString(ctx, kvr_circuit_names[circuit]);
    if (changed) {
        call_replicate(&c, "KVROUTE.REPORT", c.trusted ? NULL : "AT", at);
        call_changed(&c, "kvroute.report");
    }
    return call_end(&c);
}
