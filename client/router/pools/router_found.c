// SPDX-License-Identifier: Apache-2.0
#include "router_found.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/common/list.h"
#include "client/common/log.h"
#include "client/common/table.h"
#include "client/router/router.h"
#include "router_asked_engine.h"
#include "router_pools.h"

enum { FOUND_TICK_MS = 200 };

struct found_source;

struct found_engine {
    struct router_registration g;
    struct found_source *source; // NULL: it isn't looked at any more
    struct kvr_table_item item;  // of the source's
    uint32_t ranks;              // as the source says, and so the next two
    int64_t capacity;
    enum kvr_role role;
    struct router_asked_engine asked; // what it doesn't say
};

struct found_source {
    struct kvr_list_item link;
    struct router_found *all;
    struct discovery *discovery;
    struct kvr_table table; // its engines that aren't lost, by URL
    bool wanted;            // by the options that are read anew
};

struct router_found {
    struct router *router;
    struct kvr_list_item sources;
    struct kvr_list_item engines, lost; // that sources see, and that they don't see any more
    struct event *tick;
};

// ---- Engines -------------------------------------------------------------------------------------

static struct found_engine *engine_at(const struct found_source *s, const char *url) {
    struct kvr_table_item *i = kvr_table_find(&s->table, kvr_text(url));
    return i ? (struct found_engine *)(void *)((char *)i - offsetof(struct found_engine, item))
             : NULL;
}

// Of what the source leaves open (one rank, no capacity, no role of its own) the engine's word counts. What isn't
// known yet isn't told: a router that has just started mustn't take ranks away.
static void take_facts(struct found_engine *e, const struct router_pool *p) {
    const struct router_asked_engine *a = &e->asked;
    struct router_registration *g = &e->g;
    uint32_t ranks = e->ranks > 1 || !a->probe ? e->ranks : a->ranks;
    int64_t capacity =
        e->capacity ? e->capacity : engine_probe_blocks(a->cache_tokens, p->block_size);
    enum kvr_role role = e->role == KVR_ROLE_BOTH ? a->role : e->role;
    if (ranks != g->ranks || capacity != g->capacity || role != g->role) g->said_us = 0;
    g->ranks = ranks;
    g->capacity = capacity;
    g->role = role;
}

static void on_asked(void *ctx) {
    struct found_engine *e = ctx;
    struct router_pool *p =
        e->source ? router_pools_named(e->source->all->router->pools, e->g.pool) : NULL;
    if (p) router_asked_engine_compare(&e->asked, p, e->g.url);
}

static void ask(struct found_engine *e, const struct router *r) {
    if (!r->config.learn) return;
    if (!e->asked.learned)
        router_asked_engine_open(&e->asked, r->upstream, e->g.url,
                                 ENGINE_PROBE_RANKS | ENGINE_PROBE_CACHE | ENGINE_PROBE_KIND |
                                     ENGINE_PROBE_ROLE,
                                 on_asked, e);
    router_asked_engine_tick(&e->asked);
}

static void note_source(struct found_engine *fe, const struct discovery_engine *e) {
    fe->ranks = e->ranks;
    fe->capacity = e->capacity;
    fe->role = e->role;
}

// It isn't the source's any more.
static void leave_source(struct found_engine *e) {
    if (e->source) kvr_table_remove(&e->source->table, &e->item);
    e->source = NULL;
}

static void forget_engine(struct found_engine *e) {
    leave_source(e);
    kvr_list_remove(&e->g.link);
    router_registration_close(&e->g);
    router_asked_engine_close(&e->asked);
    free(e);
}

static void lose_engine(struct router_found *f, struct found_engine *e) {
    router_registration_lose(&e->g);
    leave_source(e);
    kvr_list_remove(&e->g.link);
    kvr_list_push(&f->lost, &e->g.link);
}

// It is there again, so nobody is to end it.
static void forget_lost(struct router_found *f, const struct discovery_engine *e) {
    for (struct kvr_list_item *i = f->lost.next, *next; i != &f->lost; i = next) {
        struct found_engine *old = (struct found_engine *)(void *)i;
        next = i->next;
        if (!strcmp(old->g.name, e->name) && !strcmp(old->g.pool, e->pool)) forget_engine(old);
    }
}

// Whether this router has drained it, and it isn't ready again.
static bool was_drained(const struct router_found *f, const struct discovery_engine *e) {
    for (const struct kvr_list_item *i = f->lost.next; i != &f->lost; i = i->next) {
        const struct router_registration *g = (const struct router_registration *)i;
        if (g->drained && !strcmp(g->name, e->name) && !strcmp(g->pool, e->pool)) return true;
    }
    return false;
}

