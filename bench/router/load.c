// SPDX-License-Identifier: Apache-2.0
// HTTP requests in a closed loop; see load.h.
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/common/clock.h"
#include "bench/common/measure.h"
#include "bench/common/memory.h"
#include "bench/common/stop.h"

enum { READ = 65536, MAX_HEAD = 8192, EVENTS = 256, SILENCE_S = 30 };

// What comes next in an answer.
enum part { HEAD, BODY, CHUNK_SIZE, CHUNK, CHUNK_END, TRAILER, DONE };

struct peer {
    int fd;
    bool busy, writing;
    enum part part;
    char head[MAX_HEAD];
    size_t n_head;
    uint64_t left; // of the body, or of the chunk
    int64_t began, first, last;
    size_t sent, n_out;
    char out[MAX_REQUEST];
};

struct samples {
    double *v;
    size_t n, room;
};

struct load {
    const struct load_plan *plan;
    struct load_result *result;
    struct peer *peers;
    int epoll;
    uint64_t serial;
    size_t busy, begun;
    bool told;
    int64_t until;
    struct samples whole, first, gaps;
};

static void add(struct samples *s, double v) {
    s->v = memory_grow(s->v, &s->room, s->n + 1, sizeof *s->v);
    s->v[s->n++] = v;
}

static void quantiles(struct samples *s, double scale, double *p50, double *p99) {
    if (!s->n) return;
    double *sorted = measure_sorted(s->v, s->n);
    *p50 = measure_quantile(sorted, s->n, 0.5) * scale;
    *p99 = measure_quantile(sorted, s->n, 0.99) * scale;
    free(sorted);
    free(s->v);
}

// ---- Connections ---------------------------------------------------------------------------------

static int reach(const struct load_plan *plan, size_t i) {
    int one = 1, port = plan->n_ports ? plan->ports[i % plan->n_ports] : plan->port;
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (connect(fd, (struct sockaddr *)&a, sizeof a)) {
        close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void want(struct load *l, struct peer *p, bool writing) {
    struct epoll_event e = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = p};
    if (p->writing == writing) return;
    p->writing = writing;
    epoll_ctl(l->epoll, EPOLL_CTL_MOD, p->fd, &e);
}

static bool open_peer(struct load *l, struct peer *p) {
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = p};
    p->fd = reach(l->plan, (size_t)(p - l->peers));
    p->writing = false;
    if (p->fd < 0) return false;
    return epoll_ctl(l->epoll, EPOLL_CTL_ADD, p->fd, &e) == 0;
}

static void ended(struct load *l, struct peer *p) {
    p->busy = false;
    l->busy--;
}

static void fail(struct load *l, struct peer *p, const char *why) {
    if (!l->result->failures++) snprintf(l->result->why, sizeof l->result->why, "%.100s", why);
    ended(l, p);
    close(p->fd);
    p->fd = -1;
}

