// SPDX-License-Identifier: Apache-2.0
// One command being served: its arguments, its key, its time, and how it ends.
//
// Every command is one function of the same shape:
//
//     struct call c;
//     if (!call_pool(&c, CMD_..., ctx, argv, argc, 1, FOR_WRITE)) return REDISMODULE_OK;
//     take the arguments from c.args; on an error return call_bad_args(&c)
//     call the core; on an error return call_core_error(&c, err)
//     reply; if something changed: replicate the effect, then call_changed(&c, "event")
//     return call_end(&c);
#ifndef KVR_CALL_H
#define KVR_CALL_H

#include "args.h"
#include "counters.h"
#include "reply.h"
#include "value.h"

enum call_mode { FOR_READ, FOR_WRITE };

struct call {
    RedisModuleCtx *ctx;
    struct args args; // what stands behind the key
    RedisModuleString *name;
    RedisModuleKey *key; // NULL: none open
    struct value *value; // NULL: the key is empty
    struct kvr_pool *pool;
    // From a primary's stream or an AOF: an effect that has been decided. It carries its own time;
    // `now` is 0, because whoever applies effects must not ask a clock.
    bool trusted;
    bool resp3;   // the client speaks RESP3; only known of a write
    bool settled; // what was due has been ended, and that was replicated
    int64_t now;  // ms since the epoch
};

// Starts a command without a key; the arguments are read from argv[at] on.
void call_start(struct call *c, enum command command, RedisModuleCtx *ctx, RedisModuleString **argv,
                int argc, int at);
// Starts a command and opens its key at argv[at]. The key may be empty. false: replied with an error
// and ended.
bool call_key(struct call *c, enum command command, RedisModuleCtx *ctx, RedisModuleString **argv,
              int argc, int at, enum call_mode mode);
// The same, but the key must hold a pool. A write first ends what is due.
bool call_pool(struct call *c, enum command command, RedisModuleCtx *ctx, RedisModuleString **argv,
               int argc, int at, enum call_mode mode);

// Refuses an option that only effects carry, unless this is one.
bool call_effect(struct call *c);
// Takes such an option's time.
bool call_effect_time(struct call *c, int64_t *out);

// Signals the key as modified and notifies subscribers.
void call_changed(struct call *c, const char *event);
// Replicates the command as it came; word, unless NULL: with `word time` after it.
void call_replicate(struct call *c, const char *command, const char *word, int64_t time);

// Each ends the command and returns REDISMODULE_OK.
int call_end(struct call *c);
int call_error(struct call *c, enum error code, const char *text);
int call_bad_args(struct call *c); // with the text that args left
int call_core_error(struct call *c, enum kvr_err err);

#endif
