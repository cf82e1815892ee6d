// SPDX-License-Identifier: Apache-2.0
// Plays a script; see player.h. One thread, one descriptor a request under way; connections are kept.
#include "load_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "bench/common/clock.h"
#include "bench/common/http.h"
#include "bench/common/memory.h"
#include "bench/common/stop.h"

enum { EVENTS = 64, READ = 65536, SILENCE_S = 60, TRY_MS = 2000 };
#define SECOND INT64_C(1000000000)

struct line { // a connection
    int fd;
    bool busy, waits; // waits: until more can be sent
    bool used;        // it has served before: that it is closed is no failure then
    uint32_t request;
    struct calib_completion answer;
    char *out;
    size_t n_out, sent;
    struct line *next; // of the idle
};

struct player {
    const struct calib_load *script;
    struct calib_outcome *out;
    int port, epoll, timer;
    int64_t start;
    size_t next, busy;
    struct line *idle;
    struct line **all;
    size_t n_all, room_all;
};

static double since(const struct player *p) {
    return (double)(clock_ns() - p->start) / 1e9;
}

// ---- Connections ---------------------------------------------------------------------------------

static int reach(int port) {
    int one = 1;
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

static bool open_line(struct player *p, struct line *l) {
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = l};
    l->fd = reach(p->port);
    l->waits = l->used = false;
    return l->fd >= 0 && epoll_ctl(p->epoll, EPOLL_CTL_ADD, l->fd, &e) == 0;
}

static void close_line(struct line *l) {
    if (l->fd >= 0) close(l->fd);
    l->fd = -1;
}

static struct line *take_line(struct player *p) {
    struct line *l = p->idle;
    if (l) {
        p->idle = l->next;
        return l;
    }
    l = memory_take(1, sizeof *l);
    l->fd = -1;
    p->all = memory_grow(p->all, &p->room_all, p->n_all + 1, sizeof *p->all);
    return p->all[p->n_all++] = l;
}

static void end(struct player *p, struct line *l, const char *why) {
    struct calib_outcome *o = &p->out[l->request];
    snprintf(o->why, sizeof o->why, "%s", why);
    o->tokens = l->answer.tokens;
    o->cached = l->answer.cached;
    memcpy(o->engine, l->answer.engine, sizeof o->engine);
    if (!*why && (!l->answer.ended || o->tokens != p->script->load.requests[l->request].osl))
        snprintf(o->why, sizeof o->why, "%u tokens where %u were asked for", o->tokens,
                 p->script->load.requests[l->request].osl);
    if (*why || !l->answer.keeps) close_line(l);
    l->busy = false;
    l->used = true;
    l->next = p->idle;
    p->idle = l;
    p->busy--;
}

// ---- Sending -------------------------------------------------------------------------------------

static void watch(struct player *p, struct line *l, bool writing) {
    struct epoll_event e = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = l};
    if (l->waits == writing) return;
    l->waits = writing;
    epoll_ctl(p->epoll, EPOLL_CTL_MOD, l->fd, &e);
}

static bool push(struct player *p, struct line *l) {
    while (l->sent < l->n_out) {
        ssize_t n = send(l->fd, l->out + l->sent, l->n_out - l->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) break;
        if (n < 0) return false;
        l->sent += (size_t)n;
    }
    watch(p, l, l->sent < l->n_out);
    return true;
}

static void write_request(const struct calib_load *s, size_t request, struct line *l) {
    enum { MORE = 512 };
    size_t n = s->prompts[request].n, room = n + 2 * MORE;
    char head[MORE], tail[MORE];
    int n_tail =
        snprintf(tail, sizeof tail,
                 "\",\"max_tokens\":%u,\"stream\":true,\"stream_options\":{\"include_usage\":"
                 "true}}",
                 s->load.requests[request].osl);
    static const char open[] = "{\"model\":\"mock\",\"prompt\":\"";
    int n_head = snprintf(head, sizeof head,
                          "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: "
                          "application/json\r\nContent-Length: %zu\r\n\r\n%s",
                          sizeof open - 1 + n + (size_t)n_tail, open);
    free(l->out);
    l->out = memory_take(room, 1);
    memcpy(l->out, head, (size_t)n_head);
    memcpy(l->out + n_head, calib_load_prompt(s, request), n);
    memcpy(l->out + n_head + n, tail, (size_t)n_tail);
    l->n_out = (size_t)n_head + n + (size_t)n_tail;
}