// If another source has it, too, both renew it: one that loses it finds it renewed.
static void add_engine(struct found_source *s, const struct discovery_engine *e) {
    struct router_pool *p = router_pools_named(s->all->router->pools, e->pool);
    struct found_engine *fresh = calloc(1, sizeof *fresh);
    bool drained = was_drained(s->all, e);
    if (!p)
        kvr_log_line(KVR_LOG_ERROR, "engine %s: no pool %s; it stays out until there is one",
                     e->url, e->pool);
    if (!fresh ||
        !router_registration_init(&fresh->g, e, discovery_config_of(s->discovery)->drain)) {
        free(fresh);
        return;
    }
    forget_lost(s->all, e);
    note_source(fresh, e);
    fresh->source = s;
    kvr_list_push(&s->all->engines, &fresh->g.link);
    kvr_table_add(&s->table, &fresh->item, kvr_text(fresh->g.url));
    fresh->g.drained = drained;
    if (p) router_pool_suppose(p, e->name, e->url, e->role, e->ranks, e->capacity);
}

static void on_found(void *ctx, const struct discovery_engine *e) {
    struct found_source *s = ctx;
    struct found_engine *old = engine_at(s, e->url);
    if (old && !strcmp(old->g.name, e->name) && !strcmp(old->g.pool, e->pool)) {
        if (router_registration_see(&old->g, e)) note_source(old, e);
        return;
    }
    if (old) lose_engine(s->all, old); // it is another worker now
    add_engine(s, e);
}

static void on_lost(void *ctx, const struct discovery_engine *e) {
    struct found_source *s = ctx;
    struct found_engine *old = engine_at(s, e->url);
    if (old) lose_engine(s->all, old);
}

static void tick_list(struct router_found *f, struct kvr_list_item *list) {
    for (struct kvr_list_item *i = list->next, *next; i != list; i = next) {
        struct found_engine *e = (struct found_engine *)(void *)i;
        struct router_pool *p = router_pools_named(f->router->pools, e->g.pool);
        next = i->next;
        if (e->source) ask(e, f->router);
        if (e->source && p) take_facts(e, p);
        if (!router_registration_tick(&e->g, p, f->router->config.ttl)) forget_engine(e);
    }
}

static void on_found_tick(evutil_socket_t fd, short what, void *ctx) {
    struct router_found *f = ctx;
    (void)fd;
    (void)what;
    // Whoever is in this one's place says which engines there are now.
    if (f->router->replaced) return;
    tick_list(f, &f->engines);
    tick_list(f, &f->lost);
}

const struct router_registration *router_found_next(const struct router_found *f,
                                                    const struct router_registration *after) {
    const struct kvr_list_item *at = after ? &after->link : &f->engines;
    while ((at = at->next) != &f->engines) {
        const struct router_registration *g = (const struct router_registration *)at;
        if (g->stage == ROUTER_REGISTRATION_PRESENT) return g;
    }
    return NULL;
}

// ---- Sources -------------------------------------------------------------------------------------

static void close_source(struct found_source *s) {
    struct kvr_list_item *all = &s->all->engines;
    for (struct kvr_list_item *i = all->next, *next; i != all; i = next) {
        struct found_engine *e = (struct found_engine *)(void *)i;
        next = i->next;
        if (e->source == s) lose_engine(s->all, e);
    }
    kvr_list_remove(&s->link);
    kvr_table_free(&s->table);
    discovery_free(s->discovery);
    free(s);
}

static struct found_source *open_source(struct router_found *f, const struct discovery_config *c,
                                        char *error, size_t error_size) {
    struct found_source *s = calloc(1, sizeof *s);
    char why[200] = "no memory";
    struct discovery_port port = {s, on_found, on_found, on_lost};
    uint64_t secret = (uint64_t)kvr_clock_ns(CLOCK_REALTIME) ^ (uint64_t)(uintptr_t)s;
    bool good = s && !kvr_table_init(&s->table, &kvr_alloc_default, secret);
    if (good) s->discovery = discovery_new(f->router->base, c, &port, why, sizeof why);
    if (!good || !s->discovery) {
        snprintf(error, error_size, "discover %.200s: %s", c->source, why);
        if (good) kvr_table_free(&s->table);
        free(s);
        return NULL;
    }
    s->all = f;
    kvr_list_init(&s->link);
    return s;
}

static struct found_source *same_source(struct router_found *f, const struct discovery_config *c) {
    for (struct kvr_list_item *i = f->sources.next; i != &f->sources; i = i->next) {
        struct found_source *s = (struct found_source *)(void *)i;
        if (memcmp(discovery_config_of(s->discovery), c, sizeof *c) == 0) return s;
    }
    return NULL;
}

