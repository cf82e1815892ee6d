// SPDX-License-Identifier: Apache-2.0
// The log of decisions: DECISIONS ON, OFF, CLEAR, GET, INFO. It belongs to this server's copy of the pool: none of
// these is replicated, and none changes the pool.
#include <stddef.h>

#include "commands.h"
#include "module/command_io/command_call.h"
#include "module/core/decisions/decision_log.h"
#include "module/keyspace/redis_alloc.h"

static const char NOT_ON[] = "decisions aren't logged: KVROUTE.DECISIONS ON begins it";

// The call's log; NULL: there is none, and that was said.
static struct kvr_decision_log *open_log(struct mod_call *c, enum mod_command command,
                                         RedisModuleCtx *ctx, RedisModuleString **argv, int argc,
                                         enum mod_call_mode mode) {
    if (!mod_call_pool(c, command, ctx, argv, argc, 2, mode)) return NULL;
    if (!c->value->decisions) mod_call_error(c, MOD_ERROR_ERR, NOT_ON);
    return c->value->decisions;
}

// KVROUTE.DECISIONS ON key n [BYTES b] [BLOCKS]
// Begins a log, or one with other bounds: what the last one had is dropped, and serials go on.
int cmd_decisions_on(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    enum { LOG_BYTES = 64 << 20, LOG_MIN_BYTES = 4096 };
    static const struct mod_option options[] = {
        {"BYTES", MOD_OPTION_U64, .at = offsetof(struct kvr_decision_limits, bytes), LOG_MIN_BYTES,
         (double)KVR_DECISION_MAX_BYTES},
        {"BLOCKS", MOD_OPTION_FLAG, .at = offsetof(struct kvr_decision_limits, hashes)},
    };
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_DECISIONS_ON, ctx, argv, argc, 2, MOD_FOR_WRITE))
        return REDISMODULE_OK;
    struct kvr_decision_limits limits = {.bytes = LOG_BYTES};
    struct kvr_decision_stats before = {.next = 1};
    unsigned seen;
    if (!mod_args_u64(&c.args, 1, KVR_DECISION_MAX, &limits.records) ||
        !mod_args_options(&c.args, options, sizeof options / sizeof *options, &limits, &seen))
        return mod_call_bad_args(&c);
    if (c.value->decisions) kvr_decision_log_stats(c.value->decisions, &before);
    struct kvr_decision_log *l = kvr_decision_log_new(&mod_redis_alloc, &limits, before.next);
    if (!l) return mod_call_core_error(&c, KVR_NOMEM);
    kvr_decision_log_free(c.value->decisions);
    c.value->decisions = l;
    RedisModule_ReplyWithSimpleString(ctx, "OK");
    return mod_call_end(&c);
}

// KVROUTE.DECISIONS OFF key
int cmd_decisions_off(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_DECISIONS_OFF, ctx, argv, argc, 2, MOD_FOR_WRITE))
        return REDISMODULE_OK;
    RedisModule_ReplyWithLongLong(ctx, c.value->decisions != NULL);
    kvr_decision_log_free(c.value->decisions);
    c.value->decisions = NULL;
    return mod_call_end(&c);
}

// KVROUTE.DECISIONS CLEAR key
int cmd_decisions_clear(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    struct kvr_decision_log *l =
        open_log(&c, MOD_COMMAND_DECISIONS_CLEAR, ctx, argv, argc, MOD_FOR_WRITE);
    if (!l) return REDISMODULE_OK;
    mod_reply_u64(ctx, kvr_decision_log_clear(l));
    return mod_call_end(&c);
}

// Which records are asked for: from this serial on, so many at most.
struct decision_range {
    uint64_t cursor, count;
};

static bool parse_range(struct mod_args *a, struct decision_range *r) {
    enum { GET_COUNT = 100, GET_MAX_COUNT = 10000 };
    static const struct mod_option options[] = {
        {"COUNT", MOD_OPTION_U64, .at = offsetof(struct decision_range, count), 1, GET_MAX_COUNT},
    };
    unsigned seen;
    *r = (struct decision_range){.count = GET_COUNT};
    struct mod_args ahead = *a;
    bool cursor = mod_args_left(a) && !mod_args_is(&ahead, "COUNT");
    return (!cursor || mod_args_u64(a, 0, UINT64_MAX, &r->cursor)) &&
           mod_args_options(a, options, 1, r, &seen);
}

// The lines of a range, as far as a reply may go: its text takes ms to make, and nobody else is served meanwhile.
struct decision_lines {
    struct kvr_bytes *at;
    size_t n, bytes;
};

static bool add_line(struct mod_arena *arena, struct decision_lines *lines,
                     const struct kvr_decision_record *r) {
    size_t room = kvr_decision_line_room(r);
    char *line = mod_arena_array(arena, room, 1);
    if (!line) return false;
    size_t n = kvr_decision_line(r, line, room);
    lines->at[lines->n++] = (struct kvr_bytes){line, n};
    lines->bytes += n;
    return true;
}

// KVROUTE.DECISIONS GET key [cursor] [COUNT n]
int cmd_decisions_get(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    enum { GET_MAX_BYTES = 256 << 10 };
    struct mod_call c;
    struct kvr_decision_log *l =
        open_log(&c, MOD_COMMAND_DECISIONS_GET, ctx, argv, argc, MOD_FOR_READ);
    if (!l) return REDISMODULE_OK;
    struct decision_range range;
    struct kvr_decision_stats s;
    if (!parse_range(&c.args, &range)) return mod_call_bad_args(&c);
    kvr_decision_log_stats(l, &s);
    uint64_t at = range.cursor < s.first ? s.first : range.cursor;
    uint64_t left = at < s.next ? s.next - at : 0, n = left < range.count ? left : range.count;
    struct decision_lines lines = {.at = mod_arena_array(c.args.arena, n, sizeof *lines.at)};
    if (!lines.at) return mod_call_core_error(&c, KVR_NOMEM);
    while (lines.n < n && lines.bytes < GET_MAX_BYTES)
        if (!add_line(c.args.arena, &lines, kvr_decision_log_at(l, at + lines.n))) break;
    if (n && !lines.n) return mod_call_core_error(&c, KVR_NOMEM);
    RedisModule_ReplyWithArray(ctx, 2);
    mod_reply_u64(ctx, n ? at + lines.n : s.next);
    RedisModule_ReplyWithArray(ctx, (long)lines.n);
    for (size_t i = 0; i < lines.n; i++)
        mod_reply_bytes(ctx, lines.at[i]);
    return mod_call_end(&c);
}

// KVROUTE.DECISIONS INFO key
int cmd_decisions_info(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_DECISIONS_INFO, ctx, argv, argc, 2, MOD_FOR_READ))
        return REDISMODULE_OK;
    struct kvr_decision_stats s = {.next = 1, .first = 1};
    if (c.value->decisions) kvr_decision_log_stats(c.value->decisions, &s);
    RedisModule_ReplyWithMap(ctx, 10);
    mod_field_int(ctx, "on", c.value->decisions != NULL);
    mod_field_u64(ctx, "records", s.records);
    mod_field_u64(ctx, "bytes", s.bytes);
    mod_field_u64(ctx, "first", s.first);
    mod_field_u64(ctx, "next", s.next);
    mod_field_u64(ctx, "dropped", s.dropped);
    mod_field_u64(ctx, "memory_bytes", s.memory);
    mod_field_u64(ctx, "max_records", s.limits.records);
    mod_field_u64(ctx, "max_bytes", s.limits.bytes);
    mod_field_int(ctx, "blocks", s.limits.hashes);
    return mod_call_end(&c);
}
