// SPDX-License-Identifier: Apache-2.0
#include "scan_reply.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

// The names of a scan, kept because the next cursor stands before them in the reply.
struct scan_names {
    struct mod_arena *arena;
    struct kvr_bytes *at;
    size_t n, room;
    bool no_memory;
};

static void keep_name(void *ctx, struct kvr_bytes name) {
    struct scan_names *names = ctx;
    if (names->n == names->room) {
        size_t room = names->room ? 2 * names->room : 64;
        struct kvr_bytes *wider = mod_arena_array(names->arena, room, sizeof *wider);
        names->no_memory |= !wider;
        if (names->no_memory) return;
        if (names->n) memcpy(wider, names->at, names->n * sizeof *wider);
        names->at = wider;
        names->room = room;
    }
    names->at[names->n++] = name;
}

static void reply_name(struct mod_call *c, struct kvr_bytes name) {
    mod_reply_bytes(c->ctx, name);
}

int mod_scan_reply(struct mod_call *c, mod_scan_function *scan) {
    return mod_scan_reply_each(c, scan, reply_name);
}

int mod_scan_reply_each(struct mod_call *c, mod_scan_function *scan,
                        void (*item)(struct mod_call *c, struct kvr_bytes name)) {
    enum { SCAN_COUNT = 10, SCAN_MAX_COUNT = 10000 };
    struct mod_args *a = &c->args;
    uint64_t cursor = 0, count = SCAN_COUNT;
    bool counted = mod_args_is(a, "COUNT");
    if (!counted && mod_args_left(a)) {
        if (!mod_args_u64(a, 0, UINT64_MAX, &cursor)) return mod_call_bad_args(c);
        counted = mod_args_is(a, "COUNT");
    }
    if ((counted && !mod_args_u64(a, 1, UINT64_MAX, &count)) || !mod_args_end(a))
        return mod_call_bad_args(c);
    struct scan_names names = {.arena = a->arena};
    cursor =
        scan(c->pool, cursor, count > SCAN_MAX_COUNT ? SCAN_MAX_COUNT : count, keep_name, &names);
    if (names.no_memory) return mod_call_core_error(c, KVR_NOMEM);
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, cursor);
    RedisModule_ReplyWithArray(c->ctx, 2);
    mod_reply_text(c->ctx, text);
    RedisModule_ReplyWithArray(c->ctx, (long)names.n);
    for (size_t i = 0; i < names.n; i++)
        item(c, names.at[i]);
    return mod_call_end(c);
}
