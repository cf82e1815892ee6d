// SPDX-License-Identifier: Apache-2.0
// The pool as a whole: CREATE, ALTER, INFO, DIGEST.
#include <stddef.h>
#include <string.h>

#include "call.h"
#include "commands.h"
#include "heap.h"
#include "keytype.h"
#include "module/core/policy.h"
#include "options.h"

// KVROUTE.CREATE key [option value ...]
// Replicated with the POLICY, also if it isn't given.
int cmd_create(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct call c;
    enum { UNNAMED = -1 };
    if (!call_key(&c, CMD_CREATE, ctx, argv, argc, 1, FOR_WRITE)) return REDISMODULE_OK;
    if (c.value) return call_error(&c, ERROR_EXISTS, NULL);
    struct kvr_options options;
    kvr_options_default(&options);
    // Version 1 had another rule where nobody named one, and didn't tell it to replicas and files.
    int usual = c.trusted ? KVR_LINEAR : options.rule.policy;
    options.rule.policy = UNNAMED;
    if (!options_parse(&c.args, &options)) return call_bad_args(&c);
    bool tell = options.rule.policy == UNNAMED && !c.trusted;
    if (options.rule.policy == UNNAMED) options.rule.policy = usual;
    enum kvr_err err = kvr_options_check(&options);
    if (err != KVR_OK) return call_core_error(&c, err);
    struct kvr_pool *pool = kvr_pool_new(&heap_alloc, &options, keytype_seed());
    if (!pool) return call_core_error(&c, KVR_NOMEM);
    c.value = value_new(pool);
    value_place(c.value, RedisModule_GetSelectedDb(ctx), c.name);
    keytype_set(c.key, c.value);
    RedisModule_ReplyWithSimpleString(ctx, "OK");
    if (tell)
        RedisModule_Replicate(ctx, "KVROUTE.CREATE", "vcc", argv + 1, (size_t)argc - 1, "POLICY",
                              kvr_policies[options.rule.policy].name);
    else
        call_replicate(&c, "KVROUTE.CREATE", NULL, 0);
    call_changed(&c, "kvroute.create");
    return call_end(&c);
}

// KVROUTE.ALTER key option value [option value ...]
int cmd_alter(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct call c;
    if (!call_pool(&c, CMD_ALTER, ctx, argv, argc, 1, FOR_WRITE)) return REDISMODULE_OK;
    struct kvr_options options = *kvr_pool_options(c.pool);
    uint32_t block_size = options.block_size;
    if (!options_parse(&c.args, &options)) return call_bad_args(&c);
    if (options.block_size != block_size)
        return call_error(&c, ERROR_ERR, "BLOCKSIZE is fixed at creation");
    enum kvr_err err = kvr_pool_alter(c.pool, &options);
    if (err != KVR_OK) return call_core_error(&c, err);
    RedisModule_ReplyWithSimpleString(ctx, "OK");
    call_replicate(&c, "KVROUTE.ALTER", NULL, 0);
    call_changed(&c, "kvroute.alter");
    return call_end(&c);
}

// The counts that INFO gives, in its order: before `selects` come the options.
static const struct {
    const char *name;
    size_t at;
} counts[] = {
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
    {"sessions", offsetof(struct kvr_stats, sessions)},
    {"expected_blocks", offsetof(struct kvr_stats, expected_blocks)},
};
enum { COUNTS = sizeof counts / sizeof counts[0] };

// KVROUTE.INFO key
int cmd_info(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct call c;
    if (!call_pool(&c, CMD_INFO, ctx, argv, argc, 1, FOR_READ)) return REDISMODULE_OK;
    if (!args_end(&c.args)) return call_bad_args(&c);
    struct kvr_stats stats;
    kvr_pool_stats(c.pool, c.now, &stats);
    stats.memory_bytes = value_memory(c.value, c.now);
    RedisModule_ReplyWithMap(ctx, 1 + OPTIONS + COUNTS);
    field_u64(ctx, "version", stats.version);
    options_reply(ctx, kvr_pool_options(c.pool));
    for (size_t i = 0; i < COUNTS; i++) {
        uint64_t count;
        memcpy(&count, (const char *)&stats + counts[i].at, sizeof count);
        field_u64(ctx, counts[i].name, count);
    }
    return call_end(&c);
}

// KVROUTE.DIGEST key [LEARNT]
int cmd_digest(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct call c;
    if (!call_pool(&c, CMD_DIGEST, ctx, argv, argc, 1, FOR_READ)) return REDISMODULE_OK;
    bool learnt = args_is(&c.args, "LEARNT");
    if (!args_end(&c.args)) return call_bad_args(&c);
    uint8_t bytes[KVR_DIGEST_BYTES];
    char digits[2 * KVR_DIGEST_BYTES];
    (learnt ? kvr_pool_digest_learnt : kvr_pool_digest)(c.pool, bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        digits[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        digits[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    RedisModule_ReplyWithStringBuffer(ctx, digits, sizeof digits);
    return call_end(&c);
}
