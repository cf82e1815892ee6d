// SPDX-License-Identifier: Apache-2.0
// Replies: fields of maps, and errors.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "reply.h"

void reply_bytes(RedisModuleCtx *ctx, struct kvr_bytes b) {
    RedisModule_ReplyWithStringBuffer(ctx, b.p ? b.p : "", b.n);
}

void reply_text(RedisModuleCtx *ctx, const char *text) {
    RedisModule_ReplyWithStringBuffer(ctx, text, strlen(text));
}

// Counters and sizes stay far below 2^63; epochs and sequence numbers are limited to it.
void reply_u64(RedisModuleCtx *ctx, uint64_t v) {
    RedisModule_ReplyWithLongLong(ctx, v > INT64_MAX ? INT64_MAX : (long long)v);
}

void reply_hex(RedisModuleCtx *ctx, uint64_t hash) {
    char digits[16];
    hex_write(hash, digits);
    RedisModule_ReplyWithStringBuffer(ctx, digits, sizeof digits);
}

void field_bytes(RedisModuleCtx *ctx, const char *name, struct kvr_bytes b) {
    reply_text(ctx, name);
    reply_bytes(ctx, b);
}

void field_text(RedisModuleCtx *ctx, const char *name, const char *text) {
    reply_text(ctx, name);
    reply_text(ctx, text);
}

void field_int(RedisModuleCtx *ctx, const char *name, int64_t v) {
    reply_text(ctx, name);
    RedisModule_ReplyWithLongLong(ctx, v);
}

void field_u64(RedisModuleCtx *ctx, const char *name, uint64_t v) {
    reply_text(ctx, name);
    reply_u64(ctx, v);
}

static size_t format_u64(uint64_t v, char *out) {
    char digits[20];
    size_t n = 0;
    do
        digits[n++] = (char)('0' + v % 10);
    while (v /= 10);
    for (size_t i = 0; i < n; i++)
        out[i] = digits[n - 1 - i];
    return n;
}

// A multiple of 1/16 below 2^40 has at most 17 digits, four of them behind the point: all are shown.
size_t format_double(double v, char out[DOUBLE_ROOM]) {
    double sixteenths = fabs(v) * 16;
    if (!(sixteenths < 0x1p44) || sixteenths != floor(sixteenths) || (v == 0 && signbit(v)))
        return (size_t)snprintf(out, DOUBLE_ROOM, "%.17g", v);
    uint64_t units = (uint64_t)sixteenths;
    size_t n = 0;
    if (v < 0) out[n++] = '-';
    n += format_u64(units / 16, out + n);
    unsigned part = (unsigned)(units % 16) * 625; // of 10,000
    if (part) out[n++] = '.';
    for (; part; part = part % 1000 * 10)
        out[n++] = (char)('0' + part / 1000);
    return n;
}

bool reply_resp3(RedisModuleCtx *ctx) {
    return RedisModule_GetContextFlags(ctx) & REDISMODULE_CTX_FLAGS_RESP3;
}

// RESP2 has no doubles: there it is the same text as a bulk string.
void reply_double(RedisModuleCtx *ctx, bool resp3, double v) {
    if (!isfinite(v) || resp3) {
        RedisModule_ReplyWithDouble(ctx, v);
        return;
    }
    char text[DOUBLE_ROOM];
    RedisModule_ReplyWithStringBuffer(ctx, text, format_double(v, text));
}

void field_double(RedisModuleCtx *ctx, const char *name, double v) {
    reply_text(ctx, name);
    reply_double(ctx, reply_resp3(ctx), v);
}

void field_hex(RedisModuleCtx *ctx, const char *name, uint64_t hash) {
    reply_text(ctx, name);
    reply_hex(ctx, hash);
}

static const char *const usual_texts[ERRORS] = {
    [ERROR_ERR] = "invalid request",
    [ERROR_NOPOOL] = "no pool at this key",
    [ERROR_WRONGTYPE] = "Operation against a key holding the wrong kind of value",
    [ERROR_EXISTS] = "the key exists already",
    [ERROR_NOWORKER] = "no such worker or rank, or no instance is eligible",
    [ERROR_GAP] = "an earlier event is missing",
    [ERROR_STALE] = "the epoch is over",
    [ERROR_NOPARENT] = "the parent block is not known",
    [ERROR_BADCHAIN] = "a block is known under another parent",
    [ERROR_TRYAGAIN] = "dropped holdings are being swept, ask again",
    [ERROR_OOM] = "out of memory",
};

void reply_error(RedisModuleCtx *ctx, enum error code, const char *text) {
    char line[160];
    snprintf(line, sizeof line, "%s %s", error_codes[code], text ? text : usual_texts[code]);
    counters.errors[code]++;
    RedisModule_ReplyWithError(ctx, line);
}

void reply_error_number(RedisModuleCtx *ctx, enum error code, const char *word, uint64_t number) {
    char text[64];
    snprintf(text, sizeof text, "%s %" PRIu64, word, number);
    reply_error(ctx, code, text);
}

void reply_core_error(RedisModuleCtx *ctx, enum kvr_err err) {
    static const struct {
        enum error code;
        const char *text;
    } errors[] = {
        [KVR_OK] = {ERROR_ERR, NULL},
        [KVR_NOWORKER] = {ERROR_NOWORKER, NULL},
        [KVR_GAP] = {ERROR_GAP, NULL},
        [KVR_STALE] = {ERROR_STALE, NULL},
        [KVR_NOPARENT] = {ERROR_NOPARENT, NULL},
        [KVR_BADCHAIN] = {ERROR_BADCHAIN, NULL},
        [KVR_RANGE] = {ERROR_ERR, "value is out of range"},
        [KVR_LIMIT] = {ERROR_ERR, "the pool has reached its limit of instances or blocks"},
        [KVR_BUSY] = {ERROR_TRYAGAIN, NULL},
        [KVR_CORRUPT] = {ERROR_ERR, "not a saved pool"},
        [KVR_NOMEM] = {ERROR_OOM, NULL},
    };
    reply_error(ctx, errors[err].code, errors[err].text);
}
