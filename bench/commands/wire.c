// SPDX-License-Identifier: Apache-2.0
// A lean client; see wire.h.
#define _GNU_SOURCE // program_invocation_short_name
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench/common/memory.h"
#include "bench/common/stop.h"

enum { READ_AT_ONCE = 64 * 1024 };

// Silent when it was asked to stop: then the server has gone first.
static void fail(const char *what, const char *why, size_t n) {
    if (!stop_asked())
        fprintf(stderr, "%s: %s: %.*s\n", program_invocation_short_name, what, (int)n, why);
    exit(1);
}

static void fail_errno(const char *what) {
    const char *why = strerror(errno);
    fail(what, why, strlen(why));
}

static void open_at(struct wire *w, int family, const struct sockaddr *to, socklen_t n) {
    *w = (struct wire){.fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (w->fd < 0 || connect(w->fd, to, n)) fail_errno("no connection");
    w->in = memory_take(READ_AT_ONCE, 1);
    w->room_in = READ_AT_ONCE;
}

void wire_open_unix(struct wire *w, const char *path) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (n >= sizeof a.sun_path) fail("no connection", "the path is too long", 20);
    memcpy(a.sun_path, path, n + 1);
    open_at(w, AF_UNIX, (struct sockaddr *)&a, sizeof a);
}

void wire_open_tcp(struct wire *w, int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    open_at(w, AF_INET, (struct sockaddr *)&a, sizeof a);
    int yes = 1;
    setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

void wire_close(struct wire *w) {
    close(w->fd);
    free(w->out);
    free(w->in);
    *w = (struct wire){.fd = -1};
}

// ---- Commands ------------------------------------------------------------------------------------

static char *room(struct wire *w, size_t n) {
    w->out = memory_grow(w->out, &w->room_out, w->n_out + n, 1);
    return w->out + w->n_out;
}

static void head(struct wire *w, char type, uint64_t v) {
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

void wire_begin(struct wire *w, size_t words) {
    head(w, '*', words);
}

void wire_word(struct wire *w, const void *bytes, size_t n) {
    head(w, '$', n);
    char *to = room(w, n + 2);
    memcpy(to, bytes, n);
    memcpy(to + n, "\r\n", 2);
    w->n_out += n + 2;
}

void wire_text(struct wire *w, const char *text) {
    wire_word(w, text, strlen(text));
}

void wire_number(struct wire *w, uint64_t v) {
    char digits[24];
    size_t n = sizeof digits;
    do
        digits[--n] = (char)('0' + v % 10);
    while (v /= 10);
    wire_word(w, digits + n, sizeof digits - n);
}

// The server reads as it goes and never waits for its replies to be taken, so writing all of it first
// can't lock the two up.
void wire_send(struct wire *w) {
    for (size_t at = 0; at < w->n_out;) {
        ssize_t n = send(w->fd, w->out + at, w->n_out - at, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR) fail_errno("can't send");
        if (n > 0) at += (size_t)n;
    }
    w->n_out = 0;
}

// ---- Replies -------------------------------------------------------------------------------------

static void read_more(struct wire *w) {
    if (w->at) {
        memmove(w->in, w->in + w->at, w->n_in - w->at);
        w->n_in -= w->at;
        w->at = 0;
    }
    w->in = memory_grow(w->in, &w->room_in, w->n_in + READ_AT_ONCE, 1);
    ssize_t n = recv(w->fd, w->in + w->n_in, w->room_in - w->n_in, 0);
    if (n == 0) fail("no reply", "the server has closed the connection", 36);
    if (n < 0 && errno != EINTR) fail_errno("no reply");
    if (n > 0) w->n_in += (size_t)n;
}

static size_t line_length(struct wire *w) {
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

void wire_token(struct wire *w, struct token *t) {
    size_t n = line_length(w);
    const char *line = w->in + w->at;
    *t = (struct token){.type = *line, .bytes = line + 1, .n = n - 3};
    switch (t->type) {
    case '-':
        fail("the server answered", t->bytes, t->n);
        break;
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

void wire_skip(struct wire *w) {
    struct token t;
    for (int64_t left = 1; left > 0; left--) {
        wire_token(w, &t);
        if (t.type == '*' && t.number > 0) left += t.number;
    }
}

int64_t wire_integer(struct wire *w) {
    struct token t;
    wire_token(w, &t);
    if (t.type != ':') fail("the server answered", "something that is no integer", 28);
    return t.number;
}
