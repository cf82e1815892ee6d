// SPDX-License-Identifier: Apache-2.0
// One command being served: its arguments, its key, its time, and how it ends.
//
// Every command is one function of the same shape:
//
//     struct mod_call c;
//     if (!mod_call_pool(&c, CMD_..., ctx, argv, argc, 1, MOD_FOR_WRITE)) return REDISMODULE_OK;
//     take the arguments from c.args; on an error return mod_call_bad_args(&c)
//     call the core; on an error return mod_call_core_error(&c, err)
//     reply; if something changed: replicate the effect, then mod_call_changed(&c, "event"), which also admits
//     those who wait and have room now
//     return mod_call_end(&c);
#ifndef MOD_COMMAND_CALL_H
#define MOD_COMMAND_CALL_H

#include "args.h"
#include "command_reply.h"
#include "module/keyspace/counters.h"
#include "module/keyspace/registry.h"

enum mod_call_mode { MOD_FOR_READ, MOD_FOR_WRITE };

struct mod_call {
    RedisModuleCtx *ctx;
    struct mod_args args; // what stands behind the key
    RedisModuleString *name;
    RedisModuleKey *key;     // NULL: none open
    struct mod_value *value; // NULL: the key is empty
    struct kvr_pool *pool;
    // From a primary's stream or an AOF: an effect that has been decided. It carries its own time;
    // `now` is 0, because whoever applies effects must not ask a clock.
    bool trusted;
    bool resp3;   // the client speaks RESP3; only known of a write
    bool expired; // what was due has been ended, or somebody admitted, and that was replicated
    bool full;    // the server has reached maxmemory, and a client asks: what grows is refused
    int64_t now;  // ms since the epoch
    int flags;    // RedisModule_GetContextFlags of a write
    size_t looks; // at those who wait, that are left to this command
    struct kvr_bytes asking; // the id that SELECT asks for
};

// Starts a command without a key; the arguments are read from argv[at] on.
void mod_call_start(struct mod_call *c, enum mod_command command, RedisModuleCtx *ctx,
                    RedisModuleString **argv, int argc, int at);
// Starts a command and opens its key at argv[at]. The key may be empty. false: replied with an error
// and ended.
bool mod_call_key(struct mod_call *c, enum mod_command command, RedisModuleCtx *ctx,
                  RedisModuleString **argv, int argc, int at, enum mod_call_mode mode);
// The same, but the key must hold a pool. A write first ends what is due.
bool mod_call_pool(struct mod_call *c, enum mod_command command, RedisModuleCtx *ctx,
                   RedisModuleString **argv, int argc, int at, enum mod_call_mode mode);

// Signals the key as modified and notifies subscribers; then mod_call_admit.
void mod_call_changed(struct mod_call *c, const char *event);
// Whether its client may be blocked.
bool mod_call_may_block(const struct mod_call *c);
// Whether there may be somebody whom this command is to admit.
bool mod_call_admits(const struct mod_call *c);
// Admits those who wait, as far as its looks go; the timer does the rest.
void mod_call_admit(struct mod_call *c);

// Each ends the command and returns REDISMODULE_OK.
int mod_call_end(struct mod_call *c);
int mod_call_error(struct mod_call *c, enum mod_error code, const char *text);
int mod_call_bad_args(struct mod_call *c); // with the text that args left
int mod_call_core_error(struct mod_call *c, enum kvr_err err);
int mod_call_refuse_growth(struct mod_call *c); // because of `full`

#endif