static void begin(struct player *p, uint32_t request) {
    struct line *l = take_line(p);
    char byte;
    l->request = request;
    l->sent = 0;
    l->busy = true;
    p->busy++;
    calib_completion_begin(&l->answer);
    write_request(p->script, request, l);
    // A kept connection that the other side has closed meanwhile is made anew.
    if (l->fd >= 0 && recv(l->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) close_line(l);
    p->out[request].sent = since(p);
    if (l->fd < 0 && !open_line(p, l)) {
        end(p, l, "no connection");
    } else if (!push(p, l)) {
        end(p, l, strerror(errno));
    }
}

static void set_timer(struct player *p) {
    struct itimerspec t = {0}; // none any more
    if (p->next < p->script->load.n) {
        int64_t at = p->start + (int64_t)(p->script->load.requests[p->next].at * 1e9);
        t.it_value = (struct timespec){at / SECOND, at % SECOND};
    }
    timerfd_settime(p->timer, TFD_TIMER_ABSTIME, &t, NULL);
}

static void begin_due(struct player *p) {
    while (p->next < p->script->load.n && p->script->load.requests[p->next].at <= since(p))
        begin(p, (uint32_t)p->next++);
    set_timer(p);
}

// ---- Answers -------------------------------------------------------------------------------------

static void hear(struct player *p, struct line *l) {
    static char b[READ];
    ssize_t n = recv(l->fd, b, sizeof b, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (!l->busy) {
        close_line(l);
        return;
    }
    struct calib_outcome *o = &p->out[l->request];
    double now = since(p);
    if (n <= 0 && l->used && l->answer.state == CALIB_HEAD && !l->answer.n_line) {
        // It was closed as the request came: nobody has seen that.
        close_line(l);
        l->sent = 0;
        if (!open_line(p, l) || !push(p, l)) end(p, l, "no connection");
        return;
    }
    if (n <= 0) {
        end(p, l, n ? strerror(errno) : "closed in the middle of an answer");
        return;
    }
    uint32_t before = l->answer.tokens;
    calib_completion_read(&l->answer, b, (size_t)n);
    if (!before && l->answer.tokens) o->first = now;
    if (l->answer.tokens > before) o->last = now;
    if (l->answer.state == CALIB_WRONG || l->answer.state == CALIB_DONE) end(p, l, l->answer.why);
}

static bool serve(struct player *p) {
    struct epoll_event e[EVENTS];
    int64_t heard = clock_ns();
    begin_due(p);
    while (p->busy || p->next < p->script->load.n) {
        int n = epoll_wait(p->epoll, e, EVENTS, 200);
        if (stop_asked()) return false;
        if (n > 0) heard = clock_ns();
        for (int i = 0; i < n; i++) {
            struct line *l = e[i].data.ptr;
            if (!l) {
                begin_due(p);
                continue;
            }
            if (l->fd >= 0 && l->busy && e[i].events & EPOLLOUT && !push(p, l))
                end(p, l, strerror(errno));
            if (l->fd >= 0 && e[i].events & ~(uint32_t)EPOLLOUT) hear(p, l);
        }
        if (clock_ns() - heard < SILENCE_S * SECOND) continue;
        for (size_t i = 0; i < p->n_all; i++)
            if (p->all[i]->busy) end(p, p->all[i], "silence");
    }
    return true;
}

bool calib_client_run(const struct calib_load *s, int port, struct calib_outcome *out) {
    struct player p = {.script = s, .out = out, .port = port};
    struct epoll_event e = {.events = EPOLLIN};
    for (size_t i = 0; i < s->load.n; i++)
        out[i] = (struct calib_outcome){
            .sent = -1, .first = -1, .last = -1, .cached = -1, .why = "not sent"};
    p.epoll = epoll_create1(EPOLL_CLOEXEC);
    p.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    epoll_ctl(p.epoll, EPOLL_CTL_ADD, p.timer, &e);
    p.start = clock_ns();
    bool ok = serve(&p);
    for (size_t i = 0; i < p.n_all; i++) {
        close_line(p.all[i]);
        free(p.all[i]->out);
        free(p.all[i]);
    }
    free(p.all);
    close(p.timer);
    close(p.epoll);
    return ok;
}

bool calib_client_try(int port) {
    struct http_answer a =
        http_call(port, "POST", "/v1/completions", "Content-Type: application/json\r\n",
                  "{\"model\":\"mock\",\"prompt\":\"hello\",\"max_tokens\":1}", TRY_MS);
    bool ok = a.status == 200;
    free(a.body);
    return ok;
}
