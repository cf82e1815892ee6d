// SPDX-License-Identifier: Apache-2.0
// See support_http.h.
#define _GNU_SOURCE // memmem, strcasestr
#include "support_http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "support_home.h"

enum { HTTP_CHUNK = 65536 };

int support_http_connect(int port) {
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), error;
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) == 0) return fd;
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

void support_http_send(int fd, const void *bytes, size_t n) {
    for (const char *p = bytes; n;) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent <= 0) return;
        p += sent;
        n -= (size_t)sent;
    }
}

void support_http_request(int fd, const char *method, const char *path, const char *headers,
                          const char *body) {
    char *head, length[40] = "";
    if (body) snprintf(length, sizeof length, "Content-Length: %zu\r\n", strlen(body));
    int n = asprintf(&head, "%s %s HTTP/1.1\r\nHost: test\r\n%s%s\r\n", method, path,
                     headers ? headers : "", length);
    if (n < 0) support_fail("out of memory");
    support_http_send(fd, head, (size_t)n);
    if (body) support_http_send(fd, body, strlen(body));
    free(head);
}

// ---- Reading -------------------------------------------------------------------------------------

struct http_input {
    char *p; // with a NUL behind it
    size_t n, room;
    bool closed, reset;
};

// False: nothing more comes.
static bool read_more(struct http_input *b, int fd, int64_t until) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int64_t left = until - kvr_clock_ms();
    if (b->n + HTTP_CHUNK > b->room) {
        b->room = b->room * 2 + HTTP_CHUNK + 1;
        if (!(b->p = realloc(b->p, b->room))) support_fail("out of memory");
        b->p[b->n] = 0;
    }
    if (left < 0 || poll(&p, 1, (int)left) != 1) return false;
    ssize_t n = recv(fd, b->p + b->n, b->room - b->n - 1, 0);
    b->closed = n <= 0;
    b->reset = n < 0 && errno == ECONNRESET;
    if (n <= 0) return false;
    b->n += (size_t)n;
    b->p[b->n] = 0;
    return true;
}

char *support_http_read(int fd, const char *until, int64_t ms, size_t *n, bool *closed,
                        bool *reset) {
    struct http_input b = {0};
    for (int64_t end = kvr_clock_ms() + ms; read_more(&b, fd, end);)
        if (until && strstr(b.p, until)) break;
    if (n) *n = b.n;
    if (closed) *closed = b.closed;
    if (reset) *reset = b.reset;
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

// Puts chunks together, from raw to the body. 1: complete, 0: more is to come, -1: malformed.
static int join(const char *raw, size_t n, struct support_response *r) {
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
        memcpy(r->body + r->n, raw + at, size);
        r->n += size;
        at += size + 2;
    }
}

// Reads until there is a head; its end, NULL if there is none. A 100 Continue isn't the answer.
static char *read_head(struct http_input *b, int fd, int64_t until, bool *more) {
    for (;;) {
        char *end = b->n ? strstr(b->p, "\r\n\r\n") : NULL;
        if (end && strncmp(b->p, "HTTP/1.1 100", 12) != 0) return end;
        if (end) {
            b->n -= (size_t)(end + 4 - b->p);
            memmove(b->p, end + 4, b->n + 1);
        } else if (!*more || !(*more = read_more(b, fd, until))) {
            return NULL;
        }
    }
}

struct support_response support_http_response(int fd, bool head_only, int64_t ms) {
    struct support_response r = {0};
    struct http_input b = {0};
    int64_t until = kvr_clock_ms() + ms;
    bool more = true;
    char *end = read_head(&b, fd, until, &more);
    if (end) {
        size_t at = (size_t)(end + 4 - b.p);
        r.head = strndup(b.p, at - 2);
        r.status = atoi(r.head + 9);
        const char *length = header(r.head, "content-length");
        const char *coding = header(r.head, "transfer-encoding");
        size_t n = length ? strtoul(length, NULL, 10) : SIZE_MAX;
        int joined = 0;
        while (!head_only) {
            r.body = realloc(r.body, b.n - at + 1);
            if (coding ? (joined = join(b.p + at, b.n - at, &r)) != 0 : b.n - at >= n) break;
            if (!(more = read_more(&b, fd, until))) break;
        }
        if (!coding && !head_only) {
            r.n = b.n - at < n ? b.n - at : n;
            memcpy(r.body, b.p + at, r.n);
        }
        r.complete = head_only || (coding ? joined == 1 : length ? r.n == n : b.closed);
    }
    r.body = realloc(r.body, r.n + 1);
    r.body[r.n] = 0;
    r.closed = b.closed;
    r.reset = b.reset;
    free(b.p);
    return r;
}

struct support_response support_http(int port, const char *method, const char *path,
                                     const char *headers, const char *body, int64_t ms) {
    struct support_response r = {0};
    int fd = support_http_connect(port);
    if (fd < 0) return r;
    support_http_request(fd, method, path, headers, body);
    r = support_http_response(fd, strcmp(method, "HEAD") == 0, ms);
    if (!r.complete) r.status = 0;
    close(fd);
    return r;
}

void support_response_free(struct support_response *r) {
    free(r->head);
    free(r->body);
    *r = (struct support_response){0};
}

bool support_response_has(const struct support_response *r, const char *header_line) {
    char line[600];
    snprintf(line, sizeof line, "\r\n%s\r\n", header_line);
    return r->head && strcasestr(r->head, line);
}
