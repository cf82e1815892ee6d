// SPDX-License-Identifier: Apache-2.0
// A stateless router; see router.h.
#include "router.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/common/clock.h"
#include "bench/common/memory.h"
#include "link.h"
#include "pool.h"
#include "wire.h"

enum {
    ENDED = 1024,    // ids that are released again after a reconnect: more than two seconds' worth
    ATTEMPTS = 1000, // of one command
    BATCH = 2 * WIRE_NEWS,
};

struct stream {
    uint32_t request, worker;
    uint32_t cached; // tokens, as SELECT answered
    bool prefilled;
};

struct router {
    const struct router_plan *plan;
    struct link link;
    unsigned lives;         // of the link, when all of ours was known to be with the pool
    struct stream *streams; // under way
    size_t n_streams, room_streams;
    uint32_t ended[ENDED];
    size_t n_ended;
};

static void request_id(char out[24], uint32_t request) {
    snprintf(out, 24, "chat-%u", request);
}

static bool complain(const char *what, const redisReply *r) {
    fprintf(stderr, "kvroute-demo: %s was answered %s\n", what, r && r->str ? r->str : "oddly");
    return false;
}

// ---- Commands ------------------------------------------------------------------------------------

static void append_select(struct router *r, uint32_t request) {
    const struct bench_request *q = &r->plan->load->requests[request];
    char id[24];
    request_id(id, request);
    redisAppendCommand(r->link.c, "KVROUTE.SELECT " POOL_KEY " %s HASHES %b ISL %u OSL %u", id,
                       bench_request_hashes(r->plan->load, request), q->blocks * sizeof(uint64_t),
                       q->isl, q->osl);
}

static void append_claim(struct router *r, const struct stream *s) {
    const struct bench_request *q = &r->plan->load->requests[s->request];
    char id[24], name[24];
    request_id(id, s->request);
    worker_name(s->worker, name);
    const char *format =
        s->prefilled ? "KVROUTE.CLAIM " POOL_KEY " %s %s 0 HASHES %b ISL %u CACHED %u PREFILLED"
                     : "KVROUTE.CLAIM " POOL_KEY " %s %s 0 HASHES %b ISL %u CACHED %u";
    redisAppendCommand(r->link.c, format, id, name, bench_request_hashes(r->plan->load, s->request),
                       q->blocks * sizeof(uint64_t), q->isl, s->cached);
}

static void append_release(struct router *r, uint32_t request) {
    char id[24];
    request_id(id, request);
    redisAppendCommand(r->link.c, "KVROUTE.RELEASE " POOL_KEY " %s", id);
}

static void append_prefilled(struct router *r, uint32_t request) {
    char id[24];
    request_id(id, request);
    redisAppendCommand(r->link.c, "KVROUTE.UPDATE " POOL_KEY " %s PREFILLED", id);
}

// Reads n integer replies; *sum is theirs. LOST: the connection, or the server isn't ready yet.
enum outcome { DONE, LOST, FAILED };
static enum outcome read_integers(struct router *r, size_t n, long long *sum) {
    redisReply *replies[BATCH];
    enum outcome out = DONE;
    *sum = 0;
    if (!link_exchange(&r->link, replies, n)) return LOST;
    for (size_t i = 0; i < n; i++) {
        if (replies[i]->type == REDIS_REPLY_INTEGER)
            *sum += replies[i]->integer;
        else if (link_passing(replies[i]))
            out = out == FAILED ? FAILED : LOST;
        else
            out = complain("a command", replies[i]) ? DONE : FAILED;
        freeReplyObject(replies[i]);
    }
    if (out == LOST) link_drop(&r->link);
    return out;
}

// ---- Coming back ---------------------------------------------------------------------------------

// The server we have reached may be one that lost the last of what it acknowledged.
static enum outcome put_back(struct router *r) {
    long long sum;
    for (size_t i = 0; i < r->n_streams;) {
        size_t n = 0;
        for (; n < BATCH && i < r->n_streams; n++)
            append_claim(r, &r->streams[i++]);
        enum outcome out = read_integers(r, n, &sum);
        if (out != DONE) return out;
        atomic_fetch_add(&r->plan->board->put_back, (size_t)sum);
    }
    size_t ended = r->n_ended < ENDED ? r->n_ended : ENDED;
    for (size_t i = 0; i < ended;) {
        size_t n = 0;
        for (; n < BATCH && i < ended; n++)
            append_release(r, r->ended[i++]);
        enum outcome out = read_integers(r, n, &sum);
        if (out != DONE) return out;
    }
    return DONE;
}

// Connected, and the pool knows what is ours. False: given up.
static bool ready(struct router *r) {
    for (int i = 0; i < ATTEMPTS; i++) {
        if (!link_up(&r->link)) break;
        if (r->lives == r->link.lives) return true;
        unsigned lives = r->link.lives;
        enum outcome out = lives > 1 ? put_back(r) : DONE;
        if (out == FAILED) return false;
        if (out == LOST) continue;
        if (lives > 1) atomic_fetch_add(&r->plan->board->reconnects, 1);
        r->lives = lives;
        return true;
    }
    fputs("kvroute-demo: a router finds the server no more\n", stderr);
    return false;
}

// ---- A request -----------------------------------------------------------------------------------

