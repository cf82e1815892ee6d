// SPDX-License-Identifier: Apache-2.0
// Replies: fields of maps, and errors.
//
// The server turns a map into a flat array, and a double into a bulk string, for RESP2 clients.
#ifndef MOD_COMMAND_REPLY_H
#define MOD_COMMAND_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "module/core/pool.h"
#include "module/keyspace/counters.h"
#include "module/keyspace/double_text.h"
#include "module/keyspace/redis_api.h"

void mod_reply_bytes(RedisModuleCtx *ctx, struct kvr_bytes b);
void mod_reply_text(RedisModuleCtx *ctx, const char *text); // as a bulk string
void mod_reply_u64(RedisModuleCtx *ctx, uint64_t v);
bool mod_reply_resp3(
    RedisModuleCtx *ctx); // what the client speaks; asking costs as much as a field
void mod_reply_double(RedisModuleCtx *ctx, bool resp3, double v);
void mod_reply_hex(RedisModuleCtx *ctx, uint64_t hash); // 16 digits

void mod_field_bytes(RedisModuleCtx *ctx, const char *name, struct kvr_bytes b);
void mod_field_text(RedisModuleCtx *ctx, const char *name, const char *text);
void mod_field_int(RedisModuleCtx *ctx, const char *name, int64_t v);
void mod_field_u64(RedisModuleCtx *ctx, const char *name, uint64_t v);
void mod_field_double(RedisModuleCtx *ctx, const char *name, double v);
void mod_field_hex(RedisModuleCtx *ctx, const char *name, uint64_t hash);

// `code text`, counted. The text is for people and never holds the caller's bytes; NULL: the usual
// one for the code.
void mod_reply_error(RedisModuleCtx *ctx, enum mod_error code, const char *text);
void mod_reply_error_number(RedisModuleCtx *ctx, enum mod_error code, const char *word,
                            uint64_t number);
// `code ms text`: when to come back.
void mod_reply_retry(RedisModuleCtx *ctx, enum mod_error code, int64_t ms);
// What the core said; not for those that carry a number: KVR_GAP, KVR_STALE, KVR_NOROOM, KVR_LIMITED.
void mod_reply_core_error(RedisModuleCtx *ctx, enum kvr_err err);

#endif
