// SPDX-License-Identifier: Apache-2.0
// Plays a script; see player.h. One thread, one descriptor a call under way; connections are kept.
//
// What a request does, in calls; PREFILLED goes out at the first token and runs beside its stream:
//
//     CHOOSE ──▶ STREAM ──▶ OUTPUT ──▶ RELEASE ──▶ over        with routers
//                   └─────▶ PREFILLED
//     STREAM ──▶ over                                          without
#include "player.h"

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
enum { MAX_ATTEMPTS = 500, RETRY_MS = 20, WAKE_MS = 200, MORE = 512, HASH_TEXT = 19 };
#define SECOND INT64_C(1000000000)

enum player_step { CHOOSE, STREAM, PREFILLED, OUTPUT, RELEASE };
static const char *const paths[] = {[CHOOSE] = "/v1/select",
                                    [STREAM] = "/v1/completions",
                                    [PREFILLED] = "/v1/update",
                                    [OUTPUT] = "/v1/update",
                                    [RELEASE] = "/v1/release"};

struct player_connection {
    int fd, port;
    bool busy, waits; // waits: until more can be sent
    bool used;        // it has served before: that it is closed is no failure then
    enum player_step step;
    uint32_t request;
    struct bench_sse answer;
    char *out;
    size_t n_out, sent;
    struct player_connection *next; // of the idle
};

// A call that another router is to be asked.
struct player_retry {
    enum player_step step;
    uint32_t request;
    int64_t at;
};

struct player_request {
    unsigned router; // its place in the plan
    unsigned attempts;
};

struct player {
    const struct bench_player_plan *plan;
    const struct bench_script *script;
    struct bench_played *out;
    struct player_request *requests;
    int epoll, timer;
    int64_t start;
    size_t next, busy; // requests
    struct bench_player_count count;
    struct player_connection *idle;
    struct player_connection **all;
    size_t n_all, room_all;
    struct player_retry *retries;
    size_t n_retries, room_retries;
};

static double since(const struct player *p) {
    return (double)(clock_ns() - p->start) / 1e9;
}

static void start_call(struct player *p, enum player_step step, uint32_t request);

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

static bool connect_again(struct player *p, struct player_connection *c) {
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    c->fd = reach(c->port);
    c->waits = c->used = false;
    return c->fd >= 0 && epoll_ctl(p->epoll, EPOLL_CTL_ADD, c->fd, &e) == 0;
}

static void disconnect(struct player_connection *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
}

static struct player_connection *take_connection(struct player *p, int port) {
    for (struct player_connection **at = &p->idle; *at; at = &(*at)->next) {
        struct player_connection *c = *at;
        if (c->port != port) continue;
        *at = c->next;
        return c;
    }
    struct player_connection *c = memory_take(1, sizeof *c);
    c->fd = -1;
    c->port = port;
    p->all = memory_grow(p->all, &p->room_all, p->n_all + 1, sizeof *p->all);
    return p->all[p->n_all++] = c;
}

// ---- What follows on a call ----------------------------------------------------------------------

static void end_request(struct player *p, uint32_t request) {
    const struct bench_played *o = &p->out[request];
    p->count.done++;
    p->count.prompt += p->script->load.requests[request].isl;
    p->count.cached += o->cached > 0 ? (uint64_t)o->cached : 0;
    p->busy--;
}

static bool read_choice(struct player *p, const struct player_connection *c) {
    struct bench_played *o = &p->out[c->request];
    const char *body = c->answer.event, *value = bench_sse_member(body, "address");
    if (!value || sscanf(value, "\"http://127.0.0.1:%d\"", &o->port) != 1) return false;
    o->repeat = (value = bench_sse_member(body, "repeat")) && *value == 't';
    o->degraded = (value = bench_sse_member(body, "degraded")) && *value == 't';
    o->chosen = since(p);
    return true;
}

