// SPDX-License-Identifier: Apache-2.0
// One command being served: its arguments, its key, its time, and how it ends.
#include <string.h>

#include "call.h"
#include "due.h"
#include "keytype.h"
#include "shared_string.h"

// Commands run one at a time on the server's main thread, so one scratch memory serves them all.
static struct arena scratch;

void call_start(struct call *c, enum command command, RedisModuleCtx *ctx, RedisModuleString **argv,
                int argc, int at) {
    memset(c, 0, sizeof *c);
    c->ctx = ctx;
    c->args = (struct args){.argv = argv, .argc = argc, .at = at, .arena = &scratch};
    counters.calls[command]++;
}

static bool is_trusted(int flags) {
    return flags & (REDISMODULE_CTX_FLAGS_REPLICATED | REDISMODULE_CTX_FLAGS_LOADING);
}

bool call_key(struct call *c, enum command command, RedisModuleCtx *ctx, RedisModuleString **argv,
              int argc, int at, enum call_mode mode) {
    call_start(c, command, ctx, argv, argc, at + 1);
    int flags = 0;
    if (mode == FOR_WRITE) {
        flags = RedisModule_GetContextFlags(ctx);
        c->trusted = is_trusted(flags);
        c->resp3 = flags & REDISMODULE_CTX_FLAGS_RESP3;
    }
    if (!c->trusted) c->now = RedisModule_Milliseconds();
    c->name = argv[at];
    int access = mode == FOR_WRITE ? REDISMODULE_READ | REDISMODULE_WRITE : REDISMODULE_READ;
    c->key = RedisModule_OpenKey(ctx, c->name, access);
    if (!c->key || RedisModule_KeyType(c->key) == REDISMODULE_KEYTYPE_EMPTY) return true;
    if (!keytype_is(c->key)) {
        if (command == CMD_CREATE)
            call_error(c, ERROR_EXISTS, NULL);
        else
            call_error(c, ERROR_WRONGTYPE, NULL);
        return false;
    }
    c->value = keytype_value(c->key);
    c->pool = c->value->pool;
    value_place(c->value, RedisModule_GetSelectedDb(ctx), c->name);
    if (mode == FOR_WRITE && !c->trusted && due_may_settle(flags)) {
        static const struct due_limit limit = {128, 1, 1024, INT64_MAX};
        c->settled = due_settle(ctx, c->name, c->value, c->now, &limit);
    }
    return true;
}

bool call_pool(struct call *c, enum command command, RedisModuleCtx *ctx, RedisModuleString **argv,
               int argc, int at, enum call_mode mode) {
    if (!call_key(c, command, ctx, argv, argc, at, mode)) return false;
    if (c->value) return true;
    call_error(c, ERROR_NOPOOL, NULL);
    return false;
}

bool call_effect(struct call *c) {
    return c->trusted || args_fail(&c->args, "this option is for replication only");
}

bool call_effect_time(struct call *c, int64_t *out) {
    return call_effect(c) && args_i64(&c->args, 0, INT64_MAX, out);
}

void call_changed(struct call *c, const char *event) {
    RedisModule_SignalModifiedKey(c->ctx, c->name);
    RedisModule_NotifyKeyspaceEvent(c->ctx, REDISMODULE_NOTIFY_MODULE, event, c->name);
}

// Verbatim is the cheapest, but isn't to be mixed with what due_settle has replicated.
void call_replicate(struct call *c, const char *command, const char *word, int64_t time) {
    if (!word && !c->settled) {
        RedisModule_ReplicateVerbatim(c->ctx);
        return;
    }
    RedisModuleString **rest = c->args.argv + 1;
    size_t n = (size_t)c->args.argc - 1;
    if (word)
        RedisModule_Replicate(c->ctx, command, "vss", rest, n, shared_word(word),
                              shared_time(time));
    else
        RedisModule_Replicate(c->ctx, command, "v", rest, n);
}

int call_end(struct call *c) {
    if (c->key) RedisModule_CloseKey(c->key);
    c->key = NULL;
    arena_reset(&scratch);
    return REDISMODULE_OK;
}

int call_error(struct call *c, enum error code, const char *text) {
    reply_error(c->ctx, code, text);
    return call_end(c);
}

int call_bad_args(struct call *c) {
    return call_error(c, ERROR_ERR, c->args.error);
}

int call_core_error(struct call *c, enum kvr_err err) {
    reply_core_error(c->ctx, err);
    return call_end(c);
}
