// SPDX-License-Identifier: Apache-2.0
// Requests at their times; see bench_drive.h.
#include "bench_drive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/common/bench_memory.h"
#include "client/common/clock.h"
#include "client/common/random.h"
#include "tests/support/support_home.h"
#include "tests/support/support_http.h"

enum { DRIVE_HEAD = 4096, DRIVE_READ = 65536, DRIVE_EVENTS = 256, DRIVE_TAIL = 8 };

struct drive_peer {
    struct drive_peer *prev, *next;
    struct bench_ask ask;
    struct bench_told told;
    int fd;
    size_t sent, n_head;
    bool in_body;
    char head[DRIVE_HEAD];
    char tail[DRIVE_TAIL]; // the last bytes that came
};

struct bench_drive {
    int epoll;
    struct bench_ask *due; // a heap, the earliest first
    size_t n_due, room_due;
    struct drive_peer *peers;
};

struct bench_drive *bench_drive_new(void) {
    struct bench_drive *d = bench_calloc(1, sizeof *d);
    d->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (d->epoll < 0) support_fail("no epoll");
    return d;
}

// ---- What is due ---------------------------------------------------------------------------------

static void swap(struct bench_ask *a, struct bench_ask *b) {
    struct bench_ask t = *a;
    *a = *b;
    *b = t;
}

void bench_drive_add(struct bench_drive *d, const struct bench_ask *a) {
    d->due = bench_grow(d->due, &d->room_due, d->n_due + 1, sizeof *d->due);
    size_t i = d->n_due++;
    d->due[i] = *a;
    for (; i && d->due[i].at < d->due[(i - 1) / 2].at; i = (i - 1) / 2)
        swap(&d->due[i], &d->due[(i - 1) / 2]);
}

static struct bench_ask next_due(struct bench_drive *d) {
    struct bench_ask first = d->due[0];
    d->due[0] = d->due[--d->n_due];
    for (size_t i = 0, child; (child = 2 * i + 1) < d->n_due; i = child) {
        if (child + 1 < d->n_due && d->due[child + 1].at < d->due[child].at) child++;
        if (d->due[i].at <= d->due[child].at) break;
        swap(&d->due[i], &d->due[child]);
    }
    return first;
}

// ---- Connections ---------------------------------------------------------------------------------

static void drop(struct bench_drive *d, struct drive_peer *p) {
    if (p->fd >= 0) close(p->fd);
    *(p->prev ? &p->prev->next : &d->peers) = p->next;
    if (p->next) p->next->prev = p->prev;
    free(p->ask.text);
    free(p);
}

// The chunked coding ends with an empty chunk; what isn't whole is cut before it.
static void finish(struct bench_drive *d, struct drive_peer *p) {
    static const char last[] = "0\r\n\r\n";
    p->told.end = kvr_clock_ns(CLOCK_MONOTONIC);
    p->told.whole = p->told.status == 200 && p->told.first &&
                    memcmp(p->tail + DRIVE_TAIL - (sizeof last - 1), last, sizeof last - 1) == 0;
    p->ask.told(d, p->ask.ctx, &p->told);
    drop(d, p);
}

static void push(struct bench_drive *d, struct drive_peer *p) {
    while (p->sent < p->ask.n) {
        ssize_t n =
            send(p->fd, p->ask.text + p->sent, p->ask.n - p->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) return;
        if (n < 0) break; // the answer, or its end, will tell
        p->sent += (size_t)n;
    }
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = p};
    epoll_ctl(d->epoll, EPOLL_CTL_MOD, p->fd, &e);
}

static void begin(struct bench_drive *d, const struct bench_ask *a) {
    struct drive_peer *p = bench_calloc(1, sizeof *p);
    p->ask = *a;
    p->next = d->peers;
    if (p->next) p->next->prev = p;
    d->peers = p;
    p->told.sent = kvr_clock_ns(CLOCK_MONOTONIC);
    p->fd = support_http_connect(a->port);
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = p};
    if (p->fd < 0 || epoll_ctl(d->epoll, EPOLL_CTL_ADD, p->fd, &e))
        finish(d, p);
    else
        push(d, p);
}

