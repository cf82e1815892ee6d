// SPDX-License-Identifier: Apache-2.0
#include "bridge_fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/common/log.h"
#include "client/discovery/discovery.h"
#include "client/http1/h1_address.h"

enum {
    FLEET_LOOK_MS = 2000,
    FLEET_MAX_ENGINES = 16384 // as many as there may be sockets for
};

struct bridge_source {
    struct bridge *bridge;
    struct discovery *discovery;
};

// ---- One by one ----------------------------------------------------------------------------------

static struct bridge_engine *find(const struct bridge *b, struct kvr_bytes name, size_t *at) {
    for (size_t i = 0; i < b->n_engines; i++) {
        struct bridge_engine *g = b->engines[i];
        if (strlen(g->config->name) != name.n || memcmp(g->config->name, name.p, name.n) != 0)
            continue;
        if (at) *at = i;
        return g;
    }
    return NULL;
}

static struct bridge_engine *add(struct bridge *b, const struct bridge_engine_config *c) {
    struct bridge_engine **all = b->n_engines < FLEET_MAX_ENGINES
                                     ? realloc(b->engines, (b->n_engines + 1) * sizeof *all)
                                     : NULL;
    if (!all) {
        kvr_log_line(KVR_LOG_ERROR, "%s: no room for one more engine", c->name);
        return NULL;
    }
    b->engines = all;
    struct bridge_engine *g = bridge_engine_new(&b->context, c);
    if (g) all[b->n_engines++] = g;
    return g;
}

static void on_let_go(void *ctx) {
    (void)ctx;
}

// It is over for this bridge.
static void take_away(struct bridge *b, size_t i) {
    struct bridge_engine *g = b->engines[i];
    kvr_log_line(KVR_LOG_INFO, "%s isn't there any more", g->config->name);
    b->engines[i] = b->engines[--b->n_engines];
    bridge_engine_leave(g, on_let_go, NULL);
    bridge_engine_free(g);
}

static bool copy_text(char *out, size_t size, struct kvr_bytes text) {
    if (text.n >= size || memchr(text.p, 0, text.n)) return false;
    memcpy(out, text.p, text.n);
    out[text.n] = 0;
    return true;
}

// What is asked of an engine of which only this is known. False: it can't be one of the bridge's.
static bool config_of(struct bridge_engine_config *c, struct kvr_bytes name, struct kvr_bytes url) {
    *c = (struct bridge_engine_config){.kind = ENGINE_KIND_ANY, .role = ENGINE_ROLE_ASK};
    return name.n && copy_text(c->name, sizeof c->name, name) &&
           copy_text(c->http, sizeof c->http, url) && h1_is_url(c->http);
}

// ---- Those that are found ------------------------------------------------------------------------

static bool is_ours(const struct bridge *b, const struct discovery_engine *e) {
    return !*e->pool || !strcmp(e->pool, b->config.pool);
}

static void on_found(void *ctx, const struct discovery_engine *e);

// The source has no engine of that name any more. Another one that has it, too, goes on with it.
static void give_up(const struct bridge_source *s, const char *name) {
    struct bridge *b = s->bridge;
    size_t at;
    struct bridge_engine *g = find(b, kvr_text(name), &at);
    if (!g || g->source != s) return;
    for (size_t i = 0; i < b->n_sources; i++) {
        struct bridge_source *other = &b->sources[i];
        const struct discovery_engine *e =
            other == s ? NULL : discovery_named(other->discovery, name);
        if (!e || !is_ours(b, e)) continue;
        g->source = other;
        on_found(other, e);
        return;
    }
    take_away(b, at);
}

// Its engine at that URL has another name now.
static void give_up_old_name(const struct bridge_source *s, const struct discovery_engine *e) {
    const struct bridge *b = s->bridge;
    char name[sizeof b->engines[0]->config->name];
    for (size_t i = 0; i < b->n_engines; i++) {
        const struct bridge_engine *g = b->engines[i];
        if (g->source != s || strcmp(g->config->http, e->url) || !strcmp(g->config->name, e->name))
            continue;
        memcpy(name, g->config->name, sizeof name);
        give_up(s, name);
        return;
    }
}

