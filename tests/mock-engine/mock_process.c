// SPDX-License-Identifier: Apache-2.0
// Mock engines as processes; see mock_process.h.
#include "mock_process.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "mock_memory.h"
#include "tests/support/support_home.h"
#include "tests/support/support_process.h"

enum { MAX_MOCK_ARGS = 40 };

// ---- Processes -----------------------------------------------------------------------------------

static void copy_endpoints(char out[][64], const json_t *endpoints) {
    size_t i;
    json_t *one;
    json_array_foreach(endpoints, i, one) {
        cr_assert(i < MOCK_TEST_RANKS);
        snprintf(out[i], sizeof out[i], "%s", json_string_value(one));
    }
}

struct mock_process mock_process_start(const char *options) {
    char *text = mock_copy_text(options);
    const char *words[MAX_MOCK_ARGS + 1] = {0};
    size_t n = 0;
    words[n++] = support_setting("KVROUTE_MOCK", KVROUTE_MOCK);
    words[n++] = "--time-scale=0"; // a later one is what counts
    support_split(text, words, n, MAX_MOCK_ARGS + 1);
    int ends[2];
    char line[2000];
    cr_assert(pipe(ends) == 0);
    struct mock_process p = {.pid = support_fork(-1, ends[1], 2)};
    if (!p.pid) support_exec(words);
    close(ends[1]);
    free(text);
    cr_assert(support_read_line(ends[0], line, sizeof line, MOCK_PATIENCE_MS),
              "the engine didn't start: %s", options);
    close(ends[0]);
    json_t *where = json_loads(line, 0, NULL);
    cr_assert(where, "%s", line);
    p.http_port = (int)json_integer_value(json_object_get(where, "http_port"));
    p.side_port = (int)json_integer_value(json_object_get(where, "side_port"));
    copy_endpoints(p.events, json_object_get(where, "events"));
    copy_endpoints(p.replay, json_object_get(where, "replay"));
    json_decref(where);
    return p;
}

void mock_process_end(struct mock_process *p, int signal) {
    int status = 0;
    kill(p->pid, signal);
    cr_assert(support_ends(&p->pid, MOCK_PATIENCE_MS, &status));
    cr_assert(signal != SIGTERM || status == 0, "an engine ended badly: %d", status);
}

// ---- HTTP ----------------------------------------------------------------------------------------

int mock_http_open(const struct mock_process *p) {
    return support_http_connect(p->http_port);
}

char *mock_http_read(int fd, const char *until, size_t *len, bool *reset) {
    bool closed;
    char *text = support_http_read(fd, until, MOCK_PATIENCE_MS, len, &closed, reset);
    cr_assert(text && (closed || (until && strstr(text, until))), "no answer after: %s", text);
    return text;
}

struct support_response mock_http(const struct mock_process *p, const char *method,
                                  const char *path, const char *headers, const char *body) {
    return support_http(p->http_port, method, path, headers, body, MOCK_PATIENCE_MS);
}

struct support_response mock_http_post(const struct mock_process *p, const char *path,
                                       const char *body) {
    return mock_http(p, "POST", path, "Content-Type: application/json\r\n", body);
}

struct support_response mock_http_get(const struct mock_process *p, const char *path) {
    return mock_http(p, "GET", path, "", NULL);
}

void mock_http_expect(const struct mock_process *p, const char *path, const char *body,
                      int status) {
    struct support_response r = mock_http_post(p, path, body);
    cr_assert(r.status == status, "%s: %d instead of %d: %s", path, r.status, status, r.body);
    support_response_free(&r);
}

void mock_http_expect_get(const struct mock_process *p, const char *path, int status) {
    struct support_response r = mock_http_get(p, path);
    cr_assert(r.status == status, "%s: %d %s", path, r.status, r.body);
    support_response_free(&r);
}

json_t *mock_http_json(const struct mock_process *p, const char *path) {
    struct support_response r = mock_http_get(p, path);
    json_t *value = json_loads(r.body, 0, NULL);
    cr_assert(r.status == 200 && value, "%s: %d %s", path, r.status, r.body);
    support_response_free(&r);
    return value;
}

json_int_t mock_number(const struct mock_process *p, const char *path, const char *name) {
    json_t *all = mock_http_json(p, path), *at = all;
    char *names = mock_copy_text(name), *rest = NULL;
    for (char *part = strtok_r(names, ".", &rest); part; part = strtok_r(NULL, ".", &rest))
        at = json_object_get(at, part);
    cr_assert(json_is_integer(at), "no number %s in %s", name, path);
    json_int_t n = json_integer_value(at);
    free(names);
    json_decref(all);
    return n;
}

void mock_wait_number(const struct mock_process *p, const char *path, const char *name,
                      json_int_t value) {
    int64_t deadline = kvr_clock_ms() + MOCK_PATIENCE_MS;
    while (mock_number(p, path, name) != value) {
        cr_assert(kvr_clock_ms() < deadline, "%s never was %d", name, (int)value);
        support_sleep_ms(2);
    }
}

int mock_http_begin(const struct mock_process *p, const char *path, const char *headers,
                    const char *body) {
    int fd = mock_http_open(p);
    cr_assert(fd >= 0);
    support_http_request(fd, "POST", path, headers, body);
    return fd;
}

struct support_response mock_http_finish(int fd) {
    struct support_response r = support_http_response(fd, false, MOCK_PATIENCE_MS);
    close(fd);
    return r;
}

void mock_order_fault(const struct mock_process *p, const char *query) {
    char path[200];
    snprintf(path, sizeof path, "/mock/fault?%s", query);
    mock_http_expect(p, path, "", 200);
}

double mock_metric(const struct mock_process *p, const char *name) {
    struct support_response r = mock_http_get(p, "/metrics");
    char line[200];
    snprintf(line, sizeof line, "\nvllm:%s{engine=\"0\",", name);
    const char *at = strstr(r.body, line);
    cr_assert(at && (at = strchr(at, '}')), "no metric %s in %s", name, r.body);
    double value = strtod(at + 1, NULL);
    support_response_free(&r);
    return value;
}

void mock_wait_metric(const struct mock_process *p, const char *name, double least) {
    int64_t deadline = kvr_clock_ms() + MOCK_PATIENCE_MS;
    while (mock_metric(p, name) < least) {
        cr_assert(kvr_clock_ms() < deadline, "%s never was %g", name, least);
        support_sleep_ms(2);
    }
}
