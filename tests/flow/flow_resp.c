// SPDX-License-Identifier: Apache-2.0
// RESP2 and RESP3 over a blocking socket; see flow_resp.h.
#include "flow_resp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "client/common/clock.h"

enum { FLOW_RESP_WRITE_MS = 60000, FLOW_RESP_MAX_DEPTH = 512, FLOW_RESP_MAX_ITEMS = 1 << 26 };

// ---- Reading -------------------------------------------------------------------------------------

void flow_reply_clear(struct flow_reply *r) {
    for (size_t i = 0; i < r->count; i++)
        flow_reply_clear(&r->items[i]);
    free(r->items);
    free(r->bytes);
    memset(r, 0, sizeof *r);
}

static void keep_bytes(struct flow_reply *r, const char *p, size_t n) {
    r->bytes = malloc(n + 1);
    if (!r->bytes) abort();
    memcpy(r->bytes, p, n);
    r->bytes[n] = 0;
    r->n = n;
}

// The line at p without its CR LF; the bytes it takes, or 0.
static size_t line_at(const char *p, size_t n, size_t *len) {
    const char *end = n ? memchr(p, '\n', n) : NULL;
    if (!end || end == p || end[-1] != '\r') return 0;
    *len = (size_t)(end - p) - 1;
    return (size_t)(end - p) + 1;
}

static long parse(const char *p, size_t n, struct flow_reply *out, int depth);

static long parse_items(const char *p, size_t n, size_t at, int64_t count, struct flow_reply *out,
                        int depth) {
    if (count < 0 || count > FLOW_RESP_MAX_ITEMS) return -1;
    out->items = calloc((size_t)count + 1, sizeof *out->items);
    if (!out->items) abort();
    for (int64_t i = 0; i < count; i++) {
        long took = parse(p + at, n - at, &out->items[i], depth + 1);
        if (took <= 0) return took;
        out->count++;
        at += (size_t)took;
    }
    return (long)at;
}

static long parse_value(const char *p, size_t n, struct flow_reply *out, int depth) {
    size_t len;
    size_t at = line_at(p, n, &len);
    if (!at) return 0;
    const char *text = p + 1;
    len--;
    out->kind = (enum flow_reply_kind)p[0];
    switch (p[0]) {
    case '+':
    case '-':
    case '(':
        keep_bytes(out, text, len);
        return (long)at;
    case ':':
        keep_bytes(out, text, len);
        out->integer = strtoll(out->bytes, NULL, 10);
        return (long)at;
    case ',':
        keep_bytes(out, text, len);
        out->real = strtod(out->bytes, NULL);
        return (long)at;
    case '#':
        out->integer = len == 1 && text[0] == 't';
        return (long)at;
    case '_':
        return (long)at;
    case '$':
    case '=':
    case '!': {
        int64_t size = strtoll(text, NULL, 10);
        if (size == -1) {
            out->kind = FLOW_REPLY_NULL;
            return (long)at;
        }
        if (size < 0) return -1;
        if (n - at < (size_t)size + 2) return 0;
        if (memcmp(p + at + size, "\r\n", 2) != 0) return -1;
        keep_bytes(out, p + at, (size_t)size);
        return (long)at + (long)size + 2;
    }
    case '*':
    case '~':
    case '>':
    case '%': {
        int64_t count = strtoll(text, NULL, 10);
        if (count == -1) {
            out->kind = FLOW_REPLY_NULL;
            return (long)at;
        }
        return parse_items(p, n, at, p[0] == '%' ? count * 2 : count, out, depth);
    }
    default:
        return -1;
    }
}

static long parse(const char *p, size_t n, struct flow_reply *out, int depth) {
    memset(out, 0, sizeof *out);
    if (depth > FLOW_RESP_MAX_DEPTH) return -1;
    long took = parse_value(p, n, out, depth);
    if (took <= 0) flow_reply_clear(out);
    return took;
}

long flow_reply_parse(const char *p, size_t n, struct flow_reply *out) {
    return parse(p, n, out, 0);
}

// Reads what is there without waiting: 1 something, 0 nothing, -1 the peer has gone.
static int read_more(struct flow_conn *c) {
    if (c->cap - c->used < 65536) {
        c->cap = c->cap * 2 + 65536;
        c->in = realloc(c->in, c->cap);
        if (!c->in) abort();
    }
    ssize_t got = recv(c->fd, c->in + c->used, c->cap - c->used, MSG_DONTWAIT);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return 0;
    if (got <= 0) return -1;
    c->used += (size_t)got;
    return 1;
}

