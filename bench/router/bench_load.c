// SPDX-License-Identifier: Apache-2.0
// HTTP requests in a closed loop; see bench_load.h.
#include "bench_load.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/common/bench_memory.h"
#include "bench/common/bench_quantile.h"
#include "client/common/clock.h"
#include "tests/support/support_http.h"

enum { LOAD_READ = 65536, LOAD_MAX_HEAD = 8192, LOAD_EVENTS = 256, LOAD_SILENCE_S = 30 };

// What comes next in an answer.
enum bench_part {
    ANSWER_HEAD,
    ANSWER_BODY,
    ANSWER_CHUNK_SIZE,
    ANSWER_CHUNK,
    ANSWER_CHUNK_END,
    ANSWER_TRAILER,
    ANSWER_DONE
};

struct bench_peer {
    int fd;
    bool busy, writing;
    enum bench_part part;
    char head[LOAD_MAX_HEAD];
    size_t n_head;
    uint64_t left; // of the body, or of the chunk
    int64_t began, first, last;
    size_t sent, n_out;
    char out[BENCH_MAX_REQUEST];
};

struct bench_samples {
    double *v;
    size_t n, room;
};

struct bench_load {
    const struct bench_load_plan *plan;
    struct bench_load_result *result;
    struct bench_peer *peers;
    int epoll;
    uint64_t serial;
    size_t busy, begun;
    bool told;
    int64_t until;
    struct bench_samples whole, first, gaps;
};

static void add(struct bench_samples *s, double v) {
    s->v = bench_grow(s->v, &s->room, s->n + 1, sizeof *s->v);
    s->v[s->n++] = v;
}

static double quantile(const struct bench_samples *s, double q) {
    double *sorted = bench_sorted(s->v, s->n), v = bench_quantile(sorted, s->n, q);
    free(sorted);
    return v;
}

// ---- Connections ---------------------------------------------------------------------------------

static void want(struct bench_load *l, struct bench_peer *p, bool writing) {
    struct epoll_event e = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = p};
    if (p->writing == writing) return;
    p->writing = writing;
    epoll_ctl(l->epoll, EPOLL_CTL_MOD, p->fd, &e);
}

static bool open_peer(struct bench_load *l, struct bench_peer *p) {
    const struct bench_load_plan *plan = l->plan;
    size_t i = (size_t)(p - l->peers);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = p};
    p->fd = support_http_connect(plan->n_ports ? plan->ports[i % plan->n_ports] : plan->port);
    p->writing = false;
    if (p->fd < 0) return false;
    setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return epoll_ctl(l->epoll, EPOLL_CTL_ADD, p->fd, &e) == 0;
}

static void ended(struct bench_load *l, struct bench_peer *p) {
    p->busy = false;
    l->busy--;
}

static void fail(struct bench_load *l, struct bench_peer *p, const char *why) {
    if (!l->result->failures++) snprintf(l->result->why, sizeof l->result->why, "%.100s", why);
    ended(l, p);
    close(p->fd);
    p->fd = -1;
}

static void push(struct bench_load *l, struct bench_peer *p) {
    while (p->sent < p->n_out) {
        ssize_t n = send(p->fd, p->out + p->sent, p->n_out - p->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) break;
        if (n < 0) {
            fail(l, p, strerror(errno));
            return;
        }
        p->sent += (size_t)n;
    }
    want(l, p, p->sent < p->n_out);
}

static void begin(struct bench_load *l, struct bench_peer *p) {
    p->part = ANSWER_HEAD;
    p->n_head = p->sent = 0;
    p->first = p->last = 0;
    p->n_out = l->plan->request(l->plan->ctx, l->serial++, p->out);
    p->busy = true;
    l->busy++;
    p->began = kvr_clock_ns(CLOCK_MONOTONIC);
    push(l, p);
}

// ---- Answers -------------------------------------------------------------------------------------

// The value of a header in a complete head that ends with a NUL; NULL if it isn't there.
static const char *header(const char *head, const char *name) {
    size_t n = strlen(name);
    for (const char *at = strstr(head, "\r\n"); at; at = strstr(at, "\r\n")) {
        at += 2;
        if (strncasecmp(at, name, n) == 0 && at[n] == ':')
            return at + n + 1 + strspn(at + n + 1, " ");
    }
    return NULL;
}

// Takes bytes into the head; returns how many, after which the head may be complete.
static size_t take_head(struct bench_load *l, struct bench_peer *p, const char *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (p->n_head + 1 == LOAD_MAX_HEAD) {
            fail(l, p, "a head without an end");
            return n;
        }
        p->head[p->n_head++] = b[i];
        if (b[i] != '\n' || p->n_head < 4 || memcmp(p->head + p->n_head - 4, "\r\n\r\n", 4) != 0)
            continue;
        p->head[p->n_head] = 0;
        const char *length = header(p->head, "Content-Length");
        if (strncmp(p->head, "HTTP/1.1 200", 12) != 0) {
            p->head[strcspn(p->head, "\r")] = 0;
            fail(l, p, p->head);
            return n;
        }
        p->left = length ? strtoull(length, NULL, 10) : 0;
        p->part = !length ? ANSWER_CHUNK_SIZE : p->left ? ANSWER_BODY : ANSWER_DONE;
        p->n_head = 0;
        return i + 1;
    }
    return n;
}

