// SPDX-License-Identifier: Apache-2.0
#include "router_own_engines.h"

#include <stdlib.h>

#include "client/common/clock.h"
#include "client/common/log.h"
#include "client/router/router.h"
#include "router_asked_engine.h"
#include "router_pools.h"

struct own_engine {
    struct router_own_engines *set;
    struct router_engine_config given;
    struct router_asked_engine asked;
    bool has_part; // a role other than both was told
};

struct router_own_engines {
    struct router *router;
    struct event *tick;
    struct own_engine **all; // each for itself: probes know where they are
    size_t n;
};

static struct router_pool *pool_of(const struct own_engine *g) {
    return router_pools_named(g->set->router->pools, g->given.pool);
}

// ---- The worker ----------------------------------------------------------------------------------

// What isn't known isn't told. A module that knows no roles takes engines of which none is told.
static void renew(struct own_engine *g, struct router_pool *p) {
    const struct router_engine_config *c = &g->given;
    const struct router_asked_engine *a = &g->asked;
    uint32_t ranks = c->ranks ? c->ranks : a->ranks;
    int64_t capacity =
        c->capacity ? c->capacity : engine_probe_blocks(a->cache_tokens, p->block_size);
    enum kvr_role role = c->role == ENGINE_ROLE_ASK ? a->role : (enum kvr_role)c->role;
    g->has_part |= role != KVR_ROLE_BOTH;
    struct kvr_worker_call call = {
        .worker = kvr_text(c->name),
        .addr = kvr_text(c->url),
        .set = KVR_WORKER_ADDR | KVR_WORKER_TTL | (ranks ? KVR_WORKER_RANKS : 0) |
               (capacity ? KVR_WORKER_CAPACITY : 0) | (g->has_part ? KVR_WORKER_ROLE : 0),
        .ranks = ranks,
        .capacity = capacity,
        .role = role,
        .ttl = g->set->router->config.ttl};
    router_pool_count(p, kvr_client_worker_set_async(p->client, &call, router_pool_registered, p));
}

static unsigned wishes(const struct router_engine_config *c) {
    return (c->ranks ? 0 : ENGINE_PROBE_RANKS) | (c->capacity ? 0 : ENGINE_PROBE_CACHE) |
           (c->role == ENGINE_ROLE_ASK ? ENGINE_PROBE_KIND | ENGINE_PROBE_ROLE : 0);
}

static void on_asked(void *ctx) {
    struct own_engine *g = ctx;
    struct router_pool *p = pool_of(g);
    if (!p || g->set->router->replaced) return;
    router_asked_engine_compare(&g->asked, p, g->given.url);
    renew(g, p);
}

static void renew_all(struct router_own_engines *s) {
    const struct router_config *o = &s->router->config;
    struct timeval t = kvr_timeval(o->ttl / 3);
    // Whoever is in this one's place says which engines there are now.
    if (s->router->replaced) return;
    for (size_t i = 0; i < s->n; i++) {
        struct own_engine *g = s->all[i];
        struct router_pool *p = pool_of(g);
        if (!p) continue;
        renew(g, p);
        if (o->learn) router_asked_engine_tick(&g->asked);
    }
    event_add(s->tick, &t);
}

static void on_tick(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    renew_all(arg);
}

// ---- Coming and going ----------------------------------------------------------------------------

static struct own_engine *new_engine(struct router_own_engines *s,
                                     const struct router_engine_config *given) {
    struct own_engine *g = calloc(1, sizeof *g);
    if (!g) return NULL;
    g->set = s;
    g->given = *given;
    router_asked_engine_open(&g->asked, s->router->upstream, given->url, wishes(given), on_asked,
                             g);
    return g;
}

static void drop_engines(struct router_own_engines *s) {
    while (s->n) {
        struct own_engine *g = s->all[--s->n];
        router_asked_engine_close(&g->asked);
        free(g);
    }
    free(s->all);
    s->all = NULL;
}

void router_own_engines_reload(struct router_own_engines *s) {
    const struct router_config *o = &s->router->config;
    drop_engines(s);
    s->all = calloc(o->n_engines + 1, sizeof(struct own_engine *));
    for (size_t i = 0; s->all && i < o->n_engines; i++)
        if ((s->all[s->n] = new_engine(s, &o->engines[i]))) s->n++;
    if (s->n < o->n_engines) kvr_log_line(KVR_LOG_ERROR, "no memory for all engines");
    renew_all(s); // before the pools are asked who is in them
}

struct router_own_engines *router_own_engines_new(struct router *r) {
    struct router_own_engines *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->router = r;
    s->tick = event_new(r->base, -1, 0, on_tick, s);
    if (!s->tick) {
        free(s);
        return NULL;
    }
    router_own_engines_reload(s);
    return s;
}

void router_own_engines_free(struct router_own_engines *s) {
    if (!s) return;
    drop_engines(s);
    event_free(s->tick);
    free(s);
}
