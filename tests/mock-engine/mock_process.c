// SPDX-License-Identifier: Apache-2.0
// Mock engines as processes; see test_process.h.
#define _GNU_SOURCE // asprintf, strcasestr
#include "mock_process.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
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
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)p->http_port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

void mock_http_write(int fd, const void *bytes, size_t len) {
    for (const char *at = bytes; len > 0;) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n <= 0) return; // the answer will show it
        at += n;
        len -= (size_t)n;
    }
}

char *mock_http_read(int fd, const char *until, size_t *len, bool *reset) {
    char *text = NULL;
    size_t room = 0, n = 0;
    if (reset) *reset = false;
    for (;;) {
        text = mock_grow(text, &room, n + 65536, 1);
        text[n] = 0;
        if (until && strstr(text, until)) break;
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        cr_assert(poll(&wait, 1, MOCK_PATIENCE_MS) > 0, "no answer after: %s", text);
        ssize_t got = recv(fd, text + n, room - n - 1, 0);
        if (reset && got < 0 && errno == ECONNRESET) *reset = true;
        if (got <= 0) break;
        n += (size_t)got;
    }
    text[n] = 0;
    if (len) *len = n;
    return text;
}

// Puts chunks together, in place. False: the last one is missing.
static bool unchunk(char *body, size_t *len) {
    size_t to = 0;
    for (char *at = body, *end = body + *len; at < end;) {
        char *data;
        size_t n = strtoul(at, &data, 16);
        if (data + 2 > end || n > (size_t)(end - data)) return false;
        data += 2;
        if (!n) {
            *len = to;
            body[to] = 0;
            return true;
        }
        memmove(body + to, data, n);
        to += n;
        at = data + n + 2;
    }
    *len = to;
    return false;
}

static void parse(struct mock_response *r) {
    char *body = strstr(r->body, "\r\n\r\n");
    if (!body || strncmp(r->body, "HTTP/1.1 ", 9) != 0) return;
    r->status = atoi(r->body + 9);
    *body = 0;
    const char *length = strcasestr(r->body, "\r\ncontent-length:");
    bool chunked = strcasestr(r->body, "\r\ntransfer-encoding: chunked") != NULL;
    size_t want = length ? strtoul(length + 17, NULL, 10) : 0;
    body += 4;
    r->len -= (size_t)(body - r->body);
    memmove(r->body, body, r->len + 1);
    if (chunked ? !unchunk(r->body, &r->len) : length && r->len < want) r->status = 0;
}

struct mock_response mock_http(const struct mock_process *p, const char *method, const char *path,
                               const char *headers, const char *body) {
    struct mock_response r = {0};
    char *head;
    int fd = mock_http_open(p);
    cr_assert(fd >= 0, "connecting: %s", strerror(errno));
    int n = asprintf(
        &head, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n",
        method, path, headers, body ? strlen(body) : 0);
    cr_assert(n > 0);
    mock_http_write(fd, head, (size_t)n);
    if (body) mock_http_write(fd, body, strlen(body));
    r.body = mock_http_read(fd, NULL, &r.len, &r.reset);
    parse(&r);
    close(fd);
    free(head);
    return r;
}

struct mock_response mock_http_post(const struct mock_process *p, const char *path,
                                    const char *body) {
    return mock_http(p, "POST", path, "Content-Type: application/json\r\n", body);
}

struct mock_response mock_http_get(const struct mock_process *p, const char *path) {
    return mock_http(p, "GET", path, "", NULL);
}

void mock_response_free(struct mock_response *r) {
    free(r->body);
    *r = (struct mock_response){0};
}

void mock_http_expect(const struct mock_process *p, const char *path, const char *body,
                      int status) {
    struct mock_response r = mock_http_post(p, path, body);
    cr_assert(r.status == status, "%s: %d instead of %d: %s", path, r.status, status, r.body);
    mock_response_free(&r);
}

json_t *mock_http_json(const struct mock_process *p, const char *path) {
    struct mock_response r = mock_http_get(p, path);
    json_t *value = json_loads(r.body, 0, NULL);
    cr_assert(r.status == 200 && value, "%s: %d %s", path, r.status, r.body);
    mock_response_free(&r);
    return value;
}

void mock_order_fault(const struct mock_process *p, const char *query) {
    char path[200];
    snprintf(path, sizeof path, "/mock/fault?%s", query);
    mock_http_expect(p, path, "", 200);
}

double mock_metric(const struct mock_process *p, const char *name) {
    struct mock_response r = mock_http_get(p, "/metrics");
    char line[200];
    snprintf(line, sizeof line, "\nvllm:%s{engine=\"0\",", name);
    const char *at = strstr(r.body, line);
    cr_assert(at && (at = strchr(at, '}')), "no metric %s in %s", name, r.body);
    double value = strtod(at + 1, NULL);
    mock_response_free(&r);
    return value;
}