// A line of the chunked coding: a size, the end of a chunk, or a trailer.
static size_t take_line(struct bench_load *l, struct bench_peer *p, const char *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (p->n_head + 1 == LOAD_MAX_HEAD) {
            fail(l, p, "a line without an end");
            return n;
        }
        p->head[p->n_head++] = b[i];
        if (b[i] != '\n') continue;
        p->head[p->n_head] = 0;
        bool empty = p->head[0] == '\r';
        p->n_head = 0;
        if (p->part == ANSWER_CHUNK_SIZE) {
            p->left = strtoull(p->head, NULL, 16);
            p->part = p->left ? ANSWER_CHUNK : ANSWER_TRAILER;
        } else if (p->part == ANSWER_CHUNK_END) {
            p->part = ANSWER_CHUNK_SIZE;
        } else if (empty) {
            p->part = ANSWER_DONE;
        }
        return i + 1;
    }
    return n;
}

static size_t take_body(struct bench_load *l, struct bench_peer *p, size_t n, int64_t now) {
    if (!p->first) {
        p->first = now;
        add(&l->first, (double)(now - p->began));
        l->begun++;
    } else if (p->last != now) {
        add(&l->gaps, (double)(now - p->last));
    }
    p->last = now;
    n = n < p->left ? n : (size_t)p->left;
    p->left -= n;
    if (!p->left) p->part = p->part == ANSWER_BODY ? ANSWER_DONE : ANSWER_CHUNK_END;
    return n;
}

static void take(struct bench_load *l, struct bench_peer *p, const char *b, size_t n, int64_t now) {
    for (size_t i = 0; i < n && p->busy;) {
        if (p->part == ANSWER_HEAD)
            i += take_head(l, p, b + i, n - i);
        else if (p->part == ANSWER_BODY || p->part == ANSWER_CHUNK)
            i += take_body(l, p, n - i, now);
        else
            i += take_line(l, p, b + i, n - i);
        if (!p->busy || p->part != ANSWER_DONE) continue;
        l->result->answers++;
        add(&l->whole, (double)(now - p->began));
        ended(l, p);
        if (i < n) { // an answer to nothing
            l->busy++;
            fail(l, p, "more than was asked for");
        } else if (now < l->until) {
            begin(l, p);
        }
    }
}

static void hear(struct bench_load *l, struct bench_peer *p) {
    static char b[LOAD_READ];
    ssize_t n = recv(p->fd, b, sizeof b, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n > 0 && p->busy) {
        take(l, p, b, (size_t)n, kvr_clock_ns(CLOCK_MONOTONIC));
    } else if (p->busy) {
        fail(l, p, n ? strerror(errno) : "closed in the middle of an answer");
    } else {
        close(p->fd);
        p->fd = -1;
    }
}

// ---- All of it -----------------------------------------------------------------------------------

static bool serve(struct bench_load *l) {
    struct epoll_event e[LOAD_EVENTS];
    int64_t quiet = kvr_clock_ns(CLOCK_MONOTONIC);
    while (l->busy) {
        int n = epoll_wait(l->epoll, e, LOAD_EVENTS, 100);
        if (n > 0) quiet = kvr_clock_ns(CLOCK_MONOTONIC);
        if (kvr_clock_ns(CLOCK_MONOTONIC) - quiet > LOAD_SILENCE_S * INT64_C(1000000000)) {
            snprintf(l->result->why, sizeof l->result->why, "silence for %d s", LOAD_SILENCE_S);
            l->result->failures += l->busy;
            return true;
        }
        for (int i = 0; i < n; i++) {
            struct bench_peer *p = e[i].data.ptr;
            if (p->fd >= 0 && e[i].events & EPOLLOUT) push(l, p);
            if (p->fd >= 0 && e[i].events & ~(uint32_t)EPOLLOUT) hear(l, p);
            // A connection that failed is made again, as long as there is something to send.
            if (p->fd < 0 && kvr_clock_ns(CLOCK_MONOTONIC) < l->until && open_peer(l, p))
                begin(l, p);
        }
        if (!l->told && l->begun >= l->plan->connections) {
            l->told = true;
            if (l->plan->all_begun) l->plan->all_begun(l->plan->ctx);
        }
    }
    return true;
}

int bench_load_run(const struct bench_load_plan *plan, struct bench_load_result *r) {
    struct bench_load l = {.plan = plan, .result = r, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    *r = (struct bench_load_result){0};
    l.peers = bench_calloc(plan->connections, sizeof *l.peers);
    bool ok = l.epoll >= 0;
    for (size_t i = 0; i < plan->connections; i++)
        l.peers[i].fd = -1;
    for (size_t i = 0; ok && i < plan->connections; i++)
        ok = open_peer(&l, &l.peers[i]);
    int64_t start = kvr_clock_ns(CLOCK_MONOTONIC);
    l.until = start + (int64_t)(plan->seconds * 1e9);
    for (size_t i = 0; ok && i < plan->connections; i++)
        begin(&l, &l.peers[i]);
    ok = ok && serve(&l);
    double took = (double)(kvr_clock_ns(CLOCK_MONOTONIC) - start) / 1e9;
    r->rate = took > 0 ? (double)r->answers / took : 0;
    r->p50_us = quantile(&l.whole, 0.5) / 1e3;
    r->p99_us = quantile(&l.whole, 0.99) / 1e3;
    r->first_p99_us = quantile(&l.first, 0.99) / 1e3;
    r->gap_p99_ms = quantile(&l.gaps, 0.99) / 1e6;
    free(l.whole.v);
    free(l.first.v);
    free(l.gaps.v);
    for (size_t i = 0; i < plan->connections; i++)
        if (l.peers[i].fd >= 0) close(l.peers[i].fd);
    if (l.epoll >= 0) close(l.epoll);
    free(l.peers);
    return ok ? 0 : -1;
}
