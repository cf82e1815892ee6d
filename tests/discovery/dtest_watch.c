// SPDX-License-Identifier: Apache-2.0
#include "dtest_watch.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/common/clock.h"

enum { DTEST_WAIT_MS = 60000, DTEST_STEP_MS = 20 };

struct dtest_watch dtest_watch;

static struct dtest_seen *seen_at(const char *url) {
    for (size_t i = dtest_watch.n; i--;)
        if (!strcmp(dtest_watch.seen[i].url, url)) return &dtest_watch.seen[i];
    return NULL;
}

static void note(struct dtest_seen *s, const struct discovery_engine *e) {
    *s = (struct dtest_seen){
        .leaving = e->leaving, .role = e->role, .ranks = e->ranks, .capacity = e->capacity};
    snprintf(s->url, sizeof s->url, "%s", e->url);
    snprintf(s->name, sizeof s->name, "%s", e->name);
    snprintf(s->pool, sizeof s->pool, "%s", e->pool);
    for (size_t i = 0, at = 0; i < e->n_labels; i++)
        at += (size_t)snprintf(s->labels + at, sizeof s->labels - at, "%s%.*s", i ? " " : "",
                               (int)e->labels[i].n, (const char *)e->labels[i].p);
}

static void on_watch_found(void *ctx, const struct discovery_engine *e) {
    struct dtest_seen *old = seen_at(e->url);
    (void)ctx;
    cr_assert(!old || old->gone, "%s found twice", e->url);
    cr_assert(dtest_watch.n < DTEST_MAX_SEEN);
    note(&dtest_watch.seen[dtest_watch.n++], e);
    dtest_watch.there++;
    dtest_watch.found++;
}

static void on_watch_changed(void *ctx, const struct discovery_engine *e) {
    struct dtest_seen *old = seen_at(e->url);
    (void)ctx;
    cr_assert(old && !old->gone);
    note(old, e);
    dtest_watch.changed++;
}

static void on_watch_lost(void *ctx, const struct discovery_engine *e) {
    struct dtest_seen *old = seen_at(e->url);
    (void)ctx;
    cr_assert(old && !old->gone);
    old->gone = true;
    dtest_watch.there--;
    dtest_watch.lost++;
}

void dtest_watch_open(void) {
    memset(&dtest_watch, 0, sizeof dtest_watch);
    dtest_watch.base = event_base_new();
}

static bool on_entry(void *ctx, const char *section, const char *name, const char *value,
                     struct kvr_config_error *e) {
    return discovery_configs_entry(ctx, section + strlen("discover "), name, value, e);
}

void dtest_watch_look(const char *format, ...) {
    static const char *const kinds[] = {"discover", NULL};
    struct discovery_configs all = {NULL, 0};
    struct discovery_port port = {NULL, on_watch_found, on_watch_changed, on_watch_lost};
    char text[1500], error[300] = "";
    char *argv[] = {"test", "--discover", text};
    struct kvr_config_error e = {error, sizeof error};
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    cr_assert(kvr_config_command_line(3, argv, "test", kinds, on_entry, &all, &e), "%s", error);
    cr_assert(discovery_configs_complete(&all, &e), "%s", error);
    dtest_watch.discovery =
        discovery_new(dtest_watch.base, &all.items[0], &port, error, sizeof error);
    cr_assert(dtest_watch.discovery, "%s", error);
    discovery_configs_free(&all);
}

void dtest_watch_close_discovery(void) {
    discovery_free(dtest_watch.discovery);
    dtest_watch.discovery = NULL;
}

void dtest_watch_close(void) {
    dtest_watch_close_discovery();
    event_base_free(dtest_watch.base);
}

static void on_step(evutil_socket_t fd, short what, void *ctx) {
    (void)fd;
    (void)what;
    (void)ctx;
}

static void step(void) {
    struct timeval t = kvr_timeval(DTEST_STEP_MS);
    event_base_once(dtest_watch.base, -1, EV_TIMEOUT, on_step, NULL, &t);
    event_base_loop(dtest_watch.base, EVLOOP_ONCE);
}

void dtest_watch_until(bool (*holds)(void)) {
    int64_t end = kvr_clock_ms() + DTEST_WAIT_MS;
    while (!holds()) {
        cr_assert(kvr_clock_ms() < end, "%zu there, %u found, %u changed, %u lost",
                  dtest_watch.there, dtest_watch.found, dtest_watch.changed, dtest_watch.lost);
        step();
    }
}

void dtest_watch_run(int64_t ms) {
    for (int64_t end = kvr_clock_ms() + ms; kvr_clock_ms() < end;)
        step();
}

const struct dtest_seen *dtest_watch_at(const char *url) {
    return seen_at(url);
}

struct discovery_stats dtest_watch_stats(void) {
    struct discovery_stats n;
    discovery_look(dtest_watch.discovery, &n);
    return n;
}