static void end_stream(struct player *p, const struct player_connection *c, const char *why) {
    struct bench_played *o = &p->out[c->request];
    uint32_t wanted = p->script->load.requests[c->request].osl;
    snprintf(o->why, sizeof o->why, "%s", why);
    o->tokens = c->answer.tokens;
    o->cached = c->answer.cached;
    memcpy(o->engine, c->answer.engine, sizeof o->engine);
    if (!*why && (!c->answer.ended || o->tokens != wanted))
        snprintf(o->why, sizeof o->why, "%u tokens where %u were asked for", o->tokens, wanted);
}

// A router failed: the next one is asked, unless all have been asked for long.
static void retry_call(struct player *p, const struct player_connection *c, const char *why) {
    struct player_request *r = &p->requests[c->request];
    if (p->plan->routers[r->router] == c->port) r->router = (r->router + 1) % p->plan->n_routers;
    if (++r->attempts < MAX_ATTEMPTS) {
        p->retries =
            memory_grow(p->retries, &p->room_retries, p->n_retries + 1, sizeof *p->retries);
        p->retries[p->n_retries++] =
            (struct player_retry){c->step, c->request, clock_ns() + RETRY_MS * INT64_C(1000000)};
        return;
    }
    struct bench_played *o = &p->out[c->request];
    if (!*o->why) snprintf(o->why, sizeof o->why, "%.40s: %.50s", paths[c->step], why);
    if (c->step != PREFILLED) end_request(p, c->request);
}

// A call has its answer, or has failed (why). The connection isn't idle yet: what is begun here takes another.
static void follow(struct player *p, const struct player_connection *c, const char *why) {
    switch (c->step) {
    case CHOOSE:
        if (!*why && !read_choice(p, c)) why = "no address";
        if (*why)
            retry_call(p, c, why);
        else
            start_call(p, STREAM, c->request);
        break;
    case STREAM:
        end_stream(p, c, why);
        if (p->plan->n_routers)
            start_call(p, OUTPUT, c->request);
        else
            end_request(p, c->request);
        break;
    case PREFILLED:
        if (*why) retry_call(p, c, why);
        break;
    case OUTPUT:
        if (*why)
            retry_call(p, c, why);
        else
            start_call(p, RELEASE, c->request);
        break;
    case RELEASE:
        if (*why)
            retry_call(p, c, why);
        else
            end_request(p, c->request);
        break;
    }
}

static void end_call(struct player *p, struct player_connection *c, const char *why) {
    if (*why || !c->answer.keeps) disconnect(c);
    c->busy = false;
    c->used = true;
    follow(p, c, why);
    c->next = p->idle;
    p->idle = c;
}

// ---- Sending -------------------------------------------------------------------------------------

static void want_writing(struct player *p, struct player_connection *c, bool writing) {
    struct epoll_event e = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = c};
    if (c->waits == writing) return;
    c->waits = writing;
    epoll_ctl(p->epoll, EPOLL_CTL_MOD, c->fd, &e);
}

static bool push(struct player *p, struct player_connection *c) {
    while (c->sent < c->n_out) {
        ssize_t n = send(c->fd, c->out + c->sent, c->n_out - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) break;
        if (n < 0) return false;
        c->sent += (size_t)n;
    }
    want_writing(p, c, c->sent < c->n_out);
    return true;
}

