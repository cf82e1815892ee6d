// SPDX-License-Identifier: Apache-2.0
// A lean client; see bench_wire.h.
#include "bench_wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench/common/bench_memory.h"
#include "tests/support/support_home.h"
#include "tests/support/support_http.h"

enum { READ_AT_ONCE = 64 * 1024 };

static _Noreturn void fail_errno(const char *what) {
    support_fail("%s: %s", what, strerror(errno));
}

static void open_with(struct bench_wire *w, int fd) {
    if (fd < 0) fail_errno("no connection");
    *w =
        (struct bench_wire){.fd = fd, .in = bench_calloc(READ_AT_ONCE, 1), .room_in = READ_AT_ONCE};
}

void bench_wire_open_unix(struct bench_wire *w, const char *path) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (n >= sizeof a.sun_path) support_fail("the path of the socket is too long");
    memcpy(a.sun_path, path, n + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    open_with(w, fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) ? -1 : fd);
}

void bench_wire_open_tcp(struct bench_wire *w, int port) {
    open_with(w, support_http_connect(port));
    setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

void bench_wire_close(struct bench_wire *w) {
    close(w->fd);
    free(w->out);
    free(w->in);
    *w = (struct bench_wire){.fd = -1};
}

// ---- Commands ------------------------------------------------------------------------------------

static char *room(struct bench_wire *w, size_t n) {
    w->out = bench_grow(w->out, &w->room_out, w->n_out + n, 1);
    return w->out + w->n_out;
}

static void head(struct bench_wire *w, char type, uint64_t v) {
    char digits[24];
    size_t n = sizeof digits;
    digits[--n] = '\n';
    digits[--n] = '\r';
    do
        digits[--n] = (char)('0' + v % 10);
    while (v /= 10);
    digits[--n] = type;
    memcpy(room(w, sizeof digits - n), digits + n, sizeof digits - n);
    w->n_out += sizeof digits - n;
}

void bench_wire_word(struct bench_wire *w, const void *bytes, size_t n) {
    head(w, '$', n);
    char *to = room(w, n + 2);
    memcpy(to, bytes, n);
    memcpy(to + n, "\r\n", 2);
    w->n_out += n + 2;
}

void bench_wire_text(struct bench_wire *w, const char *text) {
    bench_wire_word(w, text, strlen(text));
}

void bench_wire_begin(struct bench_wire *w, size_t words, ...) {
    va_list texts;
    va_start(texts, words);
    head(w, '*', words);
    for (const char *text; (text = va_arg(texts, const char *));)
        bench_wire_text(w, text);
    va_end(texts);
}

void bench_wire_number(struct bench_wire *w, uint64_t v) {
    char digits[24];
    size_t n = sizeof digits;
    do
        digits[--n] = (char)('0' + v % 10);
    while (v /= 10);
    bench_wire_word(w, digits + n, sizeof digits - n);
}

// The server reads as it goes and never waits for its replies to be taken, so writing all of it first
// can't lock the two up.
void bench_wire_send(struct bench_wire *w) {
    for (size_t at = 0; at < w->n_out;) {
        ssize_t n = send(w->fd, w->out + at, w->n_out - at, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR) fail_errno("can't send");
        if (n > 0) at += (size_t)n;
    }
    w->n_out = 0;
}

// ---- Replies -------------------------------------------------------------------------------------

static void read_more(struct bench_wire *w) {
    if (w->at) {
        memmove(w->in, w->in + w->at, w->n_in - w->at);
        w->n_in -= w->at;
        w->at = 0;
    }
    w->in = bench_grow(w->in, &w->room_in, w->n_in + READ_AT_ONCE, 1);
    ssize_t n = recv(w->fd, w->in + w->n_in, w->room_in - w->n_in, 0);
    if (n == 0) support_fail("the server has closed the connection");
    if (n < 0 && errno != EINTR) fail_errno("no reply");
    if (n > 0) w->n_in += (size_t)n;
}

static size_t line_length(struct bench_wire *w) {
    for (size_t looked = 0;;) {
        size_t there = w->n_in - w->at - looked;
        const char *end = there ? memchr(w->in + w->at + looked, '\n', there) : NULL;
        if (end) return (size_t)(end - (w->in + w->at)) + 1;
        looked += there;
        read_more(w);
    }
}

static int64_t parse(const char *digits) {
    bool minus = *digits == '-';
    int64_t v = 0;
    for (digits += minus; *digits != '\r'; digits++)
        v = v * 10 + (*digits - '0');
    return minus ? -v : v;
}

void bench_wire_reply(struct bench_wire *w, struct bench_reply *t) {
    size_t n = line_length(w);
    const char *line = w->in + w->at;
    *t = (struct bench_reply){.type = *line, .bytes = line + 1, .n = n - 3};
    switch (t->type) {
    case '-':
        support_fail("the server answered: %.*s", (int)t->n, t->bytes);
    case ':':
    case '*':
        t->number = parse(line + 1);
        break;
    case '$':
        t->number = parse(line + 1);
        if (t->number < 0) break;
        while (w->n_in - w->at < n + (size_t)t->number + 2)
            read_more(w);
        t->bytes = w->in + w->at + n;
        t->n = (size_t)t->number;
        n += t->n + 2;
        break;
    }
    w->at += n;
}

void bench_wire_skip(struct bench_wire *w) {
    struct bench_reply t;
    for (int64_t left = 1; left > 0; left--) {
        bench_wire_reply(w, &t);
        if (t.type == '*' && t.number > 0) left += t.number;
    }
}