// Goes over what has come since it was last asked: whether the next reply is there, for all that can be seen
// without reading it. A long one comes in as many pieces as its sender is slow, and to read it from its
// beginning at each of them would take the square of its length.
static bool is_whole(struct flow_conn *c) {
    if (!c->skimmed) c->values_left = 1;
    while (c->values_left > 0) {
        if (c->used == c->skimmed) return false; // nor need there be any memory yet
        const char *p = c->in + c->skimmed;
        size_t n = c->used - c->skimmed, len, at = line_at(p, n, &len);
        if (!at) return false;
        bool aggregate = memchr("*~>%", p[0], 4), sized = memchr("$=!", p[0], 3);
        int64_t size = aggregate || sized ? strtoll(p + 1, NULL, 10) : 0;
        if (size > FLOW_RESP_MAX_ITEMS && aggregate) return true; // the parser refuses it
        if (size > 0 && aggregate) c->values_left += p[0] == '%' ? size * 2 : size;
        if (size >= 0 && sized) {
            if (n - at < (size_t)size + 2) return false;
            at += (size_t)size + 2;
        }
        c->skimmed += at;
        c->values_left--;
    }
    return true;
}

const struct flow_reply *flow_conn_read(struct flow_conn *c, int ms) {
    flow_reply_clear(&c->last);
    int64_t deadline = kvr_clock_ms() + ms;
    for (;;) {
        if (is_whole(c)) {
            long took = flow_reply_parse(c->in, c->used, &c->last);
            if (took <= 0) return NULL;
            memmove(c->in, c->in + took, c->used - (size_t)took);
            c->used -= (size_t)took;
            c->skimmed = 0;
            return &c->last;
        }
        int more = read_more(c);
        if (more < 0) return NULL;
        if (more == 1) continue;
        int64_t left = deadline - kvr_clock_ms();
        struct pollfd pfd = {.fd = c->fd, .events = POLLIN};
        if (left <= 0 || (poll(&pfd, 1, (int)left) < 0 && errno != EINTR)) return NULL;
    }
}

// ---- Writing -------------------------------------------------------------------------------------

bool flow_conn_write(struct flow_conn *c, const void *bytes, size_t n) {
    const char *p = bytes;
    int64_t deadline = kvr_clock_ms() + FLOW_RESP_WRITE_MS;
    while (n > 0) {
        ssize_t put = send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (put > 0) {
            p += put;
            n -= (size_t)put;
            continue;
        }
        if (errno == EINTR) continue;
        if (errno != EAGAIN || kvr_clock_ms() > deadline) return false;
        struct pollfd pfd = {.fd = c->fd, .events = POLLOUT};
        poll(&pfd, 1, 1000);
    }
    return true;
}

bool flow_conn_write_args(struct flow_conn *c, const struct flow_args *a) {
    char *bytes;
    int n = redisFormatCommandArgv(&bytes, (int)a->n, (const char **)a->v, a->len);
    if (n < 0) abort();
    bool done = flow_conn_write(c, bytes, (size_t)n);
    redisFreeCommand(bytes);
    return done;
}

void flow_args_add(struct flow_args *a, const void *bytes, size_t n) {
    if (a->n == a->cap) {
        a->cap = a->cap * 2 + 16;
        a->v = realloc(a->v, a->cap * sizeof *a->v);
        a->len = realloc(a->len, a->cap * sizeof *a->len);
    }
    char *copy = a->v && a->len ? malloc(n + 1) : NULL;
    if (!copy) abort();
    if (n) memcpy(copy, bytes, n);
    copy[n] = 0;
    a->v[a->n] = copy;
    a->len[a->n++] = n;
}

void flow_args_str(struct flow_args *a, const char *s) {
    flow_args_add(a, s, strlen(s));
}

void flow_args_int(struct flow_args *a, int64_t i) {
    char text[32];
    flow_args_add(a, text, (size_t)snprintf(text, sizeof text, "%" PRId64, i));
}

void flow_args_words(struct flow_args *a, const char *words) {
    while (*words) {
        size_t n = strcspn(words, " ");
        if (n) flow_args_add(a, words, n);
        words += n + (words[n] == ' ');
    }
}

void flow_args_clear(struct flow_args *a) {
    for (size_t i = 0; i < a->n; i++)
        free(a->v[i]);
    free(a->v);
    free(a->len);
    memset(a, 0, sizeof *a);
}

// ---- Connecting ----------------------------------------------------------------------------------

struct flow_conn *flow_conn_open(const char *path, int port) {
    union {
        struct sockaddr any;
        struct sockaddr_un local;
        struct sockaddr_in inet;
    } addr;
    socklen_t len;
    memset(&addr, 0, sizeof addr);
    if (path) {
        addr.local.sun_family = AF_UNIX;
        if (strlen(path) >= sizeof addr.local.sun_path) return NULL;
        memcpy(addr.local.sun_path, path, strlen(path));
        len = sizeof addr.local;
    } else {
        addr.inet.sin_family = AF_INET;
        addr.inet.sin_port = htons((uint16_t)port);
        addr.inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        len = sizeof addr.inet;
    }
    int fd = socket(addr.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return NULL;
    if (connect(fd, &addr.any, len) != 0) {
        close(fd);
        return NULL;
    }
    int yes = 1;
    if (!path) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    struct flow_conn *c = calloc(1, sizeof *c);
    if (!c) abort();
    c->fd = fd;
    c->protocol = 2;
    return c;
}

void flow_conn_close(struct flow_conn *c) {
    if (!c) return;
    close(c->fd);
    flow_reply_clear(&c->last);
    free(c->in);
    free(c);
}
