// SPDX-License-Identifier: Apache-2.0
#include "router_shared_engines.h"

#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "client/common/clock.h"
#include "client/common/list.h"
#include "client/common/log.h"
#include "client/router/router.h"
#include "router_asked_engine.h"
#include "router_labels.h"
#include "router_pools.h"

enum {
    SHARED_TTLS = 3,
    SHARED_TICK_MS = 200,
    SHARED_STABLE = 3, // a description is said again when it has been seen for so many refreshes
    SHARED_GONE_MS =
        30000, // one that didn't leave may have been lost with all else, and be said again
    SHARED_OTHERS_MS = 10000 // and a worker removed for a router that may be gone
};

struct shared_engine {
    struct kvr_list_item link; // of all, in the order of the pools' lists
    struct router_shared_engines *set;
    char pool[sizeof((struct router_pool_config *)0)->name];
    char name[KVR_MAX_NAME + 1], url[KVR_MAX_ADDR + 1];
    struct engine_probe *probe; // NULL: its address can't be asked
    const char *trouble;
    bool leaving, own; // own: this router removes it
    bool deleted;      // it has: the last word of its handle
    int64_t since;     // ms, when `seen` or `leaving` was first seen
    int64_t gone_at;   // ms, when it was first missed; 0: it is there
    uint64_t seen;     // a hash of its description in the pool
    uint64_t said;     // the same of what this router has said; 0: nothing, or it was forgotten
};

struct router_shared_engines {
    struct router *router;
    struct event *tick;
    struct kvr_list_item all, gone; // gone: to be forgotten by the pool's handle
};

int64_t router_shared_engines_ttl(const struct router *r) {
    return r->config.ttl * SHARED_TTLS;
}

// The pool and the worker as last seen; NULL: it isn't there.
static struct router_worker *worker_of(const struct shared_engine *g, struct router_pool **p) {
    *p = router_pools_named(g->set->router->pools, g->pool);
    return *p ? router_pool_worker(*p, kvr_text(g->name)) : NULL;
}

// ---- What is said of it --------------------------------------------------------------------------

// One that may not is no worse a router for it: others look after the engines, and what it said is forgotten, or its
// handle would try for ever.
static void on_said(void *ctx, const struct kvr_result *r) {
    struct router_pool *p = ctx;
    if (r->code != KVR_CODE_DENIED || p->denied) return;
    p->denied = true;
    kvr_log_line(
        KVR_LOG_WARNING,
        "pool %s: Redis doesn't let this router look after engines that have joined by HTTP; "
        "others must",
        p->options.name);
}

static void say(struct router_pool *p, const struct kvr_worker_call *call) {
    router_pool_count(p, kvr_client_worker_set_async(p->client, call, on_said, p));
}

static void say_all(struct shared_engine *g, struct router_pool *p, const struct router_worker *w) {
    struct kvr_bytes labels[KVR_MAX_LABELS];
    size_t n = 0, i;
    json_t *label;
    json_array_foreach(w->labels, i, label) {
        if (n < KVR_MAX_LABELS)
            labels[n++] = (struct kvr_bytes){json_string_value(label), json_string_length(label)};
    }
    struct kvr_worker_call call = {.worker = kvr_text(g->name),
                                   .addr = kvr_text(w->addr),
                                   .set = KVR_WORKER_ADDR | KVR_WORKER_RANKS | KVR_WORKER_LABELS |
                                          KVR_WORKER_TTL | (w->capacity ? KVR_WORKER_CAPACITY : 0) |
                                          (w->role != KVR_ROLE_BOTH ? KVR_WORKER_ROLE : 0) |
                                          (w->max_requests ? KVR_WORKER_MAX_REQUESTS : 0) |
                                          (w->speed > 0 ? KVR_WORKER_SPEED : 0),
                                   .ranks = w->ranks,
                                   .capacity = w->capacity,
                                   .role = w->role,
                                   .max_requests = w->max_requests,
                                   .speed = w->speed,
                                   .labels = labels,
                                   .n_labels = n,
                                   .ttl = router_shared_engines_ttl(g->set->router)};
    say(p, &call);
    g->said = g->seen;
}

static void renew(const struct shared_engine *g, struct router_pool *p) {
    struct kvr_worker_call call = {.worker = kvr_text(g->name),
                                   .set = KVR_WORKER_TTL,
                                   .ttl = router_shared_engines_ttl(g->set->router)};
    say(p, &call);
}

