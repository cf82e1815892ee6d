// SPDX-License-Identifier: Apache-2.0
// /metrics in both of its forms: every line is as the forms want it, and the numbers are right.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "client/common/utf8.h"
#include "client/router/router_metrics.h"
#include "rtest_cluster.h"

static struct support_response metrics(bool open) {
    struct support_response r =
        support_http(rtest_port(), "GET", "/metrics",
                     open ? "Accept: application/openmetrics-text; version=1.0.0\r\n" : NULL, NULL,
                     RTEST_WAIT_MS);
    cr_assert_eq(r.status, 200);
    cr_assert_eq(strstr(r.head, "openmetrics") != NULL, open);
    return r;
}

// The value of a sample, by its name and labels as they are written; −1: it isn't there.
static double value_of(const char *page, const char *sample) {
    size_t n = strlen(sample);
    for (const char *line = page; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, "kvroute_router_", 15) == 0 && strncmp(line + 15, sample, n) == 0 &&
            line[15 + n] == ' ')
            return atof(line + 16 + n);
    }
    return -1;
}

struct family {
    char name[100], type[20];
};

static bool is_of(const struct family *f, const char *name, size_t n, bool open) {
    static const char *const parts[] = {"_bucket", "_sum", "_count"};
    size_t m = strlen(f->name);
    if (n < m || strncmp(f->name, name, m) != 0) return false;
    const char *rest = name + m;
    size_t left = n - m;
    if (strcmp(f->type, "gauge") == 0) return left == 0;
    if (strcmp(f->type, "counter") == 0)
        return open ? left == 6 && !strncmp(rest, "_total", 6)
                    : left == 0 && !strcmp(f->name + m - 6, "_total");
    for (size_t i = 0; i < 3; i++)
        if (left == strlen(parts[i]) && strncmp(rest, parts[i], left) == 0) return true;
    return false;
}

static void check_sample(const struct family *f, const char *line, bool open) {
    size_t n = strcspn(line, "{ ");
    const char *value = strrchr(line, ' ');
    char *end;
    cr_assert(is_of(f, line, n, open), "not of %s (%s): %s", f->name, f->type, line);
    cr_assert(value && (line[n] == ' ' ? value == line + n : value[-1] == '}'), "%s", line);
    strtod(value + 1, &end);
    cr_assert(end > value + 1 && !*end, "%s", line);
}

// Buckets count up, and the last has all.
static void check_bucket(const char *line, double *before) {
    double n = atof(strrchr(line, ' ') + 1);
    if (strstr(line, "_bucket{")) {
        cr_assert_geq(n, *before, "%s", line);
        *before = n;
    } else if (strstr(line, "_count")) {
        cr_assert_eq(n, *before, "%s", line);
        *before = 0;
    }
}

