// SPDX-License-Identifier: Apache-2.0
// See btest_fleet.h.
#include "btest_fleet.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "tests/support/support_home.h"
#include "tests/support/support_http.h"
#include "tests/support/support_port.h"
#include "tests/support/support_process.h"

enum { FLEET_HTTP_MS = 60000 };

// What the bridges count, but for what is 0.
static void show_metrics(const struct btest_fleet *w) {
    for (size_t i = 0; i < w->n_bridges; i++) {
        struct support_response a =
            support_http(w->bridges[i].listen, "GET", "/metrics", "", NULL, FLEET_HTTP_MS);
        char *rest = NULL;
        for (char *line = a.body ? strtok_r(a.body, "\n", &rest) : NULL; line;
             line = strtok_r(NULL, "\n", &rest)) {
            size_t n = strlen(line);
            if (*line != '#' && n > 2 && strcmp(line + n - 2, " 0") != 0)
                fprintf(stderr, "%s\n", line);
        }
        support_response_free(&a);
    }
}

void btest_fleet_fail(const struct btest_fleet *w, const char *format, ...) {
    va_list args;
    va_start(args, format);
    support_log_show(w->log);
    show_metrics(w);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    btest_fleet_close((struct btest_fleet *)w);
    abort();
}

// ---- Processes -----------------------------------------------------------------------------------

void btest_fleet_open(struct btest_fleet *w, bool aof) {
    *w =
        (struct btest_fleet){.redis.config = aof ? "appendonly yes\nappendfsync everysec\n" : NULL};
    if (!support_redis_start(&w->redis)) btest_fleet_fail(w, "no server");
    redisReply *r = support_redis_words(&w->redis, "KVROUTE.CREATE pool " BTEST_CREATE);
    if (!r) btest_fleet_fail(w, "no pool");
    freeReplyObject(r);
    snprintf(w->url, sizeof w->url, "redis://127.0.0.1:%d", w->redis.port);
    support_path(w->log, sizeof w->log, "bridges.log");
}

struct bench_engine *btest_fleet_engine(struct btest_fleet *w, const char *options,
                                        const char *bridge, unsigned ranks, bool connects) {
    struct bench_engine *e = &w->engines[w->n_engines];
    *e = (struct bench_engine){.ranks = ranks, .connects = connects};
    snprintf(e->name, sizeof e->name, "e%zu", w->n_engines);
    snprintf(e->options, sizeof e->options, "--time-scale=0 --block-size=%d %s", BTEST_BLOCK_SIZE,
             options);
    snprintf(e->bridge, sizeof e->bridge, "%s", bridge);
    btest_fleet_restart_engine(w, w->n_engines++);
    return e;
}

void btest_fleet_restart_engine(struct btest_fleet *w, size_t i) {
    support_end(&w->engines[i].pid, SIGKILL);
    if (!bench_engine_start(&w->engines[i], support_setting("KVROUTE_MOCK", KVROUTE_MOCK)))
        btest_fleet_fail(w, "no engine");
}

static size_t first_engine(const struct btest_fleet *w, size_t bridge) {
    return w->n_engines * bridge / w->n_bridges;
}

void btest_fleet_restart_bridge(struct btest_fleet *w, size_t i) {
    size_t first = first_engine(w, i), end = first_engine(w, i + 1);
    support_end(&w->bridges[i].pid, SIGKILL);
    bench_bridge_start(&w->bridges[i], w->engines + first, end - first);
}

void btest_fleet_bridges(struct btest_fleet *w, size_t n, const char *more) {
    w->n_bridges = n;
    for (size_t i = 0; i < n; i++) {
        w->bridges[i] =
            (struct bench_bridge){.program = support_setting("KVROUTE_BRIDGE", KVROUTE_BRIDGE),
                                  .url = w->url,
                                  .pool = "pool",
                                  .create = BTEST_CREATE,
                                  .log = w->log,
                                  .more = more,
                                  .listen = support_port()};
        btest_fleet_restart_bridge(w, i);
    }
}

void btest_fleet_settles(const struct btest_fleet *w) {
    int64_t end = kvr_clock_ms() + FLEET_HTTP_MS;
    for (size_t i = 0; i < w->n_bridges; support_sleep_ms(10)) {
        if (kvr_clock_ms() > end) btest_fleet_fail(w, "a bridge doesn't settle");
        i += bench_bridge_settled(&w->bridges[i]);
    }
}

void btest_fleet_close(struct btest_fleet *w) {
    for (size_t i = 0; i < w->n_bridges; i++)
        support_end(&w->bridges[i].pid, SIGKILL);
    for (size_t i = 0; i < w->n_engines; i++)
        support_end(&w->engines[i].pid, SIGKILL);
    support_redis_end(&w->redis, SIGKILL);
}

// ---- Engines -------------------------------------------------------------------------------------

// An engine may be refusing connections for a moment, because it was told to.
struct support_response btest_fleet_call(const struct btest_fleet *w, size_t engine,
                                         const char *method, const char *path, const char *body) {
    struct support_response a = {0};
    for (int64_t end = kvr_clock_ms() + FLEET_HTTP_MS; kvr_clock_ms() < end; support_sleep_ms(20)) {
        a = support_http(w->engines[engine].http, method, path, "", body, FLEET_HTTP_MS);
        if (a.status == 200) return a;
        support_response_free(&a);
    }
    btest_fleet_fail(w, "%s was answered %d", path, a.status);
}

void btest_fleet_fault(const struct btest_fleet *w, size_t engine, const char *query) {
    char path[160];
    snprintf(path, sizeof path, "/mock/fault?kind=%s", query);
    struct support_response a = btest_fleet_call(w, engine, "POST", path, "");
    support_response_free(&a);
}

void btest_fleet_reset(const struct btest_fleet *w, size_t engine) {
    for (int64_t end = kvr_clock_ms() + FLEET_HTTP_MS; kvr_clock_ms() < end; support_sleep_ms(5)) {
        struct support_response a = support_http(w->engines[engine].http, "POST",
                                                 "/reset_prefix_cache", "", NULL, FLEET_HTTP_MS);
        bool done = a.status == 200 && strstr(a.body, "true");
        support_response_free(&a);
        if (done) return;
    }
    btest_fleet_fail(w, "an engine is never done");
}

// ---- The truth -----------------------------------------------------------------------------------

static struct bench_difference wait_for(struct btest_fleet *w, int ms, const char *after,
                                        bool all) {
    struct bench_difference d = {-1, -1, 0, ""};
    bool read = false;
    for (int64_t end = kvr_clock_ms() + ms; kvr_clock_ms() < end; support_sleep_ms(20)) {
        redisContext *control = support_redis_control(&w->redis);
        if (!control) btest_fleet_fail(w, "Redis is gone");
        read = bench_compare(control, "pool", w->engines, w->n_engines, &d);
        if (read && (all ? d.blocks : d.surplus) == 0) return d;
        if (control->err) btest_fleet_fail(w, "Redis: %s", control->errstr);
    }
    btest_fleet_fail(
        w, "after %s: %s%ld blocks differ, %ld of them the engines don't hold, of %zu: %s", after,
        read ? "" : "(not all answered) ", d.blocks, d.surplus, d.held, d.first);
}

struct bench_difference btest_fleet_becomes_true(struct btest_fleet *w, int ms, const char *after) {
    return wait_for(w, ms, after, true);
}

struct bench_difference btest_fleet_never_wrong(struct btest_fleet *w, int ms, const char *after) {
    return wait_for(w, ms, after, false);
}