// ms that it has left, by the pool's list, which may be old.
static int64_t time_left(const struct router_pool *p, const struct router_worker *w) {
    int64_t age = (kvr_clock_us() - p->seen_us) / 1000;
    if (w->state == KVR_EXPIRED) return 0;
    return w->ttl_left < 0 ? INT64_MAX : w->ttl_left - age;
}

// Whether all of it is to be said: what this router last said is another description.
static bool is_news(const struct shared_engine *g, int64_t left) {
    const struct router_config *o = &g->set->router->config;
    bool stable = kvr_clock_ms() - g->since >= SHARED_STABLE * o->refresh;
    return g->said != g->seen && (left < o->ttl || stable);
}

static void on_answer(void *ctx, const char *trouble, bool deliberate) {
    struct shared_engine *g = ctx;
    struct router_pool *p;
    const struct router_worker *w = worker_of(g, &p);
    (void)deliberate;
    if (trouble != g->trouble)
        kvr_log_line(trouble ? KVR_LOG_WARNING : KVR_LOG_INFO,
                     "pool %s: %s, registered by HTTP, %s", g->pool, g->name,
                     trouble ? trouble : "is up");
    g->trouble = trouble;
    if (trouble || !w || g->leaving) return;
    if (is_news(g, time_left(p, w)))
        say_all(g, p, w);
    else if (g->said) // else the handle would know a worker without an address
        renew(g, p);
}

// What the pool's handle said of one that others take out, it mustn't say again.
static bool forget(struct shared_engine *g, const struct router_pool *p) {
    bool done = g->deleted || kvr_client_worker_forget(p->client, kvr_text(g->name));
    if (done) g->said = 0;
    return done;
}

// ---- Looking after one ---------------------------------------------------------------------------

// Idle, and every router has had the time to see that it leaves.
static void remove_when_idle(struct shared_engine *g, struct router_pool *p,
                             const struct router_worker *w, int64_t now) {
    const struct router_config *o = &g->set->router->config;
    int64_t wait = 2 * o->refresh + o->deadline + (g->own ? 0 : SHARED_OTHERS_MS);
    if (w->requests || now - g->since < wait || router_pool_degraded(p)) return;
    kvr_log_line(KVR_LOG_INFO, "pool %s: %s is idle, and removed", g->pool, g->name);
    g->since = now;
    g->deleted = true;
    router_pool_count(p, kvr_client_worker_del_async(p->client, kvr_text(g->name), on_said, p));
}

static void look_after(struct shared_engine *g, int64_t now) {
    struct router_pool *p;
    const struct router_worker *w = worker_of(g, &p);
    if (!w) return;
    int64_t left = time_left(p, w), ttl = g->set->router->config.ttl;
    if (p->denied)
        forget(g, p);
    else if (g->leaving)
        remove_when_idle(g, p, w, now);
    else if (!g->probe || (left >= 2 * ttl && !is_news(g, left)))
        return;
    else if (!engine_probe_check(g->probe) && !g->trouble && g->said && left < ttl)
        renew(g, p); // while an answer may still come, it is as it was
}

// ---- Which there are -----------------------------------------------------------------------------

static void drop_engine(struct shared_engine *g) {
    kvr_list_remove(&g->link);
    engine_probe_free(g->probe);
    free(g);
}

static struct shared_engine *new_engine(struct router_shared_engines *s,
                                        const struct router_pool *p,
                                        const struct router_worker *w) {
    char error[160];
    struct shared_engine *g = calloc(1, sizeof *g);
    if (!g) return NULL;
    struct engine_probe_port port = {.ctx = g, .answer = on_answer};
    g->set = s;
    memcpy(g->pool, p->options.name, strlen(p->options.name) + 1);
    memcpy(g->name, w->name, sizeof g->name);
    memcpy(g->url, w->addr, sizeof g->url);
    g->probe = router_asked_engine_probe(s->router, w->addr, &port, error, sizeof error);
    kvr_list_init(&g->link);
    return g;
}

static uint64_t hash_of(const struct router_worker *w) {
    uint64_t h = XXH3_64bits(w->addr, strlen(w->addr)),
             numbers[] = {w->ranks, (uint64_t)w->capacity, (uint64_t)w->role,
                          (uint64_t)w->max_requests};
    size_t i;
    json_t *label;
    h = XXH3_64bits_withSeed(numbers, sizeof numbers, h);
    h = XXH3_64bits_withSeed(&w->speed, sizeof w->speed, h);
    json_array_foreach(w->labels, i, label) h =
        XXH3_64bits_withSeed(json_string_value(label), json_string_length(label), h);
    return h ? h : 1;
}

