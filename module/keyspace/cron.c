// SPDX-License-Identifier: Apache-2.0
// The timer: sweeps every pool and ends what is due, in slices.
//
// Sweeping frees memory and changes nothing that anyone can ask for, so every server does it for
// itself, at any time. Ending what is due is a write: a primary's business, and only where the key
// still holds the value that the registry knows.
#include <stdlib.h>

#include "cron.h"
#include "expire.h"
#include "keytype.h"
#include "registry.h"

enum {
    PERIOD = 50,      // ms between firings
    PERIOD_BUSY = 10, // the same while work is left over
    SLICE = 2000,     // µs a firing may take
    SWEEP_STEP = 128, // units of work between two looks at the clock
};

// Turns through the pools, the last one swept going on next time. Whether more is left.
static bool sweep(int64_t until) {
    bool more = false;
    mod_registry_lock();
    for (size_t left = mod_registry_count(); left > 0; left--) {
        struct mod_value *v = mod_registry_first();
        while ((more = kvr_pool_sweep(v->pool, SWEEP_STEP)) && mod_expire_clock() < until) {
        }
        if (more) break;
        mod_registry_rotate();
    }
    mod_registry_unlock();
    return more;
}

// Opens the key at which v should lie; settles only if it does. A key that has expired is deleted by
// the look at it, and v with it: so v is compared, never followed, until it has been found.
static void settle(RedisModuleCtx *ctx, struct mod_value *v, int db, RedisModuleString *name,
                   int64_t now, int64_t until) {
    struct mod_expire_limit limit = {SIZE_MAX, SIZE_MAX, SIZE_MAX, until};
    if (RedisModule_SelectDb(ctx, db) != REDISMODULE_OK) return;
    RedisModuleKey *key = RedisModule_OpenKey(ctx, name, REDISMODULE_READ | REDISMODULE_WRITE);
    if (!key) return;
    if (RedisModule_KeyType(key) == REDISMODULE_KEYTYPE_MODULE && mod_keytype_is(key) &&
        mod_keytype_value(key) == v)
        mod_expire(ctx, name, v, now, &limit);
    RedisModule_CloseKey(key);
}

// Whether more is left.
static bool settle_all(RedisModuleCtx *ctx, int64_t until) {
    int64_t now = RedisModule_Milliseconds();
    mod_registry_lock();
    size_t left = mod_registry_count();
    mod_registry_unlock();
    for (; left > 0; left--) {
        if (mod_expire_clock() > until) return true;
        mod_registry_lock();
        struct mod_value *v = mod_registry_rotate();
        bool due = v && v->placed && mod_expire_any(v, now);
        int db = due ? v->db : 0;
        RedisModuleString *name = due ? RedisModule_CreateString(ctx, v->name, v->name_len) : NULL;
        mod_registry_unlock();
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
    int64_t start = mod_expire_clock();
    bool more = false;
    if (mod_expire_allowed(RedisModule_GetContextFlags(ctx)))
        more = settle_all(ctx, start + SLICE / 2);
    more |= sweep(start + SLICE);
    RedisModule_CreateTimer(ctx, more ? PERIOD_BUSY : PERIOD, fire, NULL);
}

void mod_cron_start(RedisModuleCtx *ctx) {
    RedisModule_CreateTimer(ctx, PERIOD, fire, NULL);
}