static void check_page(char *page, bool open) {
    static struct family families[200];
    size_t n = 0;
    double before = 0;
    char helped[100] = "", *rest = NULL, *last = page;
    for (char *line = strtok_r(page, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        struct family f;
        last = line;
        if (sscanf(line, "# TYPE %99s %19s", f.name, f.type) == 2) {
            for (size_t i = 0; i < n; i++)
                cr_assert(strcmp(families[i].name, f.name) != 0, "%s twice", f.name);
            cr_assert_lt(n, 200);
            families[n++] = f;
            cr_assert_str_eq(f.name, helped, "a TYPE without its HELP");
        } else if (strncmp(line, "# HELP ", 7) == 0) {
            cr_assert_eq(sscanf(line, "# HELP %99s", helped), 1);
        } else if (*line != '#') {
            cr_assert(n);
            check_sample(&families[n - 1], line, open);
            if (strcmp(families[n - 1].type, "histogram") == 0) check_bucket(line, &before);
        }
    }
    cr_assert_geq(n, 30);
    cr_assert_eq(strcmp(last, "# EOF") == 0, open);
}

Test(metrics, forms_and_numbers, .fini = rtest_cluster_down) {
    rtest_redis();
    rtest_router(0, (const char *[]){"--pool", "a\"b\\c key=demo", "--pool", "other", "--engine",
                                     "http://10.0.0.1:8000", NULL});
    freeReplyObject(rtest_command("KVROUTE.CREATE demo BLOCKSIZE 4"));
    freeReplyObject(rtest_command("KVROUTE.CREATE other BLOCKSIZE 4"));
    freeReplyObject(rtest_command("KVROUTE.WORKER SET other w"));
    rtest_await_ready(0);
    struct support_response r = metrics(false);
    double served = value_of(r.body, "requests_total{route=\"readyz\",code=\"200\"}");
    cr_assert_geq(served, 1);
    cr_assert_eq(value_of(r.body, "build_info{version=\"" KVROUTE_VERSION "\"}"), 1);
    cr_assert(strstr(r.body, "pool=\"a\\\"b\\\\c\""), "labels aren't escaped");
    support_response_free(&r);
    for (int i = 0; i < 3; i++)
        json_decref(rtest_json(rtest_post(rtest_port(), "/v1/select",
                                          "{\"pool\":\"other\",\"tokens\":[1,2,3,4,5,6,7,8]}"),
                               200));
    rtest_error_code(
        rtest_post(rtest_port(), "/v1/select", "{\"pool\":\"other\",\"among\":[\"x\"]}"), 503);
    rtest_error_code(rtest_get(rtest_port(), "/nothing"), 404);
    r = metrics(false);
    cr_assert_eq(value_of(r.body, "requests_total{route=\"select\",code=\"200\"}"), 3);
    cr_assert_eq(value_of(r.body, "requests_total{route=\"select\",code=\"503\"}"), 1);
    cr_assert_eq(value_of(r.body, "requests_total{route=\"none\",code=\"404\"}"), 1);
    cr_assert_eq(value_of(r.body, "request_duration_seconds_count{route=\"select\"}"), 4);
    cr_assert_eq(value_of(r.body, "selects_total{code=\"OK\"}"), 3);
    cr_assert_eq(value_of(r.body, "selects_total{code=\"NOWORKER\"}"), 1);
    cr_assert_eq(value_of(r.body, "select_duration_seconds_count"), 4);
    cr_assert_eq(value_of(r.body, "request_blocks_total"), 6);
    cr_assert_eq(value_of(r.body, "redis_connected{pool=\"other\"}"), 1);
    cr_assert_eq(value_of(r.body, "live_requests{pool=\"other\"}"), 3);
    cr_assert_eq(value_of(r.body, "requests_in_flight"), 1);
    check_page(r.body, false);
    support_response_free(&r);
    r = metrics(true);
    check_page(r.body, true);
    support_response_free(&r);
}

// ---- Names that come and go ----------------------------------------------------------------------

static bool knows(void *ctx, const char *pool, const char *worker) {
    return !strcmp(pool, "p") && !strcmp(worker, ctx);
}

static bool shows(const struct router_metrics *m, const char *worker) {
    for (size_t i = 0; i < m->n_workers; i++)
        if (!strcmp(m->workers[i].worker, worker)) return true;
    return false;
}

static void try_workers(struct router_metrics *m, int from, int to) {
    char name[20];
    for (int i = from; i < to; i++) {
        snprintf(name, sizeof name, "w%d", i);
        router_metrics_engine(m, "p", name, ROUTER_ENGINE_OK);
    }
}

static void grow_old(struct router_metrics *m) {
    for (size_t i = 0; i < m->n_workers; i++)
        m->workers[i].last_us -= (int64_t)(ROUTER_METRICS_KEEP_S + 1) * 1000000;
}

Test(metrics, workers_that_have_gone) {
    struct router_metrics *m = router_metrics_new();
    char there[] = "w1";
    try_workers(m, 0, 3);
    router_metrics_forget(m, kvr_clock_us(), knows, there);
    cr_assert_eq(m->n_workers, 3); // for a while
    grow_old(m);
    try_workers(m, 2, 3);
    router_metrics_forget(m, kvr_clock_us(), knows, there);
    cr_assert(m->n_workers == 2 && shows(m, "w1") && shows(m, "w2"));
    cr_assert_eq(m->workers[1].tries[ROUTER_ENGINE_OK], 2);
    router_metrics_free(m);
}

Test(metrics, more_workers_than_there_is_room_for) {
    struct router_metrics *m = router_metrics_new();
    try_workers(m, 0, ROUTER_METRICS_WORKERS + 5);
    cr_assert_eq(m->n_workers, ROUTER_METRICS_WORKERS);
    cr_assert_eq(m->workers_unnamed, 5);
    grow_old(m);
    m->looked_us = 0;
    try_workers(m, 3, 4);
    try_workers(m, ROUTER_METRICS_WORKERS, ROUTER_METRICS_WORKERS + 5);
    cr_assert_eq(m->workers_unnamed, 5);
    cr_assert_eq(m->n_workers, 6); // that was tried is kept
    router_metrics_free(m);
}

// ---- Names with anything in them -----------------------------------------------------------------

// All of it is UTF-8 and no line is another's, whatever workers are called and wherever they are.
Test(metrics, names_and_addresses_of_any_bytes, .fini = rtest_cluster_down) {
    static const char forged[] = "http://127.0.0.1:1/\n2026-01-01T00:00:00.000Z error forged";
    static const char *const names[] = {"w\xff", "w\xfe\xff", "w\nforged 1", "w\xef\xbf\xbd"};
    rtest_redis();
    rtest_router(0, (const char *[]){"--pool", "kvroute", NULL});
    freeReplyObject(rtest_command("KVROUTE.CREATE kvroute BLOCKSIZE 4"));
    for (int i = 0; i < 4; i++)
        freeReplyObject(rtest_command("KVROUTE.WORKER SET kvroute %b ADDR %s", names[i],
                                      strlen(names[i]), i == 1 ? forged : "http://127.0.0.1:1"));
    rtest_await_ready(0);
    for (int i = 0; i < 16; i++) {
        struct support_response r =
            rtest_post(rtest_port(), "/v1/completions", "{\"prompt\":\"x\"}");
        cr_assert(r.status == 502 || r.status == 503, "%d", r.status);
        json_error_t error;
        json_t *body = json_loadb(r.body, r.n, 0, &error);
        cr_assert(body, "%s", r.body);
        json_decref(body);
        support_response_free(&r);
    }
    struct support_response r = metrics(false);
    for (size_t at = 0, size; at < r.n; at += size)
        cr_assert((size = kvr_utf8_size(r.body + at, r.n - at)), "%.60s", r.body + at);
    cr_assert(strstr(r.body, "worker=\"w\xef\xbf\xbd"
                             "ff\""),
              "%s", r.body);
    check_page(r.body, false);
    support_response_free(&r);
    json_decref(rtest_json(rtest_get(rtest_port(), "/v1/workers"), 200));
    json_decref(rtest_json(rtest_get(rtest_port(), "/v1/status"), 200));
    rtest_end_router(0);
    rtest_expect_log(0, "\\x0a2026-01-01T00:00:00.000Z error forged", true);
    rtest_expect_log(0, "\n2026-01-01T00:00:00.000Z", false);
}

// A method of any length, a name that fills the line: each line of the access log is JSON.
Test(metrics, access_log_of_long_words, .fini = rtest_cluster_down) {
    char request[6200], *log;
    int lines = 0;
    rtest_redis();
    rtest_router(0, (const char *[]){"--pool", "kvroute", NULL});
    memset(request, 'M', 5000);
    strcpy(request + 5000, " /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    int fd = support_http_connect(rtest_port());
    rtest_say(fd, request);
    struct support_response r = support_http_response(fd, false, RTEST_WAIT_MS);
    cr_assert_eq(r.status, 405);
    support_response_free(&r);
    close(fd);
    snprintf(request, sizeof request, "{\"prompt\":\"x\",\"model\":\"");
    for (size_t i = 0, at = strlen(request); i < 900; i++, at += 6)
        sprintf(request + at, "\\u0001");
    strcat(request, "\"}");
    r = rtest_post(rtest_port(), "/v1/completions", request);
    cr_assert_geq(r.status, 400);
    support_response_free(&r);
    rtest_end_router(0);
    log = rtest_log(0);
    for (char *rest = NULL, *line = strtok_r(log, "\n", &rest); line;
         line = strtok_r(NULL, "\n", &rest)) {
        json_error_t error;
        if (*line != '{') continue;
        json_t *entry = json_loads(line, 0, &error);
        cr_assert(entry, "%s", line);
        json_decref(entry);
        lines++;
    }
    cr_assert_geq(lines, 3);
    free(log);
}