static void see(struct shared_engine *g, const struct router_pool *p, const struct router_worker *w,
                int64_t now) {
    bool leaving = router_label_is(w, router_label_leaving);
    uint64_t seen = hash_of(w);
    if (seen != g->seen || leaving != g->leaving) g->since = now;
    g->seen = seen;
    g->leaving = leaving;
    g->own &= leaving;
    g->deleted &= leaving;
    if (leaving && !g->own) forget(g, p);
}

// The one of `old` that this worker is; mostly the first.
static struct shared_engine *find(struct kvr_list_item *old, const struct router_pool *p,
                                  const struct router_worker *w) {
    for (struct kvr_list_item *i = old->next; i != old; i = i->next) {
        struct shared_engine *g = (struct shared_engine *)i;
        if (!strcmp(g->name, w->name) && !strcmp(g->url, w->addr) &&
            !strcmp(g->pool, p->options.name))
            return g;
    }
    return NULL;
}

static void see_pool(struct router_shared_engines *s, const struct router_pool *p,
                     struct kvr_list_item *old, int64_t now) {
    for (size_t i = 0; i < p->n_workers; i++) {
        const struct router_worker *w = &p->workers[i];
        if (!router_label_is_shared(w)) continue;
        struct shared_engine *g = find(old, p, w);
        if (!g) g = new_engine(s, p, w);
        if (!g) continue;
        kvr_list_remove(&g->link);
        kvr_list_push(&s->all, &g->link);
        see(g, p, w, now);
    }
}

static void see_all(struct router_shared_engines *s, int64_t now) {
    struct kvr_list_item old;
    kvr_list_init(&old);
    kvr_list_splice(&old, &s->all);
    for (struct router_pool *p = router_pools_first(s->router->pools); p; p = p->next)
        if (p->seen_us) see_pool(s, p, &old, now);
    kvr_list_splice(&s->gone, &old);
    for (struct kvr_list_item *i = s->gone.next, *next; i != &s->gone; i = next) {
        struct shared_engine *g = (struct shared_engine *)i;
        const struct router_pool *p = router_pools_named(s->router->pools, g->pool);
        next = i->next;
        // One that is there under another address was said anew, or will be.
        bool moved = p && router_pool_worker(p, kvr_text(g->name));
        if (!g->gone_at) g->gone_at = now;
        bool taken_out = g->leaving || now - g->gone_at >= SHARED_GONE_MS;
        if (!p || moved || (taken_out && forget(g, p))) drop_engine(g);
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg) {
    struct router_shared_engines *s = arg;
    int64_t now = kvr_clock_ms();
    (void)fd;
    (void)what;
    if (s->router->replaced) return; // whoever is in this one's place looks after them
    see_all(s, now);
    for (struct kvr_list_item *i = s->all.next; i != &s->all; i = i->next)
        look_after((struct shared_engine *)i, now);
}

static void mark_own(struct router_shared_engines *s, const struct router_pool *p,
                     const char *worker) {
    for (struct kvr_list_item *i = s->all.next; i != &s->all; i = i->next) {
        struct shared_engine *g = (struct shared_engine *)i;
        g->own |= !strcmp(g->name, worker) && !strcmp(g->pool, p->options.name);
    }
}

// Before and after it is seen to leave: what this handle has said of that is not to be forgotten.
void router_shared_engines_remove(struct router_shared_engines *s, const struct router_pool *p,
                                  const char *worker) {
    mark_own(s, p, worker);
    see_all(s, kvr_clock_ms());
    mark_own(s, p, worker);
}

// ---- Coming and going ----------------------------------------------------------------------------

struct router_shared_engines *router_shared_engines_new(struct router *r) {
    static const struct timeval every = {0, SHARED_TICK_MS * 1000};
    struct router_shared_engines *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->router = r;
    kvr_list_init(&s->all);
    kvr_list_init(&s->gone);
    s->tick = event_new(r->base, -1, EV_PERSIST, on_tick, s);
    if (s->tick && !event_add(s->tick, &every)) return s;
    router_shared_engines_free(s);
    return NULL;
}

void router_shared_engines_free(struct router_shared_engines *s) {
    if (!s) return;
    kvr_list_splice(&s->gone, &s->all);
    while (!kvr_list_empty(&s->gone))
        drop_engine((struct shared_engine *)s->gone.next);
    if (s->tick) event_free(s->tick);
    free(s);
}