// Worker, cached tokens and repeat of a SELECT's answer. False: not such an answer.
static bool parse_choice(const redisReply *r, struct stream *s, bool *repeat) {
    long worker = -1;
    if (r->type != REDIS_REPLY_ARRAY) return false;
    for (size_t i = 0; i + 1 < r->elements; i += 2) {
        const redisReply *v = r->element[i + 1];
        const char *field = r->element[i]->str;
        if (!field) return false;
        if (!strcmp(field, "worker") && v->str) worker = worker_number(v->str, v->len);
        if (!strcmp(field, "cached")) s->cached = (uint32_t)v->integer;
        if (!strcmp(field, "repeat")) *repeat = v->integer != 0;
    }
    s->worker = (uint32_t)worker;
    return worker >= 0;
}

// Asks, waits until the answer is there, and doesn't read it: the server dies with us not knowing.
static void ask_and_hold(struct router *r, uint32_t request) {
    struct board *b = r->plan->board;
    int sent = 0;
    append_select(r, request);
    while (!sent && redisBufferWrite(r->link.c, &sent) == REDIS_OK)
        ;
    struct pollfd answer = {.fd = r->link.c->fd, .events = POLLIN};
    poll(&answer, 1, 10000);
    atomic_fetch_add(&b->held, 1);
    while (!atomic_load(&b->go))
        clock_sleep_ms(1);
    link_drop(&r->link);
}

static bool select_worker(struct router *r, uint32_t request, struct stream *s) {
    struct board *b = r->plan->board;
    if (!ready(r)) return false;
    int64_t start = clock_ns();
    if (request == b->hold_at && !atomic_load(&b->go)) {
        ask_and_hold(r, request);
        start = clock_ns();
    }
    for (int i = 0; i < ATTEMPTS; i++) {
        redisReply *reply;
        bool repeat = false;
        if (!ready(r)) return false;
        append_select(r, request);
        if (!link_exchange(&r->link, &reply, 1)) continue;
        bool good = parse_choice(reply, s, &repeat), passing = link_passing(reply);
        if (!good && !passing) complain("SELECT", reply);
        freeReplyObject(reply);
        if (!good && !passing) return false;
        if (passing) {
            clock_sleep_ms(20);
            continue;
        }
        b->select_ns[request] = (uint64_t)(clock_ns() - start);
        atomic_fetch_add(&b->selects, 1);
        atomic_fetch_add(&b->repeats, repeat);
        return true;
    }
    return false;
}

// ---- News of requests under way ------------------------------------------------------------------

static struct stream *stream_of(struct router *r, uint32_t request) {
    for (size_t i = 0; i < r->n_streams; i++)
        if (r->streams[i].request == request) return &r->streams[i];
    return NULL;
}

// Tells the pool what happened. What we keep is brought up to date first, so that coming back in the
// middle puts back the right things; all of it can be told twice.
static bool pass_on(struct router *r, const struct wire_answer *a) {
    for (uint32_t i = 0; i < a->n; i++) {
        struct stream *s = stream_of(r, a->news[i].request);
        if (!s) return false;
        if (a->news[i].what == WIRE_PREFILLED) {
            s->prefilled = true;
        } else {
            r->ended[r->n_ended++ % ENDED] = s->request;
            *s = r->streams[--r->n_streams];
        }
    }
    if (r->plan->round_robin || !a->n) return true;
    for (int i = 0; i < ATTEMPTS; i++) {
        long long sum;
        if (!ready(r)) return false;
        for (uint32_t k = 0; k < a->n; k++) {
            if (a->news[k].what == WIRE_PREFILLED)
                append_prefilled(r, a->news[k].request);
            else
                append_release(r, a->news[k].request);
        }
        enum outcome out = read_integers(r, a->n, &sum);
        if (out != LOST) return out == DONE;
    }
    return false;
}

static bool say(const struct router *r, enum wire_kind kind, uint32_t request, uint32_t worker) {
    struct wire_call call = {kind, request, worker};
    return send(r->plan->fleet, &call, sizeof call, MSG_NOSIGNAL) == sizeof call;
}

// Asks for news and passes on all that there is.
static bool hear(struct router *r, enum wire_kind kind, uint32_t request) {
    struct wire_answer a;
    do {
        if (!say(r, kind, request, 0)) return false;
        if (recv(r->plan->fleet, &a, sizeof a, 0) != sizeof a || a.n > WIRE_NEWS) return false;
        if (!pass_on(r, &a)) return false;
        kind = WIRE_LOOK;
    } while (a.more);
    return true;
}

static bool route(struct router *r, uint32_t request) {
    struct stream s = {.request = request};
    if (!hear(r, WIRE_ARRIVES, request)) return false;
    if (r->plan->round_robin)
        s.worker = request % r->plan->workers;
    else if (!select_worker(r, request, &s))
        return false;
    r->streams = memory_grow(r->streams, &r->room_streams, r->n_streams + 1, sizeof s);
    r->streams[r->n_streams++] = s;
    return say(r, WIRE_HAND, request, s.worker);
}

int router_main(const struct router_plan *plan) {
    struct router r = {
        .plan = plan,
        .link = {.port = plan->port, .rng = plan->router},
    };
    bool ok = true;
    while (ok) {
        size_t request = atomic_fetch_add(&plan->board->next, 1);
        if (request >= plan->load->n) break;
        ok = route(&r, (uint32_t)request);
    }
    ok = ok && hear(&r, WIRE_DRAIN, 0);
    ok = ok && r.n_streams == 0;
    link_drop(&r.link);
    free(r.streams);
    return ok ? 0 : 1;
}
