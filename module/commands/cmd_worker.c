// SPDX-License-Identifier: Apache-2.0
// Workers: WORKER SET, DEL, GET, LIST, REPORT.
#include <stddef.h>

#include "commands.h"
#include "module/command_io/replicate.h"

struct worker_set_args {
    struct kvr_worker_settings set;
    int64_t seen;
};

#define FIELD(name) .at = offsetof(struct worker_set_args, name)
// Those of kvr_worker_set stand in the order of its bits.
static const struct mod_option set_options[] = {
    {"ADDR", MOD_OPTION_ADDRESS, FIELD(set.addr), 0, KVR_MAX_ADDR},
    {"RANKS", MOD_OPTION_U32, FIELD(set.ranks), 1, KVR_MAX_RANKS},
    {"CAPACITY", MOD_OPTION_U64, FIELD(set.capacity), 0, 0x1p53},
    {"STATE", MOD_OPTION_STATE, FIELD(set.state)},
    {"TTL", MOD_OPTION_I64, FIELD(set.ttl), 0, KVR_MAX_MS},
    {"SPEED", MOD_OPTION_DOUBLE, FIELD(set.speed), 0, KVR_MAX_SPEED},
    {"LABELS", MOD_OPTION_LABELS, FIELD(set.labels),
     .count_at = offsetof(struct worker_set_args, set.n_labels)},
    {"MAXREQUESTS", MOD_OPTION_U64, FIELD(set.max_requests), 0, 0x1p53},
    {"ROLE", MOD_OPTION_ROLE, FIELD(set.role)},
    {"DRAIN", MOD_OPTION_I64, FIELD(set.drain), 0, KVR_MAX_MS},
    {"SEEN", MOD_OPTION_TIME, FIELD(seen)},
};
#undef FIELD
enum { SET_OPTIONS = sizeof set_options / sizeof *set_options };
_Static_assert(KVR_SET_ADDR == 1 && KVR_SET_DRAIN == 1 << (SET_OPTIONS - 2), "bits by row");

static bool parse_worker(struct mod_call *c, struct worker_set_args *s) {
    enum { ALL_OF_SET = (KVR_SET_DRAIN << 1) - 1 };
    unsigned seen;
    s->seen = c->trusted ? -1 : c->now;
    if (!mod_args_options(&c->args, set_options, SET_OPTIONS, s, &seen)) return false;
    s->set.set = seen & ALL_OF_SET;
    if (s->set.set & KVR_SET_DRAIN && !(s->set.set & KVR_SET_STATE && s->set.state == KVR_DRAINING))
        return mod_args_fail(&c->args, "DRAIN goes with STATE draining");
    return s->seen >= 0 || mod_args_fail(&c->args, "SEEN is missing");
}

// A heartbeat is one that tells nothing of any size, or what is told again. Address and labels have their limits.
static bool set_grows(struct mod_call *c, struct kvr_bytes name, const struct worker_set_args *s) {
    struct kvr_worker_info w;
    long i = kvr_worker_find(c->pool, name);
    if (i < 0) return true;
    kvr_worker_at(c->pool, c->now, (size_t)i, &w);
    return s->set.set & KVR_SET_RANKS && s->set.ranks > w.ranks;
}

// KVROUTE.WORKER SET key worker [ADDR addr] [RANKS n] [CAPACITY blocks] [STATE ready|draining]
//     [DRAIN ms] [TTL ms] [ROLE both|prefill|decode] [SPEED x] [MAXREQUESTS n] [LABELS n label ...]
// Replicated with SEEN ms, the time it was renewed.
int cmd_worker_set(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_WORKER_SET, ctx, argv, argc, 2, MOD_FOR_WRITE))
        return REDISMODULE_OK;
    struct kvr_bytes name;
    struct worker_set_args s = {.set = {.state = KVR_READY}};
    int created = 0;
    if (!mod_args_name(&c.args, KVR_MAX_NAME, &name) || !parse_worker(&c, &s))
        return mod_call_bad_args(&c);
    if (c.full && set_grows(&c, name, &s)) return mod_call_refuse_growth(&c);
    enum kvr_err err = kvr_worker_set(c.pool, s.seen, name, &s.set, &created);
    if (err != KVR_OK) return mod_call_core_error(&c, err);
    RedisModule_ReplyWithLongLong(ctx, created);
    mod_replicate_with_time(&c, "KVROUTE.WORKER", MOD_EFFECT_SEEN, s.seen);
    mod_call_changed(&c, "kvroute.worker.set");
    return mod_call_end(&c);
}

// KVROUTE.WORKER DEL key worker
int cmd_worker_del(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_WORKER_DEL, ctx, argv, argc, 2, MOD_FOR_WRITE))
        return REDISMODULE_OK;
    struct kvr_bytes name;
    if (!mod_args_bytes(&c.args, &name) || !mod_args_end(&c.args)) return mod_call_bad_args(&c);
    enum kvr_err err = kvr_worker_del(c.pool, name);
    if (err != KVR_OK && err != KVR_NOWORKER) return mod_call_core_error(&c, err);
    RedisModule_ReplyWithLongLong(ctx, err == KVR_OK);
    if (err == KVR_OK) {
        mod_replicate(&c, "KVROUTE.WORKER");
        mod_call_changed(&c, "kvroute.worker.del");
    }
    return mod_call_end(&c);
}

