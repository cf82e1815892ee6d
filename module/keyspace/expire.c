// SPDX-License-Identifier: Apache-2.0
// Ending what time has ended: leases, workers past their grace, predictions.
#include <time.h>

#include "expire.h"

int64_t mod_expire_clock(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

// What a replica replicates would go into its own AOF; and while clients are paused, or a failover
// is under way, a write would break the promise that nothing changes.
bool mod_expire_allowed(int flags) {
    const int not_now = REDISMODULE_CTX_FLAGS_LOADING | REDISMODULE_CTX_FLAGS_ASYNC_LOADING |
                        REDISMODULE_CTX_FLAGS_REPLICATED;
    return (flags & REDISMODULE_CTX_FLAGS_MASTER) && !(flags & not_now) &&
           !RedisModule_AvoidReplicaTraffic();
}

// Finding a worker that is due costs a look at each, so each pool is asked once a millisecond.
static bool next_worker(struct mod_value *v, int64_t now, struct kvr_bytes *name) {
    if (v->workers_asked == now) return false;
    if (kvr_due_worker(v->pool, now, name)) return true;
    v->workers_asked = now;
    return false;
}

bool mod_expire_any(struct mod_value *v, int64_t now) {
    struct kvr_bytes name;
    return kvr_due_request(v->pool, now, &name) || kvr_due_prediction(v->pool, now) ||
           kvr_due_session(v->pool, now, &name) || next_worker(v, now, &name);
}

static bool end_request(RedisModuleCtx *ctx, RedisModuleString *key, struct mod_value *v,
                        int64_t now) {
    struct kvr_bytes id;
    if (!kvr_due_request(v->pool, now, &id)) return false;
    RedisModuleString *copy = RedisModule_CreateString(ctx, id.p, id.n);
    id = mod_bytes_of(copy);
    kvr_release(v->pool, now, &id, 1, KVR_LAPSED);
    kvr_count_expired(v->pool, 1, 0);
    RedisModule_Replicate(ctx, "KVROUTE.RELEASE", "sscl", key, copy, "LAPSED", (long long)now);
    RedisModule_FreeString(ctx, copy);
    return true;
}

static bool end_worker(RedisModuleCtx *ctx, RedisModuleString *key, struct mod_value *v,
                       int64_t now) {
    struct kvr_bytes name;
    if (!next_worker(v, now, &name)) return false;
    RedisModuleString *copy = RedisModule_CreateString(ctx, name.p, name.n);
    enum kvr_err err = kvr_worker_del(v->pool, mod_bytes_of(copy));
    if (err == KVR_OK) {
        kvr_count_expired(v->pool, 0, 1);
        RedisModule_Replicate(ctx, "KVROUTE.WORKER", "css", "DEL", key, copy);
    }
    RedisModule_FreeString(ctx, copy);
    return err == KVR_OK;
}

static bool end_session(RedisModuleCtx *ctx, RedisModuleString *key, struct mod_value *v,
                        int64_t now) {
    struct kvr_bytes name;
    if (!kvr_due_session(v->pool, now, &name)) return false;
    RedisModuleString *copy = RedisModule_CreateString(ctx, name.p, name.n);
    name = mod_bytes_of(copy);
    kvr_session_del(v->pool, &name, 1);
    RedisModule_Replicate(ctx, "KVROUTE.SESSION", "css", "DEL", key, copy);
    RedisModule_FreeString(ctx, copy);
    return true;
}

static size_t end_predictions(RedisModuleCtx *ctx, RedisModuleString *key, struct mod_value *v,
                              int64_t now, size_t max) {
    if (!kvr_due_prediction(v->pool, now)) return 0;
    size_t n = kvr_forget(v->pool, now, max);
    if (n) RedisModule_Replicate(ctx, "KVROUTE.FORGET", "sll", key, (long long)now, (long long)n);
    return n;
}

bool mod_expire(RedisModuleCtx *ctx, RedisModuleString *name, struct mod_value *v, int64_t now,
                const struct mod_expire_limit *limit) {
    enum { PREDICTIONS = 256 };
    bool ended = false;
    for (size_t i = 0; i < limit->requests && end_request(ctx, name, v, now); i++) {
        ended = true;
        if (mod_expire_clock() > limit->until) break;
    }
    for (size_t i = 0; i < limit->workers && end_worker(ctx, name, v, now); i++) {
        ended = true;
        if (mod_expire_clock() > limit->until) break;
    }
    for (size_t i = 0; i < limit->requests && end_session(ctx, name, v, now); i++) {
        ended = true;
        if (mod_expire_clock() > limit->until) break;
    }
    for (size_t n = 0; n < limit->predictions;) {
        size_t gone = end_predictions(ctx, name, v, now, PREDICTIONS);
        if (gone == 0) break;
        n += gone;
        ended = true;
        if (mod_expire_clock() > limit->until) break;
    }
    if (ended) {
        RedisModule_SignalModifiedKey(ctx, name);
        RedisModule_NotifyKeyspaceEvent(ctx, REDISMODULE_NOTIFY_MODULE, "kvroute.expire", name);
    }
    return ended;
}
