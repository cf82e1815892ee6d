// SPDX-License-Identifier: Apache-2.0
// Between routers and mock engines; see front.h.
#include "front.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/common/clock.h"
#include "bench/common/http.h"
#include "bench/common/memory.h"
#include "wire.h"

enum { MOST = 1024, TAIL = 2048, READ = 8192, HTTP_MS = 20000, DIGITS = 8 };

// An answer on its way. `tail`: the last of what came, where its usage and its end are.
struct answer {
    int fd;
    uint32_t request;
    unsigned worker, router;
    bool began;
    size_t n;
    char tail[TAIL + READ + 1];
};

// BUSY: it is its turn. The others wait for an answer of ours; TOLD: it has had news and passes them on.
enum state { BUSY, ARRIVING, DRAINING };

struct router {
    enum state state;
    bool told, open;
    uint32_t request; // that arrives
    unsigned running;
    uint32_t *news; // request × 2 + what
    size_t n, room;
};

struct front {
    const struct front_plan *plan;
    struct router *routers;
    struct answer *answers[MOST];
    size_t n_answers;
    int64_t start;
};

static double now(const struct front *f) {
    return (double)(clock_ns() - f->start) / 1e9 * f->plan->scale;
}

static bool complain(const char *what) {
    fprintf(stderr, "kvroute-demo: %s\n", what);
    return false;
}

// ---- Engines -------------------------------------------------------------------------------------

static bool begin(struct front *f, unsigned router, const struct wire_call *call) {
    const struct bench_workload *load = f->plan->load;
    struct board *b = f->plan->board;
    if (call->request >= load->n || call->worker >= f->plan->workers) return false;
    uint8_t *handed = &b->handed[call->request];
    if (*handed < UINT8_MAX) ++*handed;
    if (*handed > 1) return true; // counted, and the run fails for it
    if (f->n_answers == MOST) return complain("too many requests at once");
    const struct bench_request *r = &load->requests[call->request];
    char *body = memory_take(r->isl * DIGITS + 200, 1);
    size_t len = (size_t)sprintf(body, "{\"prompt\":[");
    for (uint32_t i = 0; i < r->isl; i++)
        len += (size_t)sprintf(body + len, i ? ",%u" : "%u", load->tokens[r->text + i]);
    sprintf(body + len,
            "],\"max_tokens\":%u,\"stream\":true,\"stream_options\":{\"include_usage\":true}}",
            r->osl);
    struct answer *a = memory_take(1, sizeof *a);
    a->fd = http_begin(f->plan->ports[call->worker], "POST", "/v1/completions", "", body, HTTP_MS);
    free(body);
    if (a->fd < 0) {
        free(a);
        return complain("an engine doesn't take a request");
    }
    fcntl(a->fd, F_SETFL, O_NONBLOCK);
    a->request = call->request;
    a->worker = call->worker;
    a->router = router;
    f->answers[f->n_answers++] = a;
    f->routers[router].running++;
    return true;
}

static void tell(struct front *f, const struct answer *a, enum wire_news what) {
    struct router *r = &f->routers[a->router];
    r->news = memory_grow(r->news, &r->room, r->n + 1, sizeof *r->news);
    r->news[r->n++] = a->request * 2 + what;
}

// All of it is here: it must say so, and how much of the prompt was cached.
static bool finish(struct front *f, struct answer *a) {
    static const char field[] = "\"cached_tokens\":";
    const struct bench_request *r = &f->plan->load->requests[a->request];
    struct board *b = f->plan->board;
    const char *cached = strstr(a->tail, field);
    if (!cached || !strstr(a->tail, "[DONE]")) return complain("an answer ends before its time");
    uint32_t known = (uint32_t)strtoul(cached + sizeof field - 1, NULL, 10);
    atomic_fetch_add(&b->hit_blocks, known / f->plan->load->block_size);
    atomic_fetch_add(&b->asked_blocks, r->blocks);
    b->work[a->worker] += r->isl - known + r->osl;
    b->over[a->request]++;
    atomic_fetch_add(&b->done, 1);
    tell(f, a, WIRE_DONE);
    f->routers[a->router].running--;
    return true;
}