static void close_sources(struct kvr_list_item *list, bool all) {
    for (struct kvr_list_item *i = list->next, *next; i != list; i = next) {
        struct found_source *s = (struct found_source *)(void *)i;
        next = i->next;
        if (all || !s->wanted) close_source(s);
    }
}

bool router_found_reload(struct router_found *f, char *error, size_t error_size) {
    const struct discovery_configs *all = &f->router->config.sources;
    struct kvr_list_item fresh;
    bool good = true;
    kvr_list_init(&fresh);
    for (struct kvr_list_item *i = f->sources.next; i != &f->sources; i = i->next)
        ((struct found_source *)(void *)i)->wanted = false;
    for (size_t i = 0; good && i < all->n; i++) {
        struct found_source *s = same_source(f, &all->items[i]);
        if (!s && (s = open_source(f, &all->items[i], error, error_size)))
            kvr_list_push(&fresh, &s->link);
        good = s != NULL;
        if (s) s->wanted = true;
    }
    close_sources(good ? &f->sources : &fresh, !good);
    kvr_list_splice(&f->sources, &fresh);
    return good;
}

// ---- Coming and going ----------------------------------------------------------------------------

struct router_found *router_found_new(struct router *r, char *error, size_t error_size) {
    static const struct timeval every = {0, FOUND_TICK_MS * 1000};
    struct router_found *f = calloc(1, sizeof *f);
    if (!f) return NULL;
    f->router = r;
    kvr_list_init(&f->sources);
    kvr_list_init(&f->engines);
    kvr_list_init(&f->lost);
    f->tick = event_new(r->base, -1, EV_PERSIST, on_found_tick, f);
    if (f->tick && !event_add(f->tick, &every) && router_found_reload(f, error, error_size))
        return f;
    router_found_free(f);
    return NULL;
}

void router_found_free(struct router_found *f) {
    if (!f) return;
    close_sources(&f->sources, true);
    while (!kvr_list_empty(&f->lost)) // those that sources had have lost them
        forget_engine((struct found_engine *)(void *)f->lost.next);
    if (f->tick) event_free(f->tick);
    free(f);
}

bool router_found_trouble(const struct router_found *f, size_t i,
                          struct router_found_trouble *out) {
    const struct kvr_list_item *all = &f->sources;
    for (const struct kvr_list_item *at = all->next; at != all; at = at->next) {
        const struct discovery *d = ((const struct found_source *)(const void *)at)->discovery;
        struct discovery_stats n;
        discovery_look(d, &n);
        if (!n.failing || i--) continue;
        *out = (struct router_found_trouble){discovery_config_of(d)->source, discovery_trouble(d),
                                             n.engines, n.failing_us};
        return true;
    }
    return false;
}

// ---- Metrics -------------------------------------------------------------------------------------

static const struct {
    const char *name, *help;
    enum kvr_prom_type type;
    size_t at, size;
} of_sources[] = {
#define AT(field)                                                                                  \
    offsetof(struct discovery_stats, field), sizeof(((struct discovery_stats *)0)->field)
    {"discovery_engines", "that are known", KVR_PROM_GAUGE, AT(engines)},
    {"discovery_leaving", "of these, the ones that end what they have", KVR_PROM_GAUGE,
     AT(leaving)},
    {"discovery_left_out", "beyond what may be known", KVR_PROM_GAUGE, AT(left_out)},
    {"discovery_failing", "1: the last try to read the source failed", KVR_PROM_GAUGE, AT(failing)},
    {"discovery_reads", "answers that were understood", KVR_PROM_COUNTER, AT(reads)},
    {"discovery_failures", "tries without one", KVR_PROM_COUNTER, AT(failures)},
    {"discovery_found", "engines that came", KVR_PROM_COUNTER, AT(found)},
    {"discovery_lost", "engines that went", KVR_PROM_COUNTER, AT(lost)},
#undef AT
};

void router_found_show(struct kvr_prom *p, const struct router_found *f) {
    if (kvr_list_empty(&f->sources)) return;
    for (size_t k = 0; k < sizeof of_sources / sizeof *of_sources; k++) {
        kvr_prom_family(p, of_sources[k].name, of_sources[k].type, of_sources[k].help);
        for (struct kvr_list_item *i = f->sources.next; i != &f->sources; i = i->next) {
            const struct discovery *d = ((struct found_source *)(void *)i)->discovery;
            struct discovery_stats n;
            int64_t value = 0; // little-endian: a bool's byte comes first, too
            discovery_look(d, &n);
            memcpy(&value, (const char *)&n + of_sources[k].at, of_sources[k].size);
            kvr_prom_sample(p, of_sources[k].type,
                            (struct kvr_prom_label[]){{"source", discovery_config_of(d)->source}},
                            1, value);
        }
    }
}
