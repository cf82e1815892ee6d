// SPDX-License-Identifier: Apache-2.0
// See btest_fleet.h.
#include "btest_fleet.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/common/clock.h"
#include "bench/common/http.h"
#include "bench/common/process.h"
#include "tests/support/home.h"

enum { FLEET_HTTP_MS = 20000 };

static void show_log(const struct btest_fleet *w) {
    char text[12000];
    FILE *log = fopen(w->log, "r");
    if (!log) return;
    if (fseek(log, -(long)sizeof text, SEEK_END)) rewind(log);
    fwrite(text, 1, fread(text, 1, sizeof text, log), stderr);
    fclose(log);
}

// What the bridges count, but for what is 0.
static void show_metrics(const struct btest_fleet *w) {
    for (size_t i = 0; i < w->n_bridges; i++) {
        struct http_answer a =
            http_call(w->bridges[i].listen, "GET", "/metrics", "", NULL, FLEET_HTTP_MS);
        char *rest = NULL;
        for (char *line = a.body ? strtok_r(a.body, "\n", &rest) : NULL; line;
             line = strtok_r(NULL, "\n", &rest)) {
            size_t n = strlen(line);
            if (*line != '#' && n > 2 && strcmp(line + n - 2, " 0") != 0)
                fprintf(stderr, "%s\n", line);
        }
        free(a.body);
    }
}

void btest_fleet_fail(const struct btest_fleet *w, const char *format, ...) {
    va_list args;
    va_start(args, format);
    show_log(w);
    show_metrics(w);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    btest_fleet_close((struct btest_fleet *)w);
    abort();
}

// ---- Processes -----------------------------------------------------------------------------------

void btest_fleet_open(struct btest_fleet *w, bool aof) {
    *w = (struct btest_fleet){
        .server.plan = {.module = home_setting("KVROUTE_MODULE", KVROUTE_MODULE),
                        .server = home_setting("REDIS_SERVER", REDIS_SERVER),
                        .aof = aof}};
    if (!server_start(&w->server) || !server_open(&w->server)) btest_fleet_fail(w, "no server");
    redisReply *r = server_words(&w->server, "KVROUTE.CREATE pool " BTEST_CREATE);
    if (!r) btest_fleet_fail(w, "no pool");
    freeReplyObject(r);
    snprintf(w->url, sizeof w->url, "redis://127.0.0.1:%d", w->server.port);
    snprintf(w->log, sizeof w->log, "%s/bridge.log", w->server.dir);
}

struct engine_process *btest_fleet_engine(struct btest_fleet *w, const char *options,
                                          const char *bridge, unsigned ranks, bool connects) {
    struct engine_process *e = &w->engines[w->n_engines];
    *e = (struct engine_process){.ranks = ranks, .connects = connects};
    snprintf(e->name, sizeof e->name, "e%zu", w->n_engines);
    snprintf(e->options, sizeof e->options, "--time-scale=0 --block-size=%d %s", BTEST_BLOCK_SIZE,
             options);
    snprintf(e->bridge, sizeof e->bridge, "%s", bridge);
    btest_fleet_restart_engine(w, w->n_engines++);
    return e;
}

void btest_fleet_restart_engine(struct btest_fleet *w, size_t i) {
    process_end(&w->engines[i].pid, SIGKILL);
    if (!engine_start(&w->engines[i], home_setting("KVROUTE_MOCK", KVROUTE_MOCK)))
        btest_fleet_fail(w, "no engine");
}

static size_t first_engine(const struct btest_fleet *w, size_t bridge) {
    return w->n_engines * bridge / w->n_bridges;
}

void btest_fleet_restart_bridge(struct btest_fleet *w, size_t i) {
    size_t first = first_engine(w, i), end = first_engine(w, i + 1);
    process_end(&w->bridges[i].pid, SIGKILL);
    bridge_start(&w->bridges[i], w->engines + first, end - first);
}

