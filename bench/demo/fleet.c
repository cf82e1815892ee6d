// SPDX-License-Identifier: Apache-2.0
// The simulated engines; see fleet.h.
#include "fleet.h"

#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/common/memory.h"
#include "cache.h"
#include "publisher.h"
#include "wire.h"

#define NOBODY UINT32_MAX

// A list of requests, taken from the front.
struct queue {
    uint32_t *items;
    size_t first, n, room;
};

struct worker {
    struct queue waiting; // for prefill
    bool busy;
    double free_at; // when it is through with what it has begun
};

struct due {
    double at;
    uint64_t order; // of two at the same time the one that was planned first
    uint32_t request;
    bool done; // else prefilled
};

struct fleet {
    const struct fleet_plan *plan;
    struct worker *workers;
    struct cache **caches;
    struct publisher *publisher;
    double now;
    struct due *heap; // the earliest at 0
    size_t n_due, room_due;
    uint64_t planned;
    uint32_t *worker_of, *router_of; // by request
    struct queue *news;              // by router: request × 2 + what
    uint32_t *arriving;  // by router: the request that it asked to begin with, NOBODY none
    uint32_t waited_for; // the first request that hasn't been handed over
    bool *told;          // by router: it has been given news and hasn't passed them on yet
    unsigned n_told;
    bool *drained;
    unsigned n_drained;
    uint64_t *evicted;
};

static void queue_put(struct queue *q, uint32_t item) {
    if (q->first == q->n) q->first = q->n = 0;
    q->items = memory_grow(q->items, &q->room, q->n + 1, sizeof *q->items);
    q->items[q->n++] = item;
}
static bool queue_take(struct queue *q, uint32_t *item) {
    if (q->first == q->n) return false;
    *item = q->items[q->first++];
    return true;
}

// ---- What falls due ------------------------------------------------------------------------------