static void reply_rank(struct mod_call *c, size_t worker, uint32_t rank) {
    struct kvr_rank_info r;
    kvr_worker_rank(c->pool, worker, rank, &r);
    RedisModule_ReplyWithMap(c->ctx, 11);
    mod_field_u64(c->ctx, "rank", rank);
    mod_field_u64(c->ctx, "epoch", r.epoch);
    mod_field_u64(c->ctx, "seq", r.seq);
    mod_field_u64(c->ctx, "device_blocks", r.blocks[KVR_DEVICE]);
    mod_field_u64(c->ctx, "host_blocks", r.blocks[KVR_HOST]);
    mod_field_u64(c->ctx, "disk_blocks", r.blocks[KVR_DISK]);
    mod_field_u64(c->ctx, "requests", r.requests);
    mod_field_u64(c->ctx, "prefill_tokens", r.prefill_tokens);
    mod_field_u64(c->ctx, "decode_blocks", r.decode_blocks);
    mod_field_double(c->ctx, "ttft", r.ttft);
    mod_field_double(c->ctx, "tpot", r.tpot);
}

static void reply_worker(struct mod_call *c, size_t i) {
    struct kvr_worker_info w;
    kvr_worker_at(c->pool, c->now, i, &w);
    RedisModule_ReplyWithMap(c->ctx, 13);
    mod_field_bytes(c->ctx, "worker", w.name);
    mod_field_bytes(c->ctx, "addr", w.addr);
    mod_field_text(c->ctx, "state", kvr_state_names[w.state]);
    mod_field_u64(c->ctx, "capacity", w.capacity);
    mod_field_int(c->ctx, "ttl_left", w.ttl_left);
    mod_reply_text(c->ctx, "ranks");
    RedisModule_ReplyWithArray(c->ctx, w.ranks);
    for (uint32_t rank = 0; rank < w.ranks; rank++)
        reply_rank(c, i, rank);
    mod_field_text(c->ctx, "circuit", kvr_circuit_names[w.circuit]);
    mod_field_u64(c->ctx, "failures", w.failures);
    mod_field_text(c->ctx, "role", kvr_role_names[w.role]);
    mod_field_double(c->ctx, "speed", w.speed);
    mod_reply_text(c->ctx, "labels");
    RedisModule_ReplyWithArray(c->ctx, (long)w.n_labels);
    for (size_t k = 0; k < w.n_labels; k++)
        mod_reply_bytes(c->ctx, kvr_worker_label(c->pool, i, k));
    mod_field_u64(c->ctx, "maxrequests", w.max_requests);
    mod_field_int(c->ctx, "drain_left", w.drain_left);
}

// KVROUTE.WORKER GET key worker
int cmd_worker_get(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_WORKER_GET, ctx, argv, argc, 2, MOD_FOR_READ))
        return REDISMODULE_OK;
    struct kvr_bytes name;
    if (!mod_args_bytes(&c.args, &name) || !mod_args_end(&c.args)) return mod_call_bad_args(&c);
    long i = kvr_worker_find(c.pool, name);
    if (i < 0)
        RedisModule_ReplyWithNull(ctx);
    else
        reply_worker(&c, (size_t)i);
    return mod_call_end(&c);
}

// KVROUTE.WORKER LIST key
int cmd_worker_list(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_WORKER_LIST, ctx, argv, argc, 2, MOD_FOR_READ))
        return REDISMODULE_OK;
    if (!mod_args_end(&c.args)) return mod_call_bad_args(&c);
    size_t n = kvr_worker_count(c.pool);
    RedisModule_ReplyWithArray(ctx, (long)n);
    for (size_t i = 0; i < n; i++)
        reply_worker(&c, i);
    return mod_call_end(&c);
}

// KVROUTE.REPORT key worker OK|FAILED
// Replicated with AT ms, the time it was reported.
int cmd_report(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    static const char *const outcomes[] = {"OK", "FAILED"};
    static const struct mod_option options[] = {{"AT", MOD_OPTION_TIME, .at = 0}};
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_REPORT, ctx, argv, argc, 1, MOD_FOR_WRITE))
        return REDISMODULE_OK;
    struct mod_args *a = &c.args;
    struct kvr_bytes name;
    int64_t at = c.trusted ? -1 : c.now;
    int outcome;
    unsigned seen;
    if (!mod_args_bytes(a, &name) || (outcome = mod_args_word(a, outcomes, 2)) < 0 ||
        !mod_args_options(a, options, 1, &at, &seen))
        return mod_call_bad_args(&c);
    if (at < 0) return mod_call_error(&c, MOD_ERROR_ERR, "AT is missing");
    enum kvr_circuit circuit;
    bool changed;
    enum kvr_err err = kvr_report(c.pool, at, name, outcome == 0, &circuit, &changed);
    if (err != KVR_OK) return mod_call_core_error(&c, err);
    RedisModule_ReplyWithSimpleString(ctx, kvr_circuit_names[circuit]);
    if (changed) {
        mod_replicate_with_time(&c, "KVROUTE.REPORT", MOD_EFFECT_AT, at);
        mod_call_changed(&c, "kvroute.report");
    }
    return mod_call_end(&c);
}
