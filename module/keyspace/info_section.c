// SPDX-License-Identifier: Apache-2.0
// The section `kvroute` of the server's INFO: all pools together, and what this server was asked.
#include <ctype.h>
#include <stdio.h>

#include "counters.h"
#include "info_section.h"
#include "registry.h"

struct total {
    uint64_t pools, workers, instances, blocks, holdings, requests, waiting, memory_bytes;
};

static void add_all(struct total *t) {
    int64_t now = RedisModule_Milliseconds();
    mod_registry_lock();
    for (struct mod_value *v = mod_registry_first(); v; v = mod_registry_next(v)) {
        if (!v->placed) continue; // deleted, waiting to be freed
        struct kvr_stats s;
        kvr_pool_stats(v->pool, now, &s);
        t->pools++;
        t->workers += s.workers;
        t->instances += s.instances;
        t->blocks += s.blocks;
        t->holdings += s.holdings;
        t->requests += s.requests;
        t->waiting += s.waiting;
        t->memory_bytes += mod_value_memory(v, now);
    }
    mod_registry_unlock();
}

// A crash report may come while the lock is held or the heap is broken: then nothing is said.
static void info(RedisModuleInfoCtx *ctx, int for_crash_report) {
    if (for_crash_report) return;
    if (RedisModule_InfoAddSection(ctx, "") != REDISMODULE_OK) return;
    struct total t = {0};
    add_all(&t);
    RedisModule_InfoAddFieldCString(ctx, "version", KVROUTE_VERSION);
    RedisModule_InfoAddFieldULongLong(ctx, "pools", t.pools);
    RedisModule_InfoAddFieldULongLong(ctx, "workers", t.workers);
    RedisModule_InfoAddFieldULongLong(ctx, "instances", t.instances);
    RedisModule_InfoAddFieldULongLong(ctx, "blocks", t.blocks);
    RedisModule_InfoAddFieldULongLong(ctx, "holdings", t.holdings);
    RedisModule_InfoAddFieldULongLong(ctx, "requests", t.requests);
    RedisModule_InfoAddFieldULongLong(ctx, "waiting", t.waiting);
    RedisModule_InfoAddFieldULongLong(ctx, "memory_bytes", t.memory_bytes);
    char name[32];
    for (int i = 0; i < MOD_COMMANDS; i++) {
        snprintf(name, sizeof name, "calls_%s", mod_command_names[i]);
        RedisModule_InfoAddFieldULongLong(ctx, name, mod_counts.calls[i]);
    }
    for (int i = 0; i < MOD_ERRORS; i++) {
        snprintf(name, sizeof name, "errors_%s", mod_error_codes[i]);
        for (char *p = name; *p; p++)
            *p = (char)tolower((unsigned char)*p);
        RedisModule_InfoAddFieldULongLong(ctx, name, mod_counts.errors[i]);
    }
}

int mod_info_register(RedisModuleCtx *ctx) {
    return RedisModule_RegisterInfoFunc(ctx, info);
}
