// SPDX-License-Identifier: Apache-2.0
// The timer: sweeps every pool, ends what is due, admits who waits and takes digests, in slices.
//
// Sweeping frees memory and changes nothing that anyone can ask for, so every server does it for
// itself, at any time. Ending what is due and admitting are writes: a primary's business, and only where the key
// still holds the value that the registry knows.
//
// The timer runs while there are pools, or somebody waits for the digest of one that has just gone. It isn't
// started as the module is loaded: that may fail after all (a setting that nobody knows), and Redis 8 would go on
// to call a timer of a module that is gone.
#include <stdlib.h>

#include "admission.h"
#include "cron.h"
#include "digest_slices.h"
#include "expire.h"
#include "find_moved.h"
#include "keytype.h"
#include "registry.h"
#include "server_clock.h"
#include "slot_import.h"
#include "wakeup.h"

enum {
    PERIOD = 50,       // ms between firings
    PERIOD_DIGEST = 2, // the same while somebody waits for a digest
    PERIOD_BUSY = 10,  // the same while work is left over, or will be before the next firing
    OVERDUE = 1000000, // µs without a firing: the timer is lost
    SLICE = 2000,      // µs a firing may take
    SWEEP_STEP = 128,  // units of work between two looks at the clock
    ADMIT_LOOKS = 64,  // the same for admission
};

// Turns through the pools, the last one swept going on next time. Whether more is left.
static bool sweep(int64_t until) {
    bool more = false;
    mod_registry_lock();
    for (size_t left = mod_registry_count(); left > 0; left--) {
        struct mod_value *v = mod_registry_first();
        while ((more = kvr_pool_sweep(v->pool, SWEEP_STEP)) && mod_server_steady() < until) {
        }
        if (more) break;
        mod_registry_rotate();
    }
    mod_registry_unlock();
    return more;
}

static void admit(RedisModuleCtx *ctx, struct mod_value *v, RedisModuleString *name, int64_t now,
                  int64_t until) {
    while (kvr_admit_left(v->pool, now) && mod_server_steady() < until) {
        size_t looks = ADMIT_LOOKS;
        mod_admit(ctx, name, v, now, &looks, (struct kvr_bytes){NULL, 0});
    }
}

// Opens the key at which v should lie; settles only if it does. A key that has expired is deleted by
// the look at it, and v with it: so v is compared, never followed, until it has been found.
static void settle(RedisModuleCtx *ctx, struct mod_value *v, int db, RedisModuleString *name,
                   int64_t now, int64_t until) {
    if (RedisModule_SelectDb(ctx, db) != REDISMODULE_OK) return;
    RedisModuleKey *key = RedisModule_OpenKey(ctx, name, REDISMODULE_READ | REDISMODULE_WRITE);
    if (!key) return;
    if (RedisModule_KeyType(key) == REDISMODULE_KEYTYPE_MODULE && mod_keytype_is(key) &&
        mod_keytype_value(key) == v) {
        mod_expire(ctx, name, v, now, until);
        admit(ctx, v, name, now, until);
    }
    RedisModule_CloseKey(key);
}

// Whether more is left.
static bool settle_all(RedisModuleCtx *ctx, int64_t now, int64_t until) {
    mod_registry_lock();
    size_t left = mod_registry_count();
    mod_registry_unlock();
    for (; left > 0; left--) {
        mod_registry_lock();
        struct mod_value *v = mod_registry_rotate();
        bool due = v && v->placed && (mod_expire_any(v, now) || kvr_admit_left(v->pool, now));
        int db = due ? v->db : 0;
        RedisModuleString *name = due ? RedisModule_CreateString(ctx, v->name, v->name_len) : NULL;
        mod_registry_unlock();
        // The lock is not held while a key is open: opening may free a value.
        if (due) {
            if (!mod_slot_import_has(name)) settle(ctx, v, db, name, now, until);
            RedisModule_FreeString(ctx, name);
        }
        if (mod_server_steady() > until) return true;
    }
    return false;
}

// Whether the queue of a pool will have something to do by then.
static bool queues_due(int64_t by) {
    bool due = false;
    mod_registry_lock();
    for (struct mod_value *v = mod_registry_first(); v && !due; v = mod_registry_next(v))
        due = v->placed && (kvr_due_waiting(v->pool, by) || kvr_admit_left(v->pool, by));
    mod_registry_unlock();
    return due;
}

static bool running;
static int64_t fired; // mod_server_steady at the last firing

static bool any_pools(void) {
    mod_registry_lock();
    bool any = mod_registry_count() > 0;
    mod_registry_unlock();
    return any;
}

static void fire(RedisModuleCtx *ctx) {
    running = any_pools();
    bool digests = mod_digest_slice();
    if (!running) return;
    int64_t start = mod_server_steady(), now = mod_server_time();
    bool more = false;
    mod_find_moved(ctx);
    if (mod_expire_allowed(RedisModule_GetContextFlags(ctx)))
        more = settle_all(ctx, now, start + SLICE / 2) || queues_due(now + PERIOD);
    more |= sweep(start + SLICE);
    fired = start;
    mod_wakeup_after(ctx, digests ? PERIOD_DIGEST : more ? PERIOD_BUSY : PERIOD, fire);
}

// The server keeps a module's timers by the date: set back by an hour, it fires none for an hour. Its own cron
// runs steadily, and sees to it.
static void on_cron_loop(RedisModuleCtx *ctx, RedisModuleEvent event, uint64_t sub, void *data) {
    (void)event;
    (void)sub;
    (void)data;
    if (running && mod_server_steady() - fired >= OVERDUE) {
        fire(ctx);
    } else if (!running && (any_pools() || mod_digest_waits())) {
        running = true;
        fired = mod_server_steady();
        mod_wakeup_after(ctx, PERIOD_BUSY, fire);
    }
}

int mod_cron_start(RedisModuleCtx *ctx) {
    return RedisModule_SubscribeToServerEvent(ctx, RedisModuleEvent_CronLoop, on_cron_loop);
}
