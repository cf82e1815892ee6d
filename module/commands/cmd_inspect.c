// SPDX-License-Identifier: Apache-2.0
// What stands in the prefix tree, and how hashes are made: TREE and HASH.
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "module/command_io/block_list.h"
#include "module/command_io/command_call.h"
#include <kvroute/hash.h>

enum {
    TREE_DEPTH = 3, // levels shown unless told; more nest deeper than some clients can read
    TREE_MAX_DEPTH = 64,
    TREE_COUNT = 100, // runs shown unless told
    TREE_MAX_COUNT = 10000,
    TREE_MAX_HOLDERS = 200000, // entries in one reply: no run is begun after so many
    TREE_SWEEP = 4096,
};

// One array of children that is being written.
struct tree_level {
    uint32_t next; // run to show, 0: none left
    long n;        // shown
};

struct tree_walk {
    struct kvr_pool *pool;
    RedisModuleCtx *ctx;
    uint64_t from;         // the hash to begin at
    uint64_t depth, count; // levels and runs that may still be shown
    size_t holders;        // entries written
    struct tree_level levels[TREE_MAX_DEPTH];
};

// `worker:rank tier blocks`, a line for each instance and tier that holds a head of the run's blocks
// from `offset` on.
static void reply_holders(struct tree_walk *w, uint32_t run, size_t offset, size_t holders) {
    char line[KVR_MAX_NAME + 64];
    long n = 0;
    RedisModule_ReplyWithArray(w->ctx, REDISMODULE_POSTPONED_LEN);
    for (size_t i = 0; i < holders; i++) {
        struct kvr_holder h;
        if (!kvr_run_holder(w->pool, run, i, &h) || h.depth <= offset) continue;
        memcpy(line, h.worker.p, h.worker.n);
        int more = snprintf(line + h.worker.n, sizeof line - h.worker.n, ":%" PRIu32 " %s %zu",
                            h.rank, kvr_tier_names[h.tier], h.depth - offset);
        RedisModule_ReplyWithStringBuffer(w->ctx, line, h.worker.n + (size_t)more);
        n++;
    }
    w->holders += holders;
    RedisModule_ReplySetArrayLength(w->ctx, n);
}

// The map of a run up to its children, which the caller writes. Whether it has any.
static bool reply_run(struct tree_walk *w, uint32_t run, size_t offset) {
    struct kvr_run_view v;
    kvr_tree_view(w->pool, run, &v);
    RedisModule_ReplyWithMap(w->ctx, 4);
    mod_field_hex(w->ctx, "first", v.hashes[offset]);
    mod_field_u64(w->ctx, "blocks", v.n - offset);
    mod_reply_text(w->ctx, "holders");
    reply_holders(w, run, offset, v.holders);
    mod_reply_text(w->ctx, "children");
    return v.has_children;
}

static bool may_show(const struct tree_walk *w) {
    return w->count > 0 && w->holders < TREE_MAX_HOLDERS;
}

// Writes the array of `first` and its siblings, depth first, with a stack of open arrays.
static void reply_siblings(struct tree_walk *w, uint32_t first) {
    size_t top = 0;
    w->levels[0] = (struct tree_level){first, 0};
    RedisModule_ReplyWithArray(w->ctx, REDISMODULE_POSTPONED_LEN);
    for (;;) {
        struct tree_level *l = &w->levels[top];
        if (!l->next || !may_show(w)) {
            RedisModule_ReplySetArrayLength(w->ctx, l->n);
            if (top-- == 0) return;
            continue;
        }
        uint32_t run = l->next;
        l->next = kvr_tree_next(w->pool, run);
        l->n++;
        w->count--;
        if (reply_run(w, run, 0) && top + 1 < w->depth) {
            w->levels[++top] = (struct tree_level){kvr_tree_first(w->pool, run), 0};
            RedisModule_ReplyWithArray(w->ctx, REDISMODULE_POSTPONED_LEN);
        } else {
            RedisModule_ReplyWithEmptyArray(w->ctx);
        }
    }
}

static void reply_from(struct tree_walk *w) {
    uint32_t run;
    size_t offset;
    if (!kvr_tree_find(w->pool, w->from, &run, &offset)) {
        RedisModule_ReplyWithEmptyArray(w->ctx);
        return;
    }
    RedisModule_ReplyWithArray(w->ctx, 1);
    w->count--;
    w->depth--;
    if (reply_run(w, run, offset) && w->depth > 0)
        reply_siblings(w, kvr_tree_first(w->pool, run));
    else
        RedisModule_ReplyWithEmptyArray(w->ctx);
}

// KVROUTE.TREE key [FROM hash] [DEPTH n] [COUNT n]
int cmd_tree(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    static const struct mod_option options[] = {
        {"FROM", MOD_OPTION_HASH, .at = offsetof(struct tree_walk, from)},
        {"DEPTH", MOD_OPTION_U64, .at = offsetof(struct tree_walk, depth), 1, TREE_MAX_DEPTH},
        {"COUNT", MOD_OPTION_U64, .at = offsetof(struct tree_walk, count), 1, TREE_MAX_COUNT},
    };
    enum { FROM_GIVEN = 1 };
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_TREE, ctx, argv, argc, 1, MOD_FOR_READ))
        return REDISMODULE_OK;
    struct tree_walk w = {.pool = c.pool, .ctx = ctx, .depth = TREE_DEPTH, .count = TREE_COUNT};
    unsigned seen;
    if (!mod_args_options(&c.args, options, sizeof options / sizeof *options, &w, &seen))
        return mod_call_bad_args(&c);
    // Runs whose holders are gone would be shown until they are swept.
    kvr_pool_sweep(c.pool, TREE_SWEEP);
    if (seen & FROM_GIVEN)
        reply_from(&w);
    else
        reply_siblings(&w, kvr_tree_first(c.pool, 0));
    return mod_call_end(&c);
}

// KVROUTE.HASH blocksize blocks [FROM hash]
// Tokens are hashed and chained; HASHES and HEX are block hashes here, to be chained.
int cmd_hash(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    mod_call_start(&c, MOD_COMMAND_HASH, ctx, argv, argc, 1);
    struct mod_args *a = &c.args;
    struct mod_block_list list;
    uint64_t block_size, from = 0;
    uint64_t *hashes = NULL;
    size_t n = 0;
    if (!mod_args_u64(a, 1, KVR_MAX_BLOCK_SIZE, &block_size) || !mod_blocks_parse(a, false, &list))
        return mod_call_bad_args(&c);
    const uint64_t *parent = mod_args_is(a, "FROM") ? &from : NULL;
    if ((parent && !mod_args_hash(a, &from)) || !mod_args_end(a) ||
        !mod_blocks_hashes(a, &list, (uint32_t)block_size, parent, &hashes, &n))
        return mod_call_bad_args(&c);
    if (!mod_blocks_are_tokens(&list)) {
        for (size_t i = 0; i < n; i++) {
            if (i > 0) hashes[i] = kvr_hash_chain(hashes[i - 1], hashes[i]);
            if (i == 0 && parent) hashes[i] = kvr_hash_chain(from, hashes[i]);
        }
    }
    RedisModule_ReplyWithArray(ctx, (long)n);
    for (size_t i = 0; i < n; i++)
        mod_reply_hex(ctx, hashes[i]);
    return mod_call_end(&c);
}
