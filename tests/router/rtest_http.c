// SPDX-License-Identifier: Apache-2.0
// See rtest_http.h.
#define _GNU_SOURCE // memmem, strcasestr
#include "rtest_http.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/common/clock.h"

int rtest_connect(int port) {
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(fd >= 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0) return fd;
    close(fd);
    return -1;
}

void rtest_send(int fd, const void *bytes, size_t n) {
    for (const char *p = bytes; n;) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent <= 0) return; // the answer tells why
        p += sent;
        n -= (size_t)sent;
    }
}

void rtest_say(int fd, const char *text) {
    rtest_send(fd, text, strlen(text));
}

enum { HTTP_WAIT_MS = 30000 };

struct http_bytes {
    char *p;
    size_t n, room;
};

// False: nothing more comes.
static bool read_more(struct http_bytes *b, int fd, int64_t until) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int64_t left = until - kvr_clock_ms();
    if (b->n + 65536 > b->room) {
        b->room = b->room * 2 + 65537;
        cr_assert((b->p = realloc(b->p, b->room)) != NULL);
    }
    if (left < 0 || poll(&p, 1, (int)left) != 1) return false;
    ssize_t n = recv(fd, b->p + b->n, b->room - b->n - 1, 0);
    if (n <= 0) return false;
    b->n += (size_t)n;
    b->p[b->n] = 0;
    return true;
}

char *rtest_read_all(int fd, int ms, bool *closed) {
    struct http_bytes b = {0};
    int64_t until = kvr_clock_ms() + ms;
    while (read_more(&b, fd, until))
        ;
    if (closed) *closed = kvr_clock_ms() < until;
    b.p[b.n] = 0;
    return b.p;
}

static const char *header(const char *head, const char *name) {
    size_t n = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, n) == 0 && line[n] == ':')
            return line + n + 1 + strspn(line + n + 1, " ");
    }
    return NULL;
}

// Puts chunks together, in place. 1: complete, 0: more is to come, −1: malformed.
static int join(const char *raw, size_t n, struct rtest_response *r) {
    size_t at = 0;
    r->n = 0;
    for (;;) {
        char *end;
        const char *line = memmem(raw + at, n - at, "\r\n", 2);
        if (!line) return 0;
        size_t size = strtoul(raw + at, &end, 16);
        if (end != line) return -1;
        at = (size_t)(line - raw) + 2;
        if (n - at < size + 2) return 0;
        if (memcmp(raw + at + size, "\r\n", 2) != 0) return -1;
        if (!size) return 1;
        memmove(r->body + r->n, raw + at, size);
        r->n += size;
        at += size + 2;
    }
}

struct rtest_response rtest_read_response(int fd, bool head_only) {
    struct rtest_response r = {0};
    struct http_bytes b = {0};
    char *end = NULL;
    int64_t until = kvr_clock_ms() + HTTP_WAIT_MS;
    bool more = true;
    while (!end && more) {
        more = read_more(&b, fd, until);
        // A 100 Continue isn't the answer.
        if (b.n && strncmp(b.p, "HTTP/1.1 100", 12) == 0 && (end = strstr(b.p, "\r\n\r\n"))) {
            size_t skip = (size_t)(end + 4 - b.p);
            memmove(b.p, b.p + skip, b.n - skip + 1);
            b.n -= skip;
        }
        end = b.n ? strstr(b.p, "\r\n\r\n") : NULL;
    }
    if (!end) {
        free(b.p);
        r.closed = true;
        return r;
    }
    size_t at = (size_t)(end + 4 - b.p);
    r.head = strndup(b.p, at - 2);
    r.status = atoi(r.head + 9);
    const char *length = header(r.head, "content-length");
    const char *coding = header(r.head, "transfer-encoding");
    size_t n = length ? strtoul(length, NULL, 10) : 0;
    int joined = 0;
    for (; more; more = read_more(&b, fd, until)) {
        r.body = realloc(r.body, b.n - at + 1);
        if (coding && !head_only && (joined = join(b.p + at, b.n - at, &r)) != 0) break;
        if (head_only || (length && b.n - at >= n)) break;
    }
    if (!r.body) r.body = malloc(b.n - at + 1);
    if (!coding || head_only) {
        r.n = head_only || !length || b.n - at < n ? b.n - at : n;
        memcpy(r.body, b.p + at, r.n);
    }
    if (head_only) r.n = 0;
    r.complete = head_only || (coding ? joined == 1 : length ? b.n - at >= n : true);
    r.body = realloc(r.body, r.n + 1);
    r.body[r.n] = 0;
    r.closed = !more;
    free(b.p);
    return r;
}

struct rtest_response rtest_request(int port, const char *method, const char *path,
                                    const char *headers, const char *body) {
    char head[4096];
    int fd = rtest_connect(port);
    if (fd < 0) return (struct rtest_response){.closed = true};
    int n = snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: test\r\n%s", method, path,
                     headers ? headers : "");
    cr_assert(n > 0 && (size_t)n < sizeof head - 60);
    if (body) n += sprintf(head + n, "Content-Length: %zu\r\n", strlen(body));
    n += sprintf(head + n, "\r\n");
    rtest_send(fd, head, (size_t)n);
    if (body) rtest_say(fd, body);
    struct rtest_response r = rtest_read_response(fd, strcmp(method, "HEAD") == 0);
    close(fd);
    return r;
}

struct rtest_response rtest_get(int port, const char *path) {
    return rtest_request(port, "GET", path, NULL, NULL);
}

struct rtest_response rtest_post(int port, const char *path, const char *body) {
    return rtest_request(port, "POST", path, "Content-Type: application/json\r\n", body);
}

void rtest_response_free(struct rtest_response *r) {
    free(r->head);
    free(r->body);
    *r = (struct rtest_response){0};
}

bool rtest_response_has(const struct rtest_response *r, const char *header_line) {
    char line[600];
    snprintf(line, sizeof line, "\r\n%s\r\n", header_line);
    return r->head && strcasestr(r->head, line);
}

json_t *rtest_json(struct rtest_response r, int status) {
    json_error_t error;
    cr_assert_eq(r.status, status, "%d instead of %d: %s", r.status, status, r.body);
    json_t *body = json_loadb(r.body, r.n, 0, &error);
    cr_assert(body, "no JSON: %s", r.body);
    rtest_response_free(&r);
    return body;
}

const char *rtest_error_code(struct rtest_response r, int status) {
    static char code[64];
    json_t *body = rtest_json(r, status);
    const char *text = json_string_value(json_object_get(json_object_get(body, "error"), "code"));
    snprintf(code, sizeof code, "%s", text ? text : "");
    json_decref(body);
    return code;
}
