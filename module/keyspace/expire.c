// SPDX-License-Identifier: Apache-2.0
#include "expire.h"

#include "blocked_callers.h"
#include "module/core/decisions/decision_log.h"
#include "server_clock.h"

// What a replica replicates would go into its own AOF; and while clients are paused, or a failover
// is under way, a write would break the promise that nothing changes.
bool mod_expire_allowed(int flags) {
    const int not_now = REDISMODULE_CTX_FLAGS_LOADING | REDISMODULE_CTX_FLAGS_ASYNC_LOADING |
                        REDISMODULE_CTX_FLAGS_REPLICATED;
    return (flags & REDISMODULE_CTX_FLAGS_MASTER) && !(flags & not_now) &&
           !RedisModule_AvoidReplicaTraffic();
}

bool mod_expire_any(struct mod_value *v, int64_t now) {
    struct kvr_bytes name;
    return kvr_due_request(v->pool, now, &name) || kvr_due_prediction(v->pool, now) ||
           kvr_due_session(v->pool, now, &name) || kvr_due_waiting(v->pool, now) || v->left ||
           kvr_due_worker(v->pool, now, &name);
}

// What is ended together is one change and one effect: a command of many names costs little more than one of one.
enum { MAX_ENDED = 64, MAX_FORGOTTEN = 16 };
struct ended_names {
    RedisModuleCtx *ctx;
    RedisModuleString *at[MAX_ENDED];
    size_t n;
    const struct mod_value *logged; // where ends of requests are logged, as of `now`
    int64_t now;
};

static void add_name(void *ctx, struct kvr_bytes name) {
    struct ended_names *e = ctx;
    if (e->logged && e->logged->decisions)
        kvr_decision_log_ended(e->logged->decisions, e->logged->pool, e->now, name, true);
    e->at[e->n++] = RedisModule_CreateString(e->ctx, name.p, name.n);
}

static void free_names(struct ended_names *e) {
    for (size_t i = 0; i < e->n; i++)
        RedisModule_FreeString(e->ctx, e->at[i]);
}

static void replicate_end(RedisModuleCtx *ctx, RedisModuleString *key, struct ended_names *e,
                          int64_t now) {
    RedisModule_Replicate(ctx, "KVROUTE.RELEASE", "svcl", key, e->at, e->n, "LAPSED",
                          (long long)now);
}

static size_t end_requests(RedisModuleCtx *ctx, RedisModuleString *key, struct mod_value *v,
                           int64_t now) {
    struct ended_names e = {.ctx = ctx, .logged = v, .now = now};
    if (!kvr_end_requests(v->pool, now, MAX_ENDED, add_name, &e)) return 0;
    kvr_count_expired(v->pool, e.n, 0);
    replicate_end(ctx, key, &e, now);
    free_names(&e);
    return e.n;
}

static size_t end_waiting(RedisModuleCtx *ctx, RedisModuleString *key, struct mod_value *v,
                          int64_t now) {
    struct ended_names e = {.ctx = ctx};
    if (!kvr_due_waiting(v->pool, now) || !kvr_end_waiting(v->pool, now, MAX_ENDED, add_name, &e))
        return 0;
    replicate_end(ctx, key, &e, now);
    for (size_t i = 0; i < e.n && v->callers; i++)
        mod_callers_no_room(v, mod_bytes_of(e.at[i]), now);
    free_names(&e);
    return e.n;
}

// Requests whose callers have gone.
static size_t end_left(RedisModuleCtx *ctx, RedisModuleString *key, struct mod_value *v,
                       int64_t now) {
    struct ended_names e = {.ctx = ctx};
    struct kvr_bytes ids[MAX_ENDED];
    while (e.n < MAX_ENDED && (e.at[e.n] = mod_callers_next_left(v))) {
        ids[e.n] = mod_bytes_of(e.at[e.n]);
        e.n++;
    }
    if (!e.n) return 0;
    if (kvr_release(v->pool, now, ids, e.n, KVR_LAPSED)) replicate_end(ctx, key, &e, now);
    free_names(&e);
    return e.n;
}

static size_t end_worker(RedisModuleCtx *ctx, RedisModuleString *key, struct mod_value *v,
                         int64_t now) {
    struct kvr_bytes name;
    if (!kvr_due_worker(v->pool, now, &name)) return 0;
    RedisModuleString *copy = RedisModule_CreateString(ctx, name.p, name.n);
    enum kvr_err err = kvr_worker_del(v->pool, mod_bytes_of(copy));
    if (err == KVR_OK) {
        kvr_count_expired(v->pool, 0, 1);
        RedisModule_Replicate(ctx, "KVROUTE.WORKER", "css", "DEL", key, copy);
    }
    RedisModule_FreeString(ctx, copy);
    return err == KVR_OK;
}

static size_t end_sessions(RedisModuleCtx *ctx, RedisModuleString *key, struct mod_value *v,
                           int64_t now) {
    struct ended_names e = {.ctx = ctx};
    if (!kvr_end_sessions(v->pool, now, MAX_ENDED, add_name, &e)) return 0;
    RedisModule_Replicate(ctx, "KVROUTE.SESSION", "csv", "DEL", key, e.at, e.n);
    free_names(&e);
    return e.n;
}

static size_t end_predictions(RedisModuleCtx *ctx, RedisModuleString *key, struct mod_value *v,
                              int64_t now) {
    if (!kvr_due_prediction(v->pool, now)) return 0;
    size_t n = kvr_forget(v->pool, now, MAX_FORGOTTEN);
    RedisModule_Replicate(ctx, "KVROUTE.FORGET", "sll", key, (long long)now, (long long)n);
    return n;
}

bool mod_expire(RedisModuleCtx *ctx, RedisModuleString *name, struct mod_value *v, int64_t now,
                int64_t until) {
    static size_t (*const kinds[])(RedisModuleCtx *, RedisModuleString *, struct mod_value *,
                                   int64_t) = {end_requests, end_left,     end_waiting,
                                               end_worker,   end_sessions, end_predictions};
    bool ended = false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        while (kinds[i](ctx, name, v, now)) {
            ended = true;
            if (mod_server_steady() > until) break;
        }
    if (ended) {
        RedisModule_SignalModifiedKey(ctx, name);
        RedisModule_NotifyKeyspaceEvent(ctx, REDISMODULE_NOTIFY_MODULE, "kvroute.expire", name);
    }
    return ended;
}
