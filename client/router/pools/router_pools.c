// SPDX-License-Identifier: Apache-2.0
#include "router_pools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/common/config.h"
#include "client/common/log.h"
#include "client/router/router.h"
#include "client/router/router_exchange.h"
#include "router_served.h"

enum { POOL_RETIRE_REFRESHES = 3 }; // a retired pool is closed when it was quiet for so many

struct router_pools {
    struct router *router;
    struct router_pool *first, *retired;
    char redis[1024]; // of the handles
    int64_t deadline;
    struct event *refresh;
};

// ---- Refreshing ----------------------------------------------------------------------------------

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
        router_pool_look_for_trouble(p);
        seen = seen && p->seen_us;
    }
    close_retired(s);
    // At the start sooner, so that it is ready soon.
    int64_t ms = s->router->config.refresh;
    arm(s->refresh, seen || ms < 100 ? ms : 100);
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
            p->scale_target = o->scale_target;
            p->denied = false; // perhaps it may now
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
    event_active(s->refresh, EV_TIMEOUT, 0);
    return true;
}

struct router_pools *router_pools_new(struct router *r, char *error, size_t error_size) {
    struct router_pools *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->router = r;
    s->refresh = event_new(r->base, -1, 0, on_refresh, s);
    if (s->refresh && router_pools_reload(s, error, error_size)) return s;
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

static bool takes_any(const struct router_pool *p) {
    return !*p->options.models || kvr_config_lists(p->options.models, "*");
}

static bool is_named(const struct router_pool *p, const char *model) {
    return kvr_config_lists(p->options.models, model) ||
           kvr_config_lists(p->options.adapters, model);
}

struct router_pool *router_pools_for(const struct router_pools *s, const char *model) {
    struct router_pool *any = NULL, *best = NULL;
    enum router_served best_level = ROUTER_SERVED_NOT;
    for (struct router_pool *p = s->first; p; p = p->next) {
        if (model && is_named(p, model)) return p;
        if (!takes_any(p)) continue;
        if (!any) any = p;
        enum router_served level = model ? router_served_in(p, model) : ROUTER_SERVED_NOT;
        if (level <= best_level) continue;
        best_level = level;
        best = p;
    }
    if (model) return best;
    return any || !s->first || s->first->next ? any : s->first;
}

// Names, each once, as long as there is room.
struct pools_names {
    json_t *known; // object
    char *out;
    size_t used, size;
    bool full;
};

static void add_name(struct pools_names *l, const char *name, size_t n) {
    if (l->full || !n || (n == 1 && *name == '*') || json_object_getn(l->known, name, n)) return;
    l->full = l->used + n + 3 > l->size || json_object_setn_new(l->known, name, n, json_null());
    if (l->full) return;
    l->used += (size_t)snprintf(l->out + l->used, l->size - l->used, "%s%.*s", l->used ? ", " : "",
                                (int)n, name);
}

static void add_words(struct pools_names *l, const char *words) {
    size_t n;
    for (const char *at = words; (n = kvr_config_word(&at)); at += n)
        add_name(l, at, n);
}

static void add_served(struct pools_names *l, json_t *serves) {
    for (void *i = json_object_iter(serves); i && !l->full; i = json_object_iter_next(serves, i))
        add_name(l, json_object_iter_key(i), strlen(json_object_iter_key(i)));
}

// Whoever asks for what isn't there decides how often this is done: it ends when there is no room, however
// many engines serve however much.
void router_pools_models(const struct router_pools *s, char *out, size_t size) {
    struct pools_names l = {.known = json_object(), .out = out, .size = size};
    *out = 0;
    for (const struct router_pool *p = s->first; p && l.known && !l.full; p = p->next) {
        add_words(&l, p->options.models);
        add_words(&l, p->options.adapters);
        if (!takes_any(p)) continue;
        for (size_t i = 0; i < p->n_workers && !l.full; i++)
            if (!i || p->workers[i].here.serves != p->workers[i - 1].here.serves)
                add_served(&l, p->workers[i].here.serves);
    }
    json_decref(l.known);
}

void router_pools_take(struct router_exchange *x, struct router_pool *p) {
    x->pool = p;
    p->uses++;
}

void router_pools_give_back(struct router_exchange *x) {
    if (x->pool) x->pool->uses--;
    x->pool = NULL;
}
