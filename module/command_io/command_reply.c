// SPDX-License-Identifier: Apache-2.0
// Replies: fields of maps, and errors.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "command_reply.h"

void mod_reply_bytes(RedisModuleCtx *ctx, struct kvr_bytes b) {
    RedisModule_ReplyWithStringBuffer(ctx, b.p ? b.p : "", b.n);
}

void mod_reply_text(RedisModuleCtx *ctx, const char *text) {
    RedisModule_ReplyWithStringBuffer(ctx, text, strlen(text));
}

// Counters and sizes stay far below 2^63; epochs and sequence numbers are limited to it.
void mod_reply_u64(RedisModuleCtx *ctx, uint64_t v) {
    RedisModule_ReplyWithLongLong(ctx, v > INT64_MAX ? INT64_MAX : (long long)v);
}

void mod_reply_hex(RedisModuleCtx *ctx, uint64_t hash) {
    char digits[16];
    mod_hex_write(hash, digits);
    RedisModule_ReplyWithStringBuffer(ctx, digits, sizeof digits);
}

void mod_field_bytes(RedisModuleCtx *ctx, const char *name, struct kvr_bytes b) {
    mod_reply_text(ctx, name);
    mod_reply_bytes(ctx, b);
}

void mod_field_text(RedisModuleCtx *ctx, const char *name, const char *text) {
    mod_reply_text(ctx, name);
    mod_reply_text(ctx, text);
}

void mod_field_int(RedisModuleCtx *ctx, const char *name, int64_t v) {
    mod_reply_text(ctx, name);
    RedisModule_ReplyWithLongLong(ctx, v);
}

void mod_field_u64(RedisModuleCtx *ctx, const char *name, uint64_t v) {
    mod_reply_text(ctx, name);
    mod_reply_u64(ctx, v);
}

bool mod_reply_resp3(RedisModuleCtx *ctx) {
    return RedisModule_GetContextFlags(ctx) & REDISMODULE_CTX_FLAGS_RESP3;
}

// RESP2 has no doubles: there it is the same text as a bulk string.
void mod_reply_double(RedisModuleCtx *ctx, bool resp3, double v) {
    if (!isfinite(v) || resp3) {
        RedisModule_ReplyWithDouble(ctx, v);
        return;
    }
    char text[MOD_MAX_DOUBLE];
    RedisModule_ReplyWithStringBuffer(ctx, text, mod_format_double(v, text));
}

void mod_field_double(RedisModuleCtx *ctx, const char *name, double v) {
    mod_reply_text(ctx, name);
    mod_reply_double(ctx, mod_reply_resp3(ctx), v);
}

void mod_field_hex(RedisModuleCtx *ctx, const char *name, uint64_t hash) {
    mod_reply_text(ctx, name);
    mod_reply_hex(ctx, hash);
}

static const char *const usual_texts[MOD_ERRORS] = {
    [MOD_ERROR_ERR] = "invalid request",
    [MOD_ERROR_NOPOOL] = "no pool at this key",
    [MOD_ERROR_WRONGTYPE] = "Operation against a key holding the wrong kind of value",
    [MOD_ERROR_EXISTS] = "the key exists already",
    [MOD_ERROR_NOWORKER] = "no such worker or rank, or no instance is eligible",
    [MOD_ERROR_GAP] = "an earlier event is missing",
    [MOD_ERROR_STALE] = "the epoch is over",
    [MOD_ERROR_NOPARENT] = "the parent block is not known",
    [MOD_ERROR_BADCHAIN] = "a block is known under another parent",
    [MOD_ERROR_TRYAGAIN] = "dropped holdings are being swept, ask again",
    [MOD_ERROR_OOM] = "out of memory",
    [MOD_ERROR_NOROOM] = "no instance has room",
    [MOD_ERROR_LIMITED] = "the flow has used up what it may",
};

void mod_reply_error(RedisModuleCtx *ctx, enum mod_error code, const char *text) {
    char line[160];
    snprintf(line, sizeof line, "%s %s", mod_error_codes[code], text ? text : usual_texts[code]);
    mod_counts.errors[code]++;
    RedisModule_ReplyWithError(ctx, line);
}

void mod_reply_error_number(RedisModuleCtx *ctx, enum mod_error code, const char *word,
                            uint64_t number) {
    char text[64];
    snprintf(text, sizeof text, "%s %" PRIu64, word, number);
    mod_reply_error(ctx, code, text);
}

void mod_reply_retry(RedisModuleCtx *ctx, enum mod_error code, int64_t ms) {
    char text[64];
    snprintf(text, sizeof text, "%" PRId64 " %s", ms, usual_texts[code]);
    mod_reply_error(ctx, code, text);
}

void mod_reply_core_error(RedisModuleCtx *ctx, enum kvr_err err) {
    static const struct {
        enum mod_error code;
        const char *text;
    } errors[] = {
        [KVR_OK] = {MOD_ERROR_ERR, NULL},
        [KVR_NOWORKER] = {MOD_ERROR_NOWORKER, NULL},
        [KVR_GAP] = {MOD_ERROR_GAP, NULL},
        [KVR_STALE] = {MOD_ERROR_STALE, NULL},
        [KVR_NOPARENT] = {MOD_ERROR_NOPARENT, NULL},
        [KVR_BADCHAIN] = {MOD_ERROR_BADCHAIN, NULL},
        [KVR_RANGE] = {MOD_ERROR_ERR, "value is out of range"},
        [KVR_LIMIT] = {MOD_ERROR_ERR,
                       "the pool has reached its limit of instances, blocks or classes"},
        [KVR_BUSY] = {MOD_ERROR_TRYAGAIN, NULL},
        [KVR_CORRUPT] = {MOD_ERROR_ERR, "not a saved pool"},
        [KVR_NOMEM] = {MOD_ERROR_OOM, NULL},
        [KVR_NOROOM] = {MOD_ERROR_NOROOM, NULL},
        [KVR_LIMITED] = {MOD_ERROR_LIMITED, NULL},
        [KVR_NOCLASS] = {MOD_ERROR_ERR, "no such class"},
        [KVR_WAITED] = {MOD_ERROR_ERR, "requests of the class wait"},
    };
    mod_reply_error(ctx, errors[err].code, errors[err].text);
}