static bool before(const struct due *a, const struct due *b) {
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void plan_due(struct fleet *f, double at, uint32_t request, bool done) {
    f->heap = memory_grow(f->heap, &f->room_due, f->n_due + 1, sizeof *f->heap);
    struct due d = {at, f->planned++, request, done};
    size_t i = f->n_due++;
    for (; i && before(&d, &f->heap[(i - 1) / 2]); i = (i - 1) / 2)
        f->heap[i] = f->heap[(i - 1) / 2];
    f->heap[i] = d;
}

static struct due take_due(struct fleet *f) {
    struct due first = f->heap[0], last = f->heap[--f->n_due];
    size_t i = 0;
    for (size_t c; (c = 2 * i + 1) < f->n_due; i = c) {
        if (c + 1 < f->n_due && before(&f->heap[c + 1], &f->heap[c])) c++;
        if (!before(&f->heap[c], &last)) break;
        f->heap[i] = f->heap[c];
    }
    f->heap[i] = last;
    return first;
}

// ---- Workers -------------------------------------------------------------------------------------

static void store(struct fleet *f, unsigned w, uint32_t request, size_t n) {
    const uint64_t *hashes = bench_request_hashes(f->plan->load, request);
    size_t n_evicted, had = cache_store(f->caches[w], hashes, &n, f->evicted, &n_evicted);
    if (f->publisher)
        publisher_change(f->publisher, w, f->evicted, n_evicted, had ? &hashes[had - 1] : NULL,
                         hashes + had, n - had);
}

// The next prompt's turn has come: what the cache has of it now needn't be computed. It begins when it
// arrived if the worker had nothing to do, even if the clock has gone on while a router found a worker
// for it: how long that takes is measured in real time, and doesn't count in virtual time as well.
static void start_prefill(struct fleet *f, unsigned w) {
    const struct bench_workload *load = f->plan->load;
    struct board *b = f->plan->board;
    struct worker *x = &f->workers[w];
    uint32_t request;
    x->busy = queue_take(&x->waiting, &request);
    if (!x->busy) return;
    const struct bench_request *r = &load->requests[request];
    size_t hits = cache_use(f->caches[w], bench_request_hashes(load, request), r->blocks);
    atomic_fetch_add(&b->hit_blocks, hits);
    atomic_fetch_add(&b->asked_blocks, r->blocks);
    uint64_t known = (uint64_t)hits * load->block_size;
    uint64_t computed = r->isl > known ? r->isl - known : 1; // the last token's always is
    b->work[w] += computed + r->osl;
    x->free_at = fmax(x->free_at, r->at) + (double)computed / PREFILL_RATE;
    plan_due(f, x->free_at, request, false);
}

static void tell(struct fleet *f, uint32_t request, enum wire_news what) {
    queue_put(&f->news[f->router_of[request]], request * 2 + what);
}

// Lets happen what falls due up to a time.
static void advance(struct fleet *f, double until) {
    const struct bench_workload *load = f->plan->load;
    struct board *b = f->plan->board;
    while (f->n_due && f->heap[0].at <= until) {
        struct due d = take_due(f);
        const struct bench_request *r = &load->requests[d.request];
        unsigned w = f->worker_of[d.request];
        f->now = fmax(f->now, d.at);
        if (d.done) {
            store(f, w, d.request, r->known);
            tell(f, d.request, WIRE_DONE);
            b->over[d.request]++;
            atomic_fetch_add(&b->done, 1);
        } else {
            store(f, w, d.request, r->blocks);
            tell(f, d.request, WIRE_PREFILLED);
            b->first_token[d.request] = d.at - r->at;
            plan_due(f, d.at + r->osl * DECODE_PACE, d.request, true);
            start_prefill(f, w);
        }
    }
    if (until > f->now && isfinite(until)) f->now = until;
}

// ---- Routers -------------------------------------------------------------------------------------

static bool take_over(struct fleet *f, unsigned router, const struct wire_call *call) {
    const struct fleet_plan *plan = f->plan;
    if (call->request >= plan->load->n || call->worker >= plan->workers) return false;
    uint8_t *handed = &plan->board->handed[call->request];
    if (*handed < UINT8_MAX) ++*handed;
    if (*handed > 1) return true; // counted, and the run fails for it
    f->worker_of[call->request] = call->worker;
    f->router_of[call->request] = router;
    queue_put(&f->workers[call->worker].waiting, call->request);
    if (!f->workers[call->worker].busy) start_prefill(f, call->worker);
    while (f->waited_for < plan->load->n && plan->board->handed[f->waited_for])
        f->waited_for++;
    return true;
}

// again: the router passes on what it gets and then asks for more, however much there is.
static bool answer(struct fleet *f, unsigned router, bool again) {
    struct wire_answer a = {0};
    uint32_t item;
    while (a.n < WIRE_NEWS && queue_take(&f->news[router], &item)) {
        a.news[a.n].request = item / 2;
        a.news[a.n++].what = item % 2;
    }
    a.more = again || f->news[router].first < f->news[router].n;
    return send(f->plan->sockets[router], &a, sizeof a, MSG_NOSIGNAL) == sizeof a;
}

// Gives every router the news that it has, and counts those that have some to pass on. *ready: none
// had any, and all of them listen.
static bool spread_news(struct fleet *f, bool *ready) {
    for (unsigned r = 0; r < f->plan->routers; r++) {
        if (f->arriving[r] == NOBODY && !f->drained[r]) return true;
        if (f->told[r] || f->news[r].first == f->news[r].n) continue;
        if (!answer(f, r, true)) return false;
        f->told[r] = true;
        f->n_told++;
    }
    *ready = f->n_told == 0;
    return true;
}

// Lets the router begin whose request is next, when the pool has heard of all that was before, from
// whichever router. False: the run can't go on.
static bool admit(struct fleet *f) {
    const struct fleet_plan *plan = f->plan;
    unsigned r = 0;
    while (r < plan->routers && f->arriving[r] != f->waited_for)
        r++;
    if (r == plan->routers || f->n_told) return true;
    advance(f, plan->load->requests[f->waited_for].at);
    if (f->publisher && !publisher_flush(f->publisher)) return false;
    bool ready = false;
    if (!spread_news(f, &ready)) return false;
    if (!ready) return true;
    f->arriving[r] = NOBODY;
    return answer(f, r, false);
}

// A router asks whether there is more: it has passed on what it was told.
static bool look(struct fleet *f, unsigned router) {
    if (!f->told[router]) return answer(f, router, false);
    f->told[router] = false;
    f->n_told--;
    return admit(f);
}

// All routers have said that no more will come: the rest happens.
static bool finish(struct fleet *f) {
    advance(f, INFINITY);
    if (f->publisher && !publisher_flush(f->publisher)) return false;
    for (unsigned r = 0; r < f->plan->routers; r++)
        if (!answer(f, r, false)) return false;
    return true;
}

// One message of a router. False: the run can't go on.
static bool serve(struct fleet *f, unsigned router, const struct wire_call *call) {
    switch (call->kind) {
    case WIRE_ARRIVES:
        if (call->request >= f->plan->load->n) return false;
        f->arriving[router] = call->request;
        return admit(f);
    case WIRE_HAND:
        return take_over(f, router, call) && admit(f);
    case WIRE_DRAIN:
        f->n_drained += !f->drained[router];
        f->drained[router] = true;
        return f->n_drained < f->plan->routers ? admit(f) : finish(f);
    default:
        return look(f, router);
    }
}

static bool work(struct fleet *f) {
    struct pollfd fds[MAX_ROUTERS];
    unsigned open = f->plan->routers;
    for (unsigned r = 0; r < open; r++)
        fds[r] = (struct pollfd){.fd = f->plan->sockets[r], .events = POLLIN};
    while (open) {
        if (poll(fds, f->plan->routers, -1) < 0) return false;
        for (unsigned r = 0; r < f->plan->routers; r++) {
            struct wire_call call;
            if (!fds[r].revents) continue;
            ssize_t n = recv(fds[r].fd, &call, sizeof call, 0);
            if (n == sizeof call) {
                if (!serve(f, r, &call)) return false;
            } else {
                fds[r].fd = -1; // hung up
                open--;
            }
        }
    }
    return true;
}

int fleet_main(const struct fleet_plan *plan) {
    size_t n = plan->load->n;
    struct fleet f = {
        .plan = plan,
        .workers = memory_take(plan->workers, sizeof *f.workers),
        .caches = memory_take(plan->workers, sizeof(struct cache *)),
        .worker_of = memory_take(n, sizeof *f.worker_of),
        .router_of = memory_take(n, sizeof *f.router_of),
        .news = memory_take(plan->routers, sizeof *f.news),
        .arriving = memory_take(plan->routers, sizeof *f.arriving),
        .told = memory_take(plan->routers, sizeof *f.told),
        .drained = memory_take(plan->routers, sizeof *f.drained),
        .evicted = memory_take(plan->capacity, sizeof *f.evicted),
    };
    for (unsigned w = 0; w < plan->workers; w++)
        f.caches[w] = cache_new(plan->capacity);
    for (unsigned r = 0; r < plan->routers; r++)
        f.arriving[r] = NOBODY;
    if (plan->publish)
        f.publisher = publisher_new(plan->port, plan->workers, f.caches, plan->board);
    bool ok = work(&f);
    for (unsigned w = 0; w < plan->workers; w++) {
        plan->board->cached[w] = cache_used(f.caches[w]);
        cache_free(f.caches[w]);
        free(f.workers[w].waiting.items);
    }
    plan->board->ended = f.now;
    for (unsigned r = 0; r < plan->routers; r++)
        free(f.news[r].items);
    publisher_free(f.publisher);
    free(f.workers);
    free(f.caches);
    free(f.heap);
    free(f.worker_of);
    free(f.router_of);
    free(f.news);
    free(f.arriving);
    free(f.told);
    free(f.drained);
    free(f.evicted);
    return ok ? 0 : 1;
}
