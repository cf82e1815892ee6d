// SPDX-License-Identifier: Apache-2.0
// The pool as a whole: CREATE, ALTER, INFO, DIGEST.
#include <stddef.h>
#include <string.h>

#include "commands.h"
#include "module/command_io/pool_defaults.h"
#include "module/command_io/replicate.h"
#include "module/core/rule/policy.h"
#include "module/keyspace/digest_slices.h"
#include "module/keyspace/keytype.h"
#include "module/keyspace/redis_alloc.h"

// Replicated with all options, so that it makes the same pool wherever the settings differ.
static void replicate_create(struct mod_call *c, const struct kvr_options *o) {
    RedisModuleString *argv[1 + 2 * MOD_CONFIG_FIELDS] = {c->name};
    size_t n = 1;
    for (size_t i = 0; i < MOD_CONFIG_FIELDS; i++) {
        char text[MOD_MAX_DOUBLE];
        const char *word = mod_config_word(i);
        size_t length = mod_config_text(i, o, text);
        argv[n++] = RedisModule_CreateString(NULL, word, strlen(word));
        argv[n++] = RedisModule_CreateString(NULL, text, length);
    }
    RedisModule_Replicate(c->ctx, "KVROUTE.CREATE", "v", argv, n);
    while (--n)
        RedisModule_FreeString(NULL, argv[n]);
}

// KVROUTE.CREATE key [option value ...]
int cmd_create(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_key(&c, MOD_COMMAND_CREATE, ctx, argv, argc, 1, MOD_FOR_WRITE))
        return REDISMODULE_OK;
    if (c.value) return mod_call_error(&c, MOD_ERROR_EXISTS, NULL);
    struct kvr_options options = *mod_defaults();
    if (c.trusted) { // version 1 had another rule where nobody named one, and didn't tell it
        kvr_options_default(&options);
        options.rule.policy = KVR_LINEAR;
    }
    if (!mod_config_parse(&c.args, &options)) return mod_call_bad_args(&c);
    enum kvr_err err = kvr_options_check(&options);
    if (err != KVR_OK) return mod_call_core_error(&c, err);
    struct kvr_pool *pool = kvr_pool_new(&mod_redis_alloc, &options, mod_keytype_seed());
    if (!pool) return mod_call_core_error(&c, KVR_NOMEM);
    c.value = mod_value_new(pool);
    mod_value_place(c.value, RedisModule_GetSelectedDb(ctx), c.name);
    mod_keytype_set(c.key, c.value);
    RedisModule_ReplyWithSimpleString(ctx, "OK");
    replicate_create(&c, &options);
    mod_call_changed(&c, "kvroute.create");
    return mod_call_end(&c);
}

// KVROUTE.ALTER key option value [option value ...]
int cmd_alter(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_ALTER, ctx, argv, argc, 1, MOD_FOR_WRITE))
        return REDISMODULE_OK;
    struct kvr_options options = *kvr_pool_options(c.pool);
    uint32_t block_size = options.block_size;
    if (!mod_config_parse(&c.args, &options)) return mod_call_bad_args(&c);
    if (options.block_size != block_size)
        return mod_call_error(&c, MOD_ERROR_ERR, "BLOCKSIZE is fixed at creation");
    enum kvr_err err = kvr_pool_alter(c.pool, &options);
    if (err != KVR_OK) return mod_call_core_error(&c, err);
    RedisModule_ReplyWithSimpleString(ctx, "OK");
    mod_replicate(&c, "KVROUTE.ALTER");
    mod_call_changed(&c, "kvroute.alter");
    return mod_call_end(&c);
}