// The body of a call, behind room for a head. To be freed; *n: its length.
static char *write_body(const struct player *p, enum player_step step, uint32_t request,
                        size_t *n) {
    const struct bench_script *s = p->script;
    const struct request *r = &s->load.requests[request];
    size_t room = 2 * MORE + (step == STREAM   ? s->prompts[request].n
                              : step == CHOOSE ? (size_t)r->blocks * HASH_TEXT
                                               : 0);
    char *whole = memory_take(room, 1), *at = whole + MORE;
    const uint64_t *hashes = request_hashes(&s->load, request);
    switch (step) {
    case CHOOSE:
        at += sprintf(at, "{\"request\":\"r%u\",\"isl\":%u,\"hashes\":[", request, r->isl);
        for (uint32_t i = 0; i < r->blocks; i++)
            at += sprintf(at, "%s\"%016llx\"", i ? "," : "", (unsigned long long)hashes[i]);
        at += sprintf(at, "]}");
        break;
    case STREAM:
        at += sprintf(at, "{\"model\":\"mock\",\"prompt\":\"");
        memcpy(at, bench_script_prompt(s, request), s->prompts[request].n);
        at += s->prompts[request].n;
        at += sprintf(at,
                      "\",\"max_tokens\":%u,\"stream\":true,\"stream_options\":{\"include_usage\":"
                      "true}}",
                      r->osl);
        break;
    case PREFILLED:
        at += sprintf(at, "{\"request\":\"r%u\",\"prefilled\":true,\"output\":1}", request);
        break;
    case OUTPUT:
        at += sprintf(at, "{\"request\":\"r%u\",\"output\":%u}", request, p->out[request].tokens);
        break;
    case RELEASE:
        at += sprintf(at, "{\"request\":\"r%u\"}", request);
        break;
    }
    *n = (size_t)(at - (whole + MORE));
    return whole;
}