static void push(struct load *l, struct peer *p) {
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

static void begin(struct load *l, struct peer *p) {
    p->part = HEAD;
    p->n_head = p->sent = 0;
    p->first = p->last = 0;
    p->n_out = l->plan->request(l->plan->ctx, l->serial++, p->out);
    p->busy = true;
    l->busy++;
    p->began = clock_ns();
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
static size_t take_head(struct load *l, struct peer *p, const char *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (p->n_head + 1 == MAX_HEAD) {
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
        p->part = !length ? CHUNK_SIZE : p->left ? BODY : DONE;
        p->n_head = 0;
        return i + 1;
    }
    return n;
}

// A line of the chunked coding: a size, the end of a chunk, or a trailer.
static size_t take_line(struct load *l, struct peer *p, const char *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (p->n_head + 1 == MAX_HEAD) {
            fail(l, p, "a line without an end");
            return n;
        }
        p->head[p->n_head++] = b[i];
        if (b[i] != '\n') continue;
        p->head[p->n_head] = 0;
        bool empty = p->head[0] == '\r';
        p->n_head = 0;
        if (p->part == CHUNK_SIZE) {
            p->left = strtoull(p->head, NULL, 16);
            p->part = p->left ? CHUNK : TRAILER;
        } else if (p->part == CHUNK_END) {
            p->part = CHUNK_SIZE;
        } else if (empty) {
            p->part = DONE;
        }
        return i + 1;
    }
    return n;
}

static size_t take_body(struct load *l, struct peer *p, size_t n, int64_t now) {
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
    l->result->bytes += n;
    if (!p->left) p->part = p->part == BODY ? DONE : CHUNK_END;
    return n;
}

static void take(struct load *l, struct peer *p, const char *b, size_t n, int64_t now) {
    for (size_t i = 0; i < n && p->busy;) {
        if (p->part == HEAD)
            i += take_head(l, p, b + i, n - i);
        else if (p->part == BODY || p->part == CHUNK)
            i += take_body(l, p, n - i, now);
        else
            i += take_line(l, p, b + i, n - i);
        if (!p->busy || p->part != DONE) continue;
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

static void hear(struct load *l, struct peer *p) {
    static char b[READ];
    ssize_t n = recv(p->fd, b, sizeof b, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n > 0 && p->busy) {
        take(l, p, b, (size_t)n, clock_ns());
    } else if (p->busy) {
        fail(l, p, n ? strerror(errno) : "closed in the middle of an answer");
    } else {
        close(p->fd);
        p->fd = -1;
    }
}

// ---- All of it -----------------------------------------------------------------------------------

static bool serve(struct load *l) {
    struct epoll_event e[EVENTS];
    int64_t quiet = clock_ns();
    while (l->busy) {
        int n = epoll_wait(l->epoll, e, EVENTS, 100);
        if (stop_asked()) return false;
        if (n > 0) quiet = clock_ns();
        if (clock_ns() - quiet > SILENCE_S * INT64_C(1000000000)) {
            snprintf(l->result->why, sizeof l->result->why, "silence for %d s", SILENCE_S);
            l->result->failures += l->busy;
            return true;
        }
        for (int i = 0; i < n; i++) {
            struct peer *p = e[i].data.ptr;
            if (p->fd >= 0 && e[i].events & EPOLLOUT) push(l, p);
            if (p->fd >= 0 && e[i].events & ~(uint32_t)EPOLLOUT) hear(l, p);
            // A connection that failed is made again, as long as there is something to send.
            if (p->fd < 0 && clock_ns() < l->until && open_peer(l, p)) begin(l, p);
        }
        if (!l->told && l->begun >= l->plan->connections) {
            l->told = true;
            if (l->plan->all_begun) l->plan->all_begun(l->plan->ctx);
        }
    }
    return true;
}

int load_run(const struct load_plan *plan, struct load_result *r) {
    struct load l = {.plan = plan, .result = r, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    *r = (struct load_result){0};
    l.peers = memory_take(plan->connections, sizeof *l.peers);
    bool ok = l.epoll >= 0;
    for (size_t i = 0; i < plan->connections; i++)
        l.peers[i].fd = -1;
    for (size_t i = 0; ok && i < plan->connections; i++)
        ok = open_peer(&l, &l.peers[i]);
    int64_t start = clock_ns();
    l.until = start + (int64_t)(plan->seconds * 1e9);
    for (size_t i = 0; ok && i < plan->connections; i++)
        begin(&l, &l.peers[i]);
    ok = ok && serve(&l);
    double took = (double)(clock_ns() - start) / 1e9;
    r->rate = took > 0 ? (double)r->answers / took : 0;
    quantiles(&l.whole, 1e-3, &r->p50_us, &r->p99_us);
    quantiles(&l.first, 1e-3, &r->first_p50_us, &r->first_p99_us);
    quantiles(&l.gaps, 1e-6, &r->gap_p50_ms, &r->gap_p99_ms);
    for (size_t i = 0; i < plan->connections; i++)
        if (l.peers[i].fd >= 0) close(l.peers[i].fd);
    if (l.epoll >= 0) close(l.epoll);
    free(l.peers);
    return ok ? 0 : -1;
}
