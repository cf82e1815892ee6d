// SPDX-License-Identifier: Apache-2.0
#include "router_pools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/common/log.h"
#include "client/router/router.h"
#include "client/router/router_exchange.h"

enum { POOL_RETIRE_REFRESHES = 3 }; // a retired pool is closed when it was quiet for so many

struct router_pools {
    struct router *router;
    struct router_pool *first, *retired;
    char redis[1024]; // of the handles
    int64_t deadline;
    struct event *refresh, *renew;
};

// ---- Refreshing ---------------------------------------------------------------------------------

static void close_retired(struct router_pools *s) {
    for (struct router_pool **at = &s->retired; *at;) {
        struct router_pool *p = *at;
        struct kvr_client_stats st;
        router_pool_retry_releases(p);
        kvr_client_stats(p->client, &st);
        p->quiet = p->uses || p->refused || st.pending ? 0 : p->quiet + 1;
        if (p->quiet < POOL_RETIRE_REFRESHES) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        kvr_log_line(KVR_LOG_INFO, "pool %s: closed", p->options.name);
        router_pool_close(p);
    }
}

static void arm(struct event *timer, int64_t ms) {
    struct timeval t = kvr_timeval(ms);
    event_add(timer, &t);
}

static void on_refresh(evutil_socket_t fd, short what, void *arg) {
    struct router_pools *s = arg;
    bool seen = true;
    (void)fd;
    (void)what;
    for (struct router_pool *p = s->first; p; p = p->next) {
        router_pool_retry_releases(p);
        router_pool_refresh(p);
        seen = seen && p->seen_us;
    }
    close_retired(s);
    // At the start sooner, so that it is ready soon.
    int64_t ms = s->router->config.refresh;
    arm(s->refresh, seen || ms < 100 ? ms : 100);
}

// ---- Engines of our own --------------------------------------------------------------------------

static void on_renewed(void *ctx, const struct kvr_result *r) {
    if (!r->degraded) router_pool_answered(ctx, ROUTER_POOL_REGISTRATIONS, r);
}

static void on_renew(evutil_socket_t fd, short what, void *arg) {
    struct router_pools *s = arg;
    const struct router_config *o = &s->router->config;
    (void)fd;
    (void)what;
    for (size_t i = 0; i < o->n_engines; i++) {
        const struct router_engine_config *g = &o->engines[i];
        struct router_pool *p = router_pools_named(s, g->pool);
        struct kvr_worker_call call = {.worker = kvr_text(g->name),
                                       .addr = kvr_text(g->url),
                                       .set = KVR_WORKER_ADDR | KVR_WORKER_RANKS | KVR_WORKER_TTL,
                                       .ranks = g->ranks,
                                       .ttl = o->ttl};
        if (g->capacity) {
            call.set |= KVR_WORKER_CAPACITY;
            call.capacity = g->capacity;
        }
        if (p) router_pool_count(p, kvr_client_worker_set_async(p->client, &call, on_renewed, p));
    }
    arm(s->renew, o->ttl / 3);
}

// ---- Opening -------------------------------------------------------------------------------------

// The open pool that these options would open again.
static struct router_pool **find_same(struct router_pools *s, const struct router_pool_config *po) {
    for (struct router_pool **at = &s->first; *at; at = &(*at)->next)
        if (strcmp((*at)->options.name, po->name) == 0 &&
            strcmp((*at)->options.key, po->key) == 0 &&
            strcmp((*at)->options.create, po->create) == 0)
            return at;
    return NULL;
}

bool router_pools_reload(struct router_pools *s, char *error, size_t error_size) {
    const struct router_config *o = &s->router->config;
    struct router_pool **fresh = calloc(o->n_pools, sizeof *fresh), *all = NULL, **end = &all;
    bool same = strcmp(s->redis, o->redis) == 0 && s->deadline == o->deadline, good = fresh != NULL;
    for (size_t i = 0; good && i < o->n_pools; i++)
        if (!same || !find_same(s, &o->pools[i]))
            good =
                (fresh[i] = router_pool_open(s->router, &o->pools[i], error, error_size)) != NULL;
    for (size_t i = 0; !good && fresh && i < o->n_pools; i++)
        if (fresh[i]) router_pool_close(fresh[i]);
    for (size_t i = 0; good && i < o->n_pools; i++) {
        struct router_pool **at = fresh[i] ? NULL : find_same(s, &o->pools[i]), *p = fresh[i];
        if (at) {
            p = *at;
            *at = p->next;
            p->options = o->pools[i];
        }
        *end = p;
        end = &p->next;
        p->next = NULL;
    }
    free(fresh);
    if (!good) return false;
    while (s->first) {
        struct router_pool *p = s->first;
        s->first = p->next;
        p->next = s->retired;
        s->retired = p;
    }
    s->first = all;
    snprintf(s->redis, sizeof s->redis, "%s", o->redis);
    s->deadline = o->deadline;
    event_active(s->renew, EV_TIMEOUT, 0);
    event_active(s->refresh, EV_TIMEOUT, 0);
    return true;
}

struct router_pools *router_pools_new(struct router *r, char *error, size_t error_size) {
    struct router_pools *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->router = r;
    s->refresh = event_new(r->base, -1, 0, on_refresh, s);
    s->renew = event_new(r->base, -1, 0, on_renew, s);
    if (s->refresh && s->renew && router_pools_reload(s, error, error_size)) return s;
    router_pools_free(s);
    return NULL;
}

void router_pools_free(struct router_pools *s) {
    if (!s) return;
    struct router_pool *lists[] = {s->first, s->retired};
    for (size_t i = 0; i < 2; i++)
        for (struct router_pool *p = lists[i], *next; p; p = next) {
            next = p->next;
            router_pool_close(p);
        }
    if (s->refresh) event_free(s->refresh);
    if (s->renew) event_free(s->renew);
    free(s);
}

bool router_pools_settled(const struct router_pools *s) {
    const struct router_pool *lists[] = {s->first, s->retired};
    for (size_t i = 0; i < 2; i++)
        for (const struct router_pool *p = lists[i]; p; p = p->next)
            if (!router_pool_settled(p)) return false;
    return true;
}

// ---- Finding -------------------------------------------------------------------------------------

struct router_pool *router_pools_first(const struct router_pools *s) {
    return s->first;
}

struct router_pool *router_pools_named(const struct router_pools *s, const char *name) {
    for (struct router_pool *p = s->first; p; p = p->next)
        if (strcmp(p->options.name, name) == 0) return p;
    return NULL;
}

static bool lists(const char *models, const char *model) {
    size_t n = strlen(model);
    for (const char *m = models; *m; m += strspn(m, " ")) {
        size_t len = strcspn(m, " ");
        if (len == n && memcmp(m, model, n) == 0) return true;
        m += len;
    }
    return false;
}

struct router_pool *router_pools_for(const struct router_pools *s, const char *model) {
    struct router_pool *any = NULL;
    for (struct router_pool *p = s->first; p; p = p->next) {
        if (model && lists(p->options.models, model)) return p;
        if (!any && (!*p->options.models || lists(p->options.models, "*"))) any = p;
    }
    return any || model ? any : s->first && !s->first->next ? s->first : NULL;
}

void router_pools_take(struct router_exchange *x, struct router_pool *p) {
    x->pool = p;
    p->uses++;
}

void router_pools_give_back(struct router_exchange *x) {
    if (x->pool) x->pool->uses--;
    x->pool = NULL;
}
