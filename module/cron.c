// SPDX-License-Identifier: Apache-2.0
// The timer: sweeps every pool and ends what is due, in slices.
//
// Sweeping frees memory and changes nothing that anyone can ask for, so every server does it for
// itself, at any time. Ending what is due is a write: a primary's business, and only where the key
// still holds the value that the registry knows.
#include <stdlib.h>

#include "cron.h"
#include "due.h"
#include "keytype.h"
#include "value.h"

enum {
    PERIOD = 50,      // ms between firings
    PERIOD_BUSY = 10, // the same while work is left over
    SLICE = 2000,     // µs a firing may take
    SWEEP_STEP = 128, // units of work between two looks at the clock
};

// Turns through the pools, the last one swept going on next time. Whether more is left.
static bool sweep(int64_t until) {
    bool more = false;
    registry_lock();
    for (size_t left = registry_count(); left > 0; left--) {
        struct value *v = registry_first();
        while ((more = kvr_pool_sweep(v->pool, SWEEP_STEP)) && due_clock() < until) {
        }
        if (more) break;
        registry_turn();
    }
    registry_unlock();
    return more;
}

// Opens the key at which v should lie; settles only if it does. A key that has expired is deleted by
// the look at it, and v with it: so v is compared, never followed, until it has been found.
static void settle(RedisModuleCtx *ctx, struct value *v, int db, RedisModuleString *name,
                   int64_t now, int64_t until) {
    struct due_limit limit = {SIZE_MAX, SIZE_MAX, SIZE_MAX, until};
    if (RedisModule_SelectDb(ctx, db) != REDISMODULE_OK) return;
    RedisModuleKey *key = RedisModule_OpenKey(ctx, name, REDISMODULE_READ | REDISMODULE_WRITE);
    if (!key) return;
    if (RedisModule_KeyType(key) == REDISMODULE_KEYTYPE_MODULE && keytype_is(key) &&
        keytype_value(key) == v)
        due_settle(ctx, name, v, now, &limit);
    RedisModule_CloseKey(key);
}

// Whether more is left.
static bool settle_all(RedisModuleCtx *ctx, int64_t until) {
    int64_t now = RedisModule_Milliseconds();
    registry_lock();
    size_t left = registry_count();
    registry_unlock();
    for (; left > 0; left--) {
        if (due_clock() > until) return true;
        registry_lock();
        struct value *v = registry_turn();
        bool due = v && v->placed && due_any(v, now);
        int db = due ? v->db : 0;
        RedisModuleString *name = due ? RedisModule_CreateString(ctx, v->name, v->name_len) : NULL;
        registry_unlock();
        // The lock is not held while a key is open: opening may free a value.
        if (due) {
            settle(ctx, v, db, name, now, until);
            RedisModule_FreeString(ctx, name);
        }
    }
    return false;
}

static void fire(RedisModuleCtx *ctx, void *data) {
    (void)data;
    int64_t start = due_clock();
    bool more = false;
    if (due_may_settle(RedisModule_GetContextFlags(ctx))) more = settle_all(ctx, start + SLICE / 2);
    more |= sweep(start + SLICE);
    RedisModule_CreateTimer(ctx, more ? PERIOD_BUSY : PERIOD, fire, NULL);
}

void cron_start(RedisModuleCtx *ctx) {
    RedisModule_CreateTimer(ctx, PERIOD, fire, NULL);
}
