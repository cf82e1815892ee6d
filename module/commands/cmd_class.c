// SPDX-License-Identifier: Apache-2.0
// Classes of those who wait: CLASS SET, DEL, LIST.
#include <stddef.h>
#include <string.h>

#include "commands.h"
#include "module/command_io/replicate.h"

struct class_args {
    struct kvr_class_info info;
    int64_t priority;
};

#define FIELD(name) .at = offsetof(struct class_args, name)
// In the order of kvr_class_set's bits.
static const struct mod_option set_options[] = {
    {"PRIORITY", MOD_OPTION_SIGNED, FIELD(priority), -KVR_MAX_PRIORITY, KVR_MAX_PRIORITY},
    {"WEIGHT", MOD_OPTION_DOUBLE, FIELD(info.weight), 0, KVR_MAX_SHARE},
    {"WAITING", MOD_OPTION_U64, FIELD(info.max_waiting), 0, 0x1p53},
    {"ROOM", MOD_OPTION_U64, FIELD(info.room), 0, 100},
};
#undef FIELD
enum { CLASS_OPTIONS = sizeof set_options / sizeof *set_options };
_Static_assert(KVR_CLASS_PRIORITY == 1 && KVR_CLASS_ROOM == 1 << (CLASS_OPTIONS - 1),
               "bits by row");

static bool same(struct kvr_bytes a, struct kvr_bytes b) {
    return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

// KVROUTE.CLASS SET key class [PRIORITY p] [WEIGHT w] [WAITING n] [ROOM percent]
int cmd_class_set(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_CLASS_SET, ctx, argv, argc, 2, MOD_FOR_WRITE))
        return REDISMODULE_OK;
    struct kvr_bytes name;
    struct class_args k = {.priority = 0};
    unsigned seen;
    int created = 0;
    if (!mod_args_name(&c.args, KVR_MAX_ID, &name) ||
        !mod_args_options(&c.args, set_options, CLASS_OPTIONS, &k, &seen))
        return mod_call_bad_args(&c);
    if (c.full && !kvr_class_known(c.pool, name)) return mod_call_refuse_growth(&c);
    k.info.priority = (int)k.priority;
    uint64_t version = kvr_pool_version(c.pool);
    enum kvr_err err = kvr_class_set(c.pool, name, seen, &k.info, &created);
    if (err != KVR_OK) return mod_call_core_error(&c, err);
    RedisModule_ReplyWithLongLong(ctx, created);
    if (kvr_pool_version(c.pool) != version) {
        mod_replicate(&c, "KVROUTE.CLASS");
        mod_call_changed(&c, "kvroute.class.set");
    }
    return mod_call_end(&c);
}

// KVROUTE.CLASS DEL key class
int cmd_class_del(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_CLASS_DEL, ctx, argv, argc, 2, MOD_FOR_WRITE))
        return REDISMODULE_OK;
    struct kvr_bytes name;
    int deleted = 0;
    if (!mod_args_bytes(&c.args, &name) || !mod_args_end(&c.args)) return mod_call_bad_args(&c);
    if (same(name, (struct kvr_bytes){"default", 7}))
        return mod_call_error(&c, MOD_ERROR_ERR, "the class of those who name none stays");
    enum kvr_err err = kvr_class_del(c.pool, name, &deleted);
    if (err != KVR_OK) return mod_call_core_error(&c, err);
    RedisModule_ReplyWithLongLong(ctx, deleted);
    if (deleted) {
        mod_replicate(&c, "KVROUTE.CLASS");
        mod_call_changed(&c, "kvroute.class.del");
    }
    return mod_call_end(&c);
}

// KVROUTE.CLASS LIST key
int cmd_class_list(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    struct mod_call c;
    if (!mod_call_pool(&c, MOD_COMMAND_CLASS_LIST, ctx, argv, argc, 2, MOD_FOR_READ))
        return REDISMODULE_OK;
    if (!mod_args_end(&c.args)) return mod_call_bad_args(&c);
    size_t n = kvr_class_count(c.pool);
    struct kvr_class_info *all = mod_arena_array(c.args.arena, n, sizeof *all);
    if (!all) return mod_call_core_error(&c, KVR_NOMEM);
    kvr_classes(c.pool, c.now, all);
    RedisModule_ReplyWithArray(ctx, (long)n);
    for (const struct kvr_class_info *k = all; k < all + n; k++) {
        RedisModule_ReplyWithMap(ctx, 10);
        mod_field_bytes(ctx, "class", k->name);
        mod_field_int(ctx, "priority", k->priority);
        mod_field_double(ctx, "weight", k->weight);
        mod_field_u64(ctx, "waiting", k->waiting);
        mod_field_u64(ctx, "tokens", k->tokens);
        mod_field_int(ctx, "oldest", k->oldest);
        mod_field_u64(ctx, "admitted", k->admitted);
        mod_field_u64(ctx, "refused", k->refused);
        mod_field_u64(ctx, "max_waiting", k->max_waiting);
        mod_field_u64(ctx, "room", k->room);
    }
    return mod_call_end(&c);
}
