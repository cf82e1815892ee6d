// SPDX-License-Identifier: Apache-2.0
// Events: what instances hold.
#include <string.h>

#include "commands.h"
#include "module/command_io/block_list.h"
#include "module/command_io/replicate.h"

struct event_ops {
    struct kvr_pool_op *at;
    size_t n, room;
};

// Doubles in the arena; what is left behind goes with the command.
static struct kvr_pool_op *next_op(struct mod_args *a, struct event_ops *ops) {
    if (ops->n == ops->room) {
        size_t room = ops->room ? 2 * ops->room : 8;
        struct kvr_pool_op *wider = mod_arena_array(a->arena, room, sizeof *wider);
        if (!wider) {
            mod_args_fail(a, "out of memory");
            return NULL;
        }
        if (ops->n) memcpy(wider, ops->at, ops->n * sizeof *wider);
        ops->at = wider;
        ops->room = room;
    }
    struct kvr_pool_op *op = &ops->at[ops->n++];
    memset(op, 0, sizeof *op);
    return op;
}

static bool parse_parent(struct mod_args *a, struct kvr_pool_op *op) {
    op->has_parent = !mod_args_is(a, "-");
    return !op->has_parent || mod_args_hash(a, &op->parent);
}

// [TIER t] STORED parent blocks | [TIER t] REMOVED blocks | [TIER t] CLEARED
static bool parse_op(struct mod_args *a, uint32_t block_size, struct kvr_pool_op *op) {
    static const char *const words[] = {"STORED", "REMOVED", "CLEARED"};
    struct mod_block_list list;
    uint64_t *hashes = NULL;
    int tier = -1;
    if (mod_args_is(a, "TIER") && (tier = mod_args_word(a, kvr_tier_names, KVR_TIERS)) < 0)
        return false;
    int kind = mod_args_word(a, words, 3);
    if (kind < 0) return false;
    op->kind = (enum kvr_pool_op_kind)kind;
    op->tier = tier < 0 && op->kind != KVR_CLEARED ? KVR_DEVICE : tier;
    if (op->kind == KVR_CLEARED) return true;
    if (op->kind == KVR_STORED && !parse_parent(a, op)) return false;
    if (!mod_blocks_parse(a, op->kind == KVR_REMOVED, &list)) return false;
    const uint64_t *parent = op->has_parent ? &op->parent : NULL;
    if (!mod_blocks_hashes(a, &list, block_size, parent, &hashes, &op->n)) return false;
    op->hashes = hashes;
    return true;
}

static bool stores(const struct event_ops *ops) {
    for (size_t i = 0; i < ops->n; i++)
        if (ops->at[i].kind == KVR_STORED && ops->at[i].n) return true;
    return false;
}

// KVROUTE.EVENT key worker rank epoch seq op [op ...]
int cmd_event(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_EVENT, ctx, argv, argc, 1, MOD_FOR_WRITE))
        return REDISMODULE_OK;
    struct mod_args *a = &c.args;
    struct kvr_bytes worker;
    uint64_t rank, epoch, seq;
    if (!mod_args_bytes(a, &worker) || !mod_args_u64(a, 0, UINT32_MAX, &rank) ||
        !mod_args_u64(a, 1, INT64_MAX, &epoch) || !mod_args_u64(a, 1, INT64_MAX, &seq))
        return mod_call_bad_args(&c);
    uint32_t block_size = kvr_pool_options(c.pool)->block_size;
    struct event_ops ops = {NULL, 0, 0};
    do {
        struct kvr_pool_op *op = next_op(a, &ops);
        if (!op || !parse_op(a, block_size, op)) return mod_call_bad_args(&c);
    } while (mod_args_left(a));
    if (c.full && stores(&ops) && kvr_event_is_next(c.pool, worker, (uint32_t)rank, epoch, seq))
        return mod_call_refuse_growth(&c);
    struct kvr_event_result result;
    enum kvr_err err =
        kvr_event(c.pool, worker, (uint32_t)rank, epoch, seq, ops.at, ops.n, !c.trusted, &result);
    if (err == KVR_GAP) mod_reply_error_number(ctx, MOD_ERROR_GAP, "expected", result.expected);
    if (err == KVR_STALE) mod_reply_error_number(ctx, MOD_ERROR_STALE, "current", result.epoch);
    if (err == KVR_GAP || err == KVR_STALE) return mod_call_end(&c);
    if (err != KVR_OK) return mod_call_core_error(&c, err);
    mod_reply_u64(ctx, result.seq);
    if (!result.repeat) {
        mod_replicate(&c, "KVROUTE.EVENT");
        mod_call_changed(&c, "kvroute.event");
    }
    return mod_call_end(&c);
}
