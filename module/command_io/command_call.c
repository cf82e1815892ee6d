// SPDX-License-Identifier: Apache-2.0
// One command being served: its arguments, its key, its time, and how it ends.
#include <stdio.h>
#include <string.h>

#include "command_call.h"
#include "module/keyspace/admission.h"
#include "module/keyspace/expire.h"
#include "module/keyspace/keytype.h"
#include "module/keyspace/server_clock.h"
#include "module/keyspace/wakeup.h"

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
    enum { COMMAND_LOOKS = 64 };
    mod_call_start(c, command, ctx, argv, argc, at + 1);
    int flags = 0;
    if (mode == MOD_FOR_WRITE) {
        c->looks = COMMAND_LOOKS;
        c->flags = flags = RedisModule_GetContextFlags(ctx);
        c->trusted = c->args.effect = is_trusted(flags);
        c->resp3 = flags & REDISMODULE_CTX_FLAGS_RESP3;
        c->full = !c->trusted && flags & REDISMODULE_CTX_FLAGS_OOM;
    }
    if (!c->trusted) c->now = mod_server_time();
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
    if (mode == MOD_FOR_WRITE && !c->trusted && mod_expire_any(c->value, c->now) &&
        mod_expire_allowed(flags)) {
        enum { MAX_EXPIRE_US = 300 }; // the rest is the timer's
        int64_t until = mod_server_steady() + MAX_EXPIRE_US;
        c->expired = mod_expire(ctx, c->name, c->value, c->now, until);
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
    if (mod_call_admits(c)) mod_call_admit(c);
}

bool mod_call_may_block(const struct mod_call *c) {
    const int never = REDISMODULE_CTX_FLAGS_MULTI | REDISMODULE_CTX_FLAGS_LUA |
                      REDISMODULE_CTX_FLAGS_DENY_BLOCKING;
    return !(RedisModule_GetContextFlags(c->ctx) & never);
}

bool mod_call_admits(const struct mod_call *c) {
    return c->pool && c->looks && !c->trusted && kvr_admit_left(c->pool, c->now) &&
           mod_expire_allowed(c->flags);
}

void mod_call_admit(struct mod_call *c) {
    if (mod_admit(c->ctx, c->name, c->value, c->now, &c->looks, c->asking)) c->expired = true;
    if (kvr_admit_left(c->pool, c->now)) mod_wakeup_soon(c->ctx);
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
    char text[120];
    const struct mod_args *a = &c->args;
    if (a->option)
        snprintf(text, sizeof text, "%s: %s", a->option, a->error);
    else if (a->wrong)
        snprintf(text, sizeof text, "%s at argument %d", a->error, a->wrong);
    else
        snprintf(text, sizeof text, "%s", a->error);
    return mod_call_error(c, MOD_ERROR_ERR, text);
}

int mod_call_refuse_growth(struct mod_call *c) {
    return mod_call_error(c, MOD_ERROR_OOM, "command not allowed when used memory > 'maxmemory'.");
}

int mod_call_core_error(struct mod_call *c, enum kvr_err err) {
    mod_reply_core_error(c->ctx, err);
    return mod_call_end(c);
}