// The counts that INFO gives, in its order: before `selects` come the options.
static const struct {
    const char *name;
    size_t at;
} info_counts[] = {
    {"workers", offsetof(struct kvr_stats, workers)},
    {"instances", offsetof(struct kvr_stats, instances)},
    {"eligible", offsetof(struct kvr_stats, eligible)},
    {"blocks", offsetof(struct kvr_stats, blocks)},
    {"holdings", offsetof(struct kvr_stats, holdings)},
    {"predicted", offsetof(struct kvr_stats, predicted)},
    {"requests", offsetof(struct kvr_stats, requests)},
    {"memory_bytes", offsetof(struct kvr_stats, memory_bytes)},
    {"selects", offsetof(struct kvr_stats, selects)},
    {"repeats", offsetof(struct kvr_stats, repeats)},
    {"select_blocks", offsetof(struct kvr_stats, select_blocks)},
    {"overlap_blocks", offsetof(struct kvr_stats, overlap_blocks)},
    {"events", offsetof(struct kvr_stats, events)},
    {"stored_blocks", offsetof(struct kvr_stats, stored_blocks)},
    {"removed_blocks", offsetof(struct kvr_stats, removed_blocks)},
    {"gaps", offsetof(struct kvr_stats, gaps)},
    {"stale", offsetof(struct kvr_stats, stale)},
    {"expired_requests", offsetof(struct kvr_stats, expired_requests)},
    {"expired_workers", offsetof(struct kvr_stats, expired_workers)},
    {"open_circuits", offsetof(struct kvr_stats, open_circuits)},
    {"waiting", offsetof(struct kvr_stats, waiting)},
    {"waiting_tokens", offsetof(struct kvr_stats, waiting_tokens)},
    {"admitted", offsetof(struct kvr_stats, admitted)},
    {"refused", offsetof(struct kvr_stats, refused)},
    {"limited", offsetof(struct kvr_stats, limited)},
    {"sessions", offsetof(struct kvr_stats, sessions)},
    {"expected_blocks", offsetof(struct kvr_stats, expected_blocks)},
};
enum { INFO_COUNTS = sizeof info_counts / sizeof info_counts[0] };

// KVROUTE.INFO key
int cmd_info(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_INFO, ctx, argv, argc, 1, MOD_FOR_READ))
        return REDISMODULE_OK;
    if (!mod_args_end(&c.args)) return mod_call_bad_args(&c);
    struct kvr_stats stats;
    kvr_pool_stats(c.pool, c.now, &stats);
    stats.memory_bytes = mod_value_memory(c.value, c.now);
    RedisModule_ReplyWithMap(ctx, 1 + MOD_CONFIG_FIELDS + INFO_COUNTS);
    mod_field_u64(ctx, "version", stats.version);
    mod_config_reply(ctx, kvr_pool_options(c.pool));
    for (size_t i = 0; i < INFO_COUNTS; i++) {
        uint64_t count;
        memcpy(&count, (const char *)&stats + info_counts[i].at, sizeof count);
        mod_field_u64(ctx, info_counts[i].name, count);
    }
    return mod_call_end(&c);
}

static void reply_digest(RedisModuleCtx *ctx, const uint8_t *bytes) {
    char digits[2 * KVR_DIGEST_BYTES];
    for (size_t i = 0; bytes && i < KVR_DIGEST_BYTES; i++) {
        digits[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        digits[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    if (bytes)
        RedisModule_ReplyWithStringBuffer(ctx, digits, sizeof digits);
    else
        mod_reply_error(ctx, MOD_ERROR_NOPOOL, NULL);
}

// Whether its digest would hold up others for some milliseconds.
static bool is_large(const struct mod_call *c) {
    enum { LARGE_HOLDINGS = 300000, LARGE_REQUESTS = 2000 };
    struct kvr_stats stats;
    kvr_pool_stats(c->pool, c->now, &stats);
    return stats.holdings > LARGE_HOLDINGS || stats.requests > LARGE_REQUESTS;
}

// KVROUTE.DIGEST key [LEARNT]
// A large pool's is taken in slices, where the client may be blocked.
int cmd_digest(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_DIGEST, ctx, argv, argc, 1, MOD_FOR_READ))
        return REDISMODULE_OK;
    bool learnt = mod_args_is(&c.args, "LEARNT");
    if (!mod_args_end(&c.args)) return mod_call_bad_args(&c);
    if (!learnt && is_large(&c) && mod_call_may_block(&c)) {
        mod_digest_block(ctx, c.value, reply_digest);
        return mod_call_end(&c);
    }
    uint8_t bytes[KVR_DIGEST_BYTES];
    (learnt ? kvr_pool_digest_learnt : kvr_pool_digest)(c.pool, bytes);
    reply_digest(ctx, bytes);
    return mod_call_end(&c);
}