// Ranks and role as the engine says, unless its source says more than nothing.
static void on_found(void *ctx, const struct discovery_engine *e) {
    struct bridge_source *s = ctx;
    struct bridge *b = s->bridge;
    struct bridge_engine_config c;
    size_t at;
    if (b->leaving) return;
    give_up_old_name(s, e);
    if (!is_ours(b, e)) {
        give_up(s, e->name);
        return;
    }
    if (!config_of(&c, kvr_text(e->name), kvr_text(e->url))) return;
    if (e->ranks > 1) c.ranks = e->ranks;
    if (e->role != KVR_ROLE_BOTH) c.role = (enum engine_role)e->role;
    c.capacity = e->capacity;
    struct bridge_engine *g = find(b, kvr_text(e->name), &at);
    bool other = g && g->source == s &&
                 (strcmp(g->config->http, c.http) != 0 || g->config->ranks != c.ranks ||
                  g->config->role != c.role || g->config->capacity != c.capacity);
    if ((g && !g->source && g->lent) ||
        other) { // the pool's list is only what nobody else knows of
        take_away(b, at);
        g = NULL;
    }
    if (!g && (g = add(b, &c))) g->source = s;
    if (g && g->source == s) bridge_engine_set_ending(g, e->leaving);
}

static void on_lost(void *ctx, const struct discovery_engine *e) {
    const struct bridge_source *s = ctx;
    if (!s->bridge->leaving) give_up(s, e->name);
}

static bool open_sources(struct bridge *b) {
    const struct discovery_configs *all = &b->config.sources;
    char error[300] = "no memory";
    b->sources = calloc(all->n + 1, sizeof *b->sources);
    for (; b->sources && b->n_sources < all->n; b->n_sources++) {
        struct bridge_source *s = &b->sources[b->n_sources];
        struct discovery_port port = {s, on_found, on_found, on_lost};
        s->bridge = b;
        s->discovery =
            discovery_new(b->context.base, &all->items[b->n_sources], &port, error, sizeof error);
        if (!s->discovery) break;
    }
    if (b->sources && b->n_sources == all->n) return true;
    kvr_log_line(KVR_LOG_ERROR, "discover: %s", error);
    return false;
}

static void close_sources(struct bridge *b) {
    while (b->n_sources)
        discovery_free(b->sources[--b->n_sources].discovery);
}

// ---- Those of the pool ---------------------------------------------------------------------------

static void see_worker(struct bridge *b, const struct kvr_worker *w) {
    struct bridge_engine_config c;
    size_t at;
    if (!config_of(&c, w->name, w->addr)) return;
    struct bridge_engine *g = find(b, w->name, &at);
    if (g && g->lent && strcmp(g->config->http, c.http) != 0) {
        take_away(b, at);
        g = NULL;
    }
    c.lent = true;
    if (!g) g = add(b, &c);
    if (g) g->seen = true;
}

static void on_workers(void *ctx, const struct kvr_result *r) {
    struct bridge *b = ctx;
    if (r->code != KVR_CODE_OK || r->degraded || b->leaving) return;
    for (size_t i = 0; i < b->n_engines; i++)
        b->engines[i]->seen = !b->engines[i]->lent;
    for (size_t i = 0; i < r->n; i++)
        see_worker(b, &r->workers[i]);
    for (size_t i = b->n_engines; i-- > 0;)
        if (!b->engines[i]->seen) take_away(b, i);
}

static void on_look(evutil_socket_t fd, short what, void *arg) {
    struct bridge *b = arg;
    struct timeval t = kvr_timeval(FLEET_LOOK_MS);
    (void)fd;
    (void)what;
    event_add(b->look, &t);
    kvr_client_worker_list_async(b->context.client, on_workers, b);
}

// ---- All of them ---------------------------------------------------------------------------------

bool bridge_fleet_open(struct bridge *b) {
    for (size_t i = 0; i < b->config.n_engines; i++)
        if (!add(b, &b->config.engines[i])) return false;
    if (!open_sources(b)) return false;
    if (!b->config.from_pool) return true;
    b->look = event_new(b->context.base, -1, 0, on_look, b);
    if (b->look) event_active(b->look, EV_TIMEOUT, 0);
    return b->look != NULL;
}

void bridge_fleet_close(struct bridge *b) {
    close_sources(b);
    free(b->sources);
    if (b->look) event_free(b->look);
    while (b->n_engines)
        bridge_engine_free(b->engines[--b->n_engines]);
    free(b->engines);
}

void bridge_fleet_update(struct bridge *b) {
    for (size_t i = 0; i < b->n_engines; i++)
        bridge_engine_update(b->engines[i]);
}

void bridge_fleet_leave(struct bridge *b, void (*done)(void *ctx), void *ctx) {
    close_sources(b);
    if (b->look) event_del(b->look);
    for (size_t i = 0; i < b->n_engines; i++)
        bridge_engine_leave(b->engines[i], done, ctx);
}

bool bridge_fleet_size(const struct bridge *b, uint32_t *size) {
    bool informed = false;
    *size = 0;
    for (size_t i = 0; i < b->n_engines && !*size; i++) {
        informed |= b->engines[i]->informed;
        *size = b->engines[i]->block_size;
    }
    return *size || informed;
}