// *over: the answer has ended.
static bool hear(struct front *f, struct answer *a, bool *over) {
    ssize_t n = recv(a->fd, a->tail + a->n, READ, 0);
    *over = n == 0;
    if (n < 0) return complain("an engine hangs up");
    if (n == 0) return finish(f, a);
    a->n += (size_t)n;
    a->tail[a->n] = 0;
    if (!a->began && strstr(a->tail, "data: ")) {
        a->began = true;
        double waited = now(f) - f->plan->load->requests[a->request].at;
        f->plan->board->first_token[a->request] = waited > 0 ? waited : 0;
        tell(f, a, WIRE_PREFILLED);
    }
    if (a->n > TAIL) {
        memmove(a->tail, a->tail + a->n - TAIL, TAIL + 1);
        a->n = TAIL;
    }
    return true;
}

// ---- Routers -------------------------------------------------------------------------------------

static bool answer(struct front *f, unsigned router, bool again) {
    struct router *r = &f->routers[router];
    struct wire_answer a = {0};
    for (; a.n < WIRE_NEWS && a.n < r->n; a.n++) {
        a.news[a.n].request = r->news[a.n] / 2;
        a.news[a.n].what = r->news[a.n] % 2;
    }
    r->n -= a.n;
    if (r->n) memmove(r->news, r->news + a.n, r->n * sizeof *r->news);
    a.more = again;
    r->told = again;
    if (!again) r->state = BUSY;
    return send(f->plan->sockets[router], &a, sizeof a, MSG_NOSIGNAL) == sizeof a;
}

static bool serve(struct front *f, unsigned router, const struct wire_call *call) {
    struct router *r = &f->routers[router];
    switch (call->kind) {
    case WIRE_ARRIVES:
        if (call->request >= f->plan->load->n) return false;
        r->state = ARRIVING;
        r->request = call->request;
        return true;
    case WIRE_HAND:
        return begin(f, router, call);
    case WIRE_DRAIN:
        r->state = DRAINING;
        return true;
    default:
        r->told = false;
        return true;
    }
}

// Answers those who wait: with news at once, with their turn when it has come. *next: how long until the
// next turn, ms.
static bool answer_all(struct front *f, int *next) {
    double time = now(f);
    *next = 1000;
    for (unsigned i = 0; i < f->plan->routers; i++) {
        struct router *r = &f->routers[i];
        if (r->state == BUSY || r->told || !r->open) continue;
        double left = r->state == ARRIVING ? f->plan->load->requests[r->request].at - time : 0;
        bool turn = r->state == ARRIVING ? left <= 0 : r->running == 0;
        int ms = (int)(left / f->plan->scale * 1000) + 1;
        if (r->n) {
            if (!answer(f, i, true)) return false;
        } else if (turn) {
            if (!answer(f, i, false)) return false;
        } else if (r->state == ARRIVING && ms < *next) {
            *next = ms;
        }
    }
    return true;
}

static bool work(struct front *f) {
    static struct pollfd fds[MAX_ROUTERS + MOST];
    unsigned n_routers = f->plan->routers, open = n_routers;
    while (open) {
        int next;
        if (!answer_all(f, &next)) return false;
        for (unsigned i = 0; i < n_routers; i++)
            fds[i] = (struct pollfd){.fd = f->routers[i].open ? f->plan->sockets[i] : -1,
                                     .events = POLLIN};
        size_t n = f->n_answers;
        for (size_t i = 0; i < n; i++)
            fds[n_routers + i] = (struct pollfd){.fd = f->answers[i]->fd, .events = POLLIN};
        if (poll(fds, n_routers + n, next) < 0) return false;
        for (size_t i = n; i-- > 0;) {
            bool over = false;
            struct answer *a = f->answers[i];
            if (!fds[n_routers + i].revents) continue;
            if (!hear(f, a, &over)) return false;
            if (!over) continue;
            close(a->fd);
            free(a);
            f->answers[i] = f->answers[--f->n_answers];
        }
        for (unsigned i = 0; i < n_routers; i++) {
            struct wire_call call;
            if (!fds[i].revents) continue;
            if (recv(fds[i].fd, &call, sizeof call, 0) == sizeof call) {
                if (!serve(f, i, &call)) return false;
            } else {
                f->routers[i].open = false; // hung up
                open--;
            }
        }
    }
    return true;
}

int front_main(const struct front_plan *plan) {
    struct front f = {.plan = plan, .start = clock_ns()};
    f.routers = memory_take(plan->routers, sizeof *f.routers);
    for (unsigned i = 0; i < plan->routers; i++)
        f.routers[i].open = true;
    bool ok = work(&f);
    plan->board->ended = now(&f);
    for (unsigned i = 0; i < plan->routers; i++)
        free(f.routers[i].news);
    for (size_t i = 0; i < f.n_answers; i++)
        free(f.answers[i]);
    free(f.routers);
    return ok ? 0 : 1;
}