static void write_call(const struct player *p, struct player_connection *c) {
    size_t n_body;
    char head[MORE], *whole = write_body(p, c->step, c->request, &n_body);
    int n = snprintf(head, sizeof head,
                     "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     paths[c->step], n_body);
    memmove(whole + n, whole + MORE, n_body);
    memcpy(whole, head, (size_t)n);
    free(c->out);
    c->out = whole;
    c->n_out = (size_t)n + n_body;
}

static void start_call(struct player *p, enum player_step step, uint32_t request) {
    int port =
        step == STREAM ? p->out[request].port : p->plan->routers[p->requests[request].router];
    struct player_connection *c = take_connection(p, port);
    char byte;
    c->step = step;
    c->request = request;
    c->sent = 0;
    c->busy = true;
    bench_sse_begin(&c->answer);
    write_call(p, c);
    // A kept connection that the other side has closed meanwhile is made anew.
    if (c->fd >= 0 && recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) disconnect(c);
    if (c->fd < 0 && !connect_again(p, c)) {
        end_call(p, c, "no connection");
    } else if (!push(p, c)) {
        end_call(p, c, strerror(errno));
    }
}

// ---- When ----------------------------------------------------------------------------------------

static double due(const struct player *p, size_t request) {
    return p->script->load.requests[request].at / p->plan->speed;
}

static void set_timer(struct player *p) {
    struct itimerspec t = {0}; // none any more
    if (p->next < p->script->load.n) {
        int64_t at = p->start + (int64_t)(due(p, p->next) * 1e9);
        t.it_value = (struct timespec){at / SECOND, at % SECOND};
    }
    timerfd_settime(p->timer, TFD_TIMER_ABSTIME, &t, NULL);
}

static void begin_due(struct player *p) {
    while (p->next < p->script->load.n && due(p, p->next) <= since(p)) {
        uint32_t request = (uint32_t)p->next++;
        struct bench_played *o = &p->out[request];
        p->busy++;
        *o->why = 0;
        o->sent = o->chosen = since(p);
        if (p->plan->n_routers) {
            p->requests[request].router = request % (unsigned)p->plan->n_routers;
            start_call(p, CHOOSE, request);
        } else {
            o->port = p->plan->targets[request % p->plan->n_targets];
            start_call(p, STREAM, request);
        }
    }
    set_timer(p);
}

static void retry_due(struct player *p) {
    int64_t now = clock_ns();
    for (size_t i = 0, n = p->n_retries; i < n && p->retries[0].at <= now; i++) {
        struct player_retry r = p->retries[0];
        memmove(p->retries, p->retries + 1, --p->n_retries * sizeof *p->retries);
        start_call(p, r.step, r.request);
    }
}

// ---- Answers -------------------------------------------------------------------------------------

static void hear(struct player *p, struct player_connection *c) {
    static char b[READ];
    ssize_t n = recv(c->fd, b, sizeof b, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (!c->busy) {
        disconnect(c);
        return;
    }
    double now = since(p);
    if (n <= 0 && c->used && c->answer.state == BENCH_SSE_HEAD && !c->answer.n_line) {
        // It was closed as the request came: nobody has seen that.
        disconnect(c);
        c->sent = 0;
        if (!connect_again(p, c) || !push(p, c)) end_call(p, c, "no connection");
        return;
    }
    if (n <= 0) {
        end_call(p, c, n ? strerror(errno) : "closed in the middle of an answer");
        return;
    }
    struct bench_played *o = &p->out[c->request];
    uint32_t before = c->answer.tokens;
    bench_sse_take(&c->answer, b, (size_t)n);
    if (c->answer.tokens > before) o->last = now;
    if (!before && c->answer.tokens) {
        o->first = now;
        if (p->plan->n_routers) start_call(p, PREFILLED, c->request);
    }
    if (c->answer.state == BENCH_SSE_WRONG || c->answer.state == BENCH_SSE_DONE)
        end_call(p, c, c->answer.why);
}

static bool serve(struct player *p) {
    struct epoll_event e[EVENTS];
    int64_t heard = clock_ns();
    begin_due(p);
    while (p->busy || p->n_retries || p->next < p->script->load.n) {
        int n = epoll_wait(p->epoll, e, EVENTS, p->n_retries ? RETRY_MS / 2 : WAKE_MS);
        if (stop_asked()) return false;
        if (p->plan->watch) p->plan->watch(p->plan->ctx, &p->count);
        if (n > 0) heard = clock_ns();
        for (int i = 0; i < n; i++) {
            struct player_connection *c = e[i].data.ptr;
            if (!c) {
                begin_due(p);
                continue;
            }
            if (c->fd >= 0 && c->busy && e[i].events & EPOLLOUT && !push(p, c))
                end_call(p, c, strerror(errno));
            if (c->fd >= 0 && e[i].events & ~(uint32_t)EPOLLOUT) hear(p, c);
        }
        retry_due(p);
        if (clock_ns() - heard < SILENCE_S * SECOND) continue;
        for (size_t i = 0; i < p->n_all; i++)
            if (p->all[i]->busy) end_call(p, p->all[i], "silence");
        heard = clock_ns();
    }
    return true;
}

bool bench_player_run(const struct bench_player_plan *plan, struct bench_played *out) {
    const struct bench_script *s = plan->script;
    struct player p = {.plan = plan, .script = s, .out = out};
    struct epoll_event e = {.events = EPOLLIN};
    for (size_t i = 0; i < s->load.n; i++)
        out[i] = (struct bench_played){
            .sent = -1, .chosen = -1, .first = -1, .last = -1, .cached = -1, .why = "not sent"};
    p.requests = memory_take(s->load.n + 1, sizeof *p.requests);
    p.epoll = epoll_create1(EPOLL_CLOEXEC);
    p.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    epoll_ctl(p.epoll, EPOLL_CTL_ADD, p.timer, &e);
    p.start = clock_ns();
    bool ok = serve(&p);
    for (size_t i = 0; i < p.n_all; i++) {
        disconnect(p.all[i]);
        free(p.all[i]->out);
        free(p.all[i]);
    }
    free(p.all);
    free(p.requests);
    free(p.retries);
    close(p.timer);
    close(p.epoll);
    return ok;
}

bool bench_player_try(int port) {
    struct http_answer a =
        http_call(port, "POST", "/v1/completions", "Content-Type: application/json\r\n",
                  "{\"model\":\"mock\",\"prompt\":\"hello\",\"max_tokens\":1}", TRY_MS);
    bool ok = a.status == 200;
    free(a.body);
    return ok;
}
