// SPDX-License-Identifier: Apache-2.0
// /metrics in both of its forms: every line is as the forms want it, and the numbers are right.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