void btest_fleet_bridges(struct btest_fleet *w, size_t n, const char *more) {
    w->n_bridges = n;
    for (size_t i = 0; i < n; i++) {
        w->bridges[i] =
            (struct bridge_process){.program = home_setting("KVROUTE_BRIDGE", KVROUTE_BRIDGE),
                                    .url = w->url,
                                    .pool = "pool",
                                    .create = BTEST_CREATE,
                                    .log = w->log,
                                    .more = more,
                                    .listen = process_ports(1)};
        btest_fleet_restart_bridge(w, i);
    }
}

void btest_fleet_settles(const struct btest_fleet *w) {
    int64_t end = clock_ns() + FLEET_HTTP_MS * INT64_C(1000000);
    for (size_t i = 0; i < w->n_bridges; clock_sleep_ms(10)) {
        if (clock_ns() > end) btest_fleet_fail(w, "a bridge doesn't settle");
        i += bridge_settled(&w->bridges[i]);
    }
}

void btest_fleet_close(struct btest_fleet *w) {
    for (size_t i = 0; i < w->n_bridges; i++)
        process_end(&w->bridges[i].pid, SIGKILL);
    for (size_t i = 0; i < w->n_engines; i++)
        process_end(&w->engines[i].pid, SIGKILL);
    server_remove(&w->server);
}

// ---- Engines -------------------------------------------------------------------------------------

// An engine may be refusing connections for a moment, because it was told to.
struct http_answer btest_fleet_call(const struct btest_fleet *w, size_t engine, const char *method,
                                    const char *path, const char *body) {
    struct http_answer a = {0};
    for (int64_t end = clock_ns() + FLEET_HTTP_MS * INT64_C(1000000); clock_ns() < end;
         clock_sleep_ms(20)) {
        a = http_call(w->engines[engine].http, method, path, "", body, FLEET_HTTP_MS);
        if (a.status == 200) return a;
        free(a.body);
    }
    btest_fleet_fail(w, "%s was answered %d", path, a.status);
}

void btest_fleet_fault(const struct btest_fleet *w, size_t engine, const char *query) {
    char path[160];
    snprintf(path, sizeof path, "/mock/fault?kind=%s", query);
    free(btest_fleet_call(w, engine, "POST", path, "").body);
}

void btest_fleet_reset(const struct btest_fleet *w, size_t engine) {
    for (int64_t end = clock_ns() + FLEET_HTTP_MS * INT64_C(1000000); clock_ns() < end;
         clock_sleep_ms(5)) {
        struct http_answer a = http_call(w->engines[engine].http, "POST", "/reset_prefix_cache", "",
                                         NULL, FLEET_HTTP_MS);
        bool done = a.status == 200 && strstr(a.body, "true");
        free(a.body);
        if (done) return;
    }
    btest_fleet_fail(w, "an engine is never done");
}

// ---- The truth -----------------------------------------------------------------------------------

static struct engines_difference wait_for(struct btest_fleet *w, int ms, const char *after,
                                          bool all) {
    struct engines_difference d = {-1, -1, 0, ""};
    bool read = false;
    for (int64_t end = clock_ns() + ms * INT64_C(1000000); clock_ns() < end; clock_sleep_ms(20)) {
        read = engines_compare(w->server.control, "pool", w->engines, w->n_engines, &d);
        if (read && (all ? d.blocks : d.vain) == 0) return d;
        if (w->server.control->err) btest_fleet_fail(w, "Redis: %s", w->server.control->errstr);
    }
    btest_fleet_fail(
        w, "after %s: %s%ld blocks differ, %ld of them the engines don't hold, of %zu: %s", after,
        read ? "" : "(not all answered) ", d.blocks, d.vain, d.held, d.first);
}

struct engines_difference btest_fleet_becomes_true(struct btest_fleet *w, int ms,
                                                   const char *after) {
    return wait_for(w, ms, after, true);
}

struct engines_difference btest_fleet_never_wrong(struct btest_fleet *w, int ms,
                                                  const char *after) {
    return wait_for(w, ms, after, false);
}
