// SPDX-License-Identifier: Apache-2.0
// One command being served: its arguments, its key, its time, and how it ends.
#include <string.h>

#include "command_call.h"
#include "module/keyspace/expire.h"
#include "module/keyspace/keytype.h"

// Commands run one at a time on the server's main thread, so one scratch memory serves them all.
static struct mod_arena scratch;

void mod_call_start(struct mod_call *c, enum mod_command command, RedisModuleCtx *ctx,
                    RedisModuleString **argv, int argc, int at) {
    memset(c, 0, sizeof *c);
    c->ctx = ctx;
    c->args = (struct mod_args){.argv = argv, .argc = argc, .at = at, .arena = &scratch};
    mod_counts.calls[command]++;
}

static bool is_trusted(int flags) {
    return flags & (REDISMODULE_CTX_FLAGS_REPLICATED | REDISMODULE_CTX_FLAGS_LOADING);
}

bool mod_call_key(struct mod_call *c, enum mod_command command, RedisModuleCtx *ctx,
                  RedisModuleString **argv, int argc, int at, enum mod_call_mode mode) {
    mod_call_start(c, command, ctx, argv, argc, at + 1);
    int flags = 0;
    if (mode == MOD_FOR_WRITE) {
        flags = RedisModule_GetContextFlags(ctx);
        c->trusted = c->args.effect = is_trusted(flags);
        c->resp3 = flags & REDISMODULE_CTX_FLAGS_RESP3;
    }
    if (!c->trusted) c->now = RedisModule_Milliseconds();
    c->name = argv[at];
    int access = mode == MOD_FOR_WRITE ? REDISMODULE_READ | REDISMODULE_WRITE : REDISMODULE_READ;
    c->key = RedisModule_OpenKey(ctx, c->name, access);
    if (!c->key || RedisModule_KeyType(c->key) == REDISMODULE_KEYTYPE_EMPTY) return true;
    if (!mod_keytype_is(c->key)) {
        if (command == MOD_COMMAND_CREATE)
            mod_call_error(c, MOD_ERROR_EXISTS, NULL);
        else
            mod_call_error(c, MOD_ERROR_WRONGTYPE, NULL);
        return false;
    }
    c->value = mod_keytype_value(c->key);
    c->pool = c->value->pool;
    mod_value_place(c->value, RedisModule_GetSelectedDb(ctx), c->name);
    if (mode == MOD_FOR_WRITE && !c->trusted && mod_expire_allowed(flags)) {
        static const struct mod_expire_limit limit = {128, 1, 1024, INT64_MAX};
        c->expired = mod_expire(ctx, c->name, c->value, c->now, &limit);
    }
    return true;
}

bool mod_call_pool(struct mod_call *c, enum mod_command command, RedisModuleCtx *ctx,
                   RedisModuleString **argv, int argc, int at, enum mod_call_mode mode) {
    if (!mod_call_key(c, command, ctx, argv, argc, at, mode)) return false;
    if (c->value) return true;
    mod_call_error(c, MOD_ERROR_NOPOOL, NULL);
    return false;
}

void mod_call_changed(struct mod_call *c, const char *event) {
    RedisModule_SignalModifiedKey(c->ctx, c->name);
    RedisModule_NotifyKeyspaceEvent(c->ctx, REDISMODULE_NOTIFY_MODULE, event, c->name);
}

int mod_call_end(struct mod_call *c) {
    if (c->key) RedisModule_CloseKey(c->key);
    c->key = NULL;
    mod_arena_reset(&scratch);
    return REDISMODULE_OK;
}

int mod_call_error(struct mod_call *c, enum mod_error code, const char *text) {
    mod_reply_error(c->ctx, code, text);
    return mod_call_end(c);
}

int mod_call_bad_args(struct mod_call *c) {
    return mod_call_error(c, MOD_ERROR_ERR, c->args.error);
}

int mod_call_core_error(struct mod_call *c, enum kvr_err err) {
    mod_reply_core_error(c->ctx, err);
    return mod_call_end(c);
}