static void read_head(struct drive_peer *p) {
    static const char name[] = "\r\nRetry-After:";
    p->head[p->n_head] = 0;
    if (sscanf(p->head, "HTTP/1.1 %d", &p->told.status) != 1) p->told.status = 0;
    for (const char *at = p->head; (at = strstr(at, "\r\n")); at += 2)
        if (strncasecmp(at, name, sizeof name - 1) == 0)
            p->told.retry_after = atoi(at + sizeof name - 1);
}

// Takes what belongs to the head; returns how much.
static size_t take_head(struct drive_peer *p, const char *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (p->n_head + 1 == DRIVE_HEAD) support_fail("a head without an end");
        p->head[p->n_head++] = b[i];
        if (p->n_head < 4 || memcmp(p->head + p->n_head - 4, "\r\n\r\n", 4) != 0) continue;
        read_head(p);
        p->in_body = true;
        return i + 1;
    }
    return n;
}

static void hear(struct bench_drive *d, struct drive_peer *p) {
    static char b[DRIVE_READ];
    ssize_t n = recv(p->fd, b, sizeof b, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
        finish(d, p);
        return;
    }
    size_t head = p->in_body ? 0 : take_head(p, b, (size_t)n), body = (size_t)n - head;
    if (!body) return;
    if (!p->told.first) p->told.first = kvr_clock_ns(CLOCK_MONOTONIC);
    size_t keep = body < DRIVE_TAIL ? body : DRIVE_TAIL;
    memmove(p->tail, p->tail + keep, DRIVE_TAIL - keep);
    memcpy(p->tail + DRIVE_TAIL - keep, b + n - keep, keep);
}

// ---- All of it -----------------------------------------------------------------------------------

void bench_drive_run(struct bench_drive *d, int64_t until) {
    struct epoll_event e[DRIVE_EVENTS];
    while (d->peers || d->n_due) {
        int64_t now = kvr_clock_ns(CLOCK_MONOTONIC);
        if (now >= until) return;
        while (d->n_due && d->due[0].at <= now) {
            struct bench_ask a = next_due(d);
            begin(d, &a);
        }
        int64_t next = d->n_due && d->due[0].at < until ? d->due[0].at : until;
        int64_t ms = (next - kvr_clock_ns(CLOCK_MONOTONIC)) / 1000000 + 1;
        int n = epoll_wait(d->epoll, e, DRIVE_EVENTS, ms < 0 ? 0 : ms > 1000 ? 1000 : (int)ms);
        for (int i = 0; i < n; i++) {
            struct drive_peer *p = e[i].data.ptr;
            if (e[i].events & EPOLLOUT) push(d, p);
            if (e[i].events & ~(uint32_t)EPOLLOUT) hear(d, p);
        }
    }
}

void bench_drive_free(struct bench_drive *d) {
    while (d->peers)
        drop(d, d->peers);
    while (d->n_due)
        free(d->due[--d->n_due].text);
    free(d->due);
    close(d->epoll);
    free(d);
}

char *bench_drive_completion(size_t tokens, size_t max_tokens, const char *headers, size_t *n) {
    enum { DRIVE_TOKEN = 6, DRIVE_REST = 600 };
    static uint64_t state = 1;
    char *body = bench_calloc(tokens * DRIVE_TOKEN + DRIVE_REST, 1);
    size_t at = (size_t)sprintf(
        body, "{\"model\":\"mock\",\"stream\":true,\"max_tokens\":%zu,\"prompt\":[", max_tokens);
    for (size_t i = 0; i < tokens; i++)
        at += (size_t)sprintf(body + at, "%s%d", i ? "," : "", (int)(kvr_random(&state) % 90000));
    at += (size_t)sprintf(body + at, "]}");
    char *text = bench_calloc(at + DRIVE_REST + strlen(headers), 1);
    *n = (size_t)sprintf(text,
                         "POST /v1/completions HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n"
                         "Content-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n",
                         at, headers);
    memcpy(text + *n, body, at);
    *n += at;
    free(body);
    return text;
}
