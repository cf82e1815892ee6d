// SPDX-License-Identifier: Apache-2.0
// Rules of others, and fixed constants, over what the module's core knows: exact cache events, and the
// requests that are under way. Each router has a core in its own process. What one decides, and how it goes
// on, the others hear --sync later.
//
//   dynamo    NVIDIA Dynamo's KV router with its defaults: overlap credit 1, prefill scale 1, temperature 0,
//             sequences tracked by the router, replicas in sync. It is the module's `linear`, but of equals
//             one is drawn. Replicas send each other what they decide in batches of 1 ms; it takes some 2
//             in all. Its queue in front of busy engines isn't simulated.
//   lmetric   LMetric (arXiv 2603.15202): (own uncached + queued prefill tokens) · (requests + 1); the last
//             token of a prompt is always computed. Of equals one is drawn.
//   fixed     a delay rule whose constants are given (--fixed) or searched (--search); see search.h
#include <stdlib.h>

#include "core.h"
#include "memory.h"
#include "random.h"
#include "routers.h"

struct scored {
    struct world world;
    struct core core[MAX_ROUTERS];
    uint64_t rng[MAX_ROUTERS];
    uint64_t turn, booked[MAX_WORKERS]; // of fixed: when it last was chosen
    uint32_t *cached;                   // tokens, by request, as its router thought
};

static void *open_scored(const struct world *w) {
    struct scored *s = memory_take(1, sizeof *s);
    s->world = *w;
    s->world.rule =
        (struct kvr_rule){.policy = kvr_policy_find("linear", 6), .overlap = 1, .prefill = 1};
    s->cached = memory_take(w->load->n, sizeof *s->cached);
    for (unsigned r = 0; r < w->routers; r++) {
        core_open(&s->core[r], &s->world, 0);
        s->rng[r] = random_mix(w->seed * MAX_ROUTERS + r);
    }
    return s;
}

static void book(struct scored *s, unsigned router, uint32_t request, uint32_t worker) {
    const struct request *q = &s->world.load->requests[request];
    int64_t now = core_ms(*s->world.now);
    char room[CORE_NAME];
    int done;
    // Refused when the engine has gone meanwhile: nothing is lost by that.
    kvr_claim(s->core[router].pool, core_id(&request), core_name(worker, room), 0,
              &(struct kvr_booking){.hashes = request_hashes(s->world.load, request),
                                    .n = q->blocks,
                                    .isl = q->isl,
                                    .cached = s->cached[request],
                                    .created = now,
                                    .renewed = now},
              &done);
}

// ---- What other routers hear ---------------------------------------------------------------------

enum told { TOLD_CHOSEN, TOLD_PREFILLED, TOLD_ENDED };

static void apply(struct scored *s, unsigned router, uint32_t request, uint32_t worker,
                  enum told what) {
    struct kvr_bytes id = core_id(&request);
    int live;
    switch (what) {
    case TOLD_CHOSEN:
        book(s, router, request, worker);
        return;
    case TOLD_PREFILLED:
        kvr_update(s->core[router].pool, core_ms(*s->world.now), id, true, -1, -1, &live);
        return;
    case TOLD_ENDED:
        kvr_release(s->core[router].pool, core_ms(*s->world.now), &id, 1, KVR_UNTOLD);
        return;
    }
}

static void hear(void *self, uint32_t request, uint32_t packed) {
    struct scored *s = self;
    for (uint32_t r = 0; r < s->world.routers; r++)
        if (r != packed >> 16) apply(s, r, request, packed >> 4 & 0xfff, (enum told)(packed & 0xf));
}

static void happens(struct scored *s, unsigned router, uint32_t request, uint32_t worker,
                    enum told what) {
    apply(s, router, request, worker, what);
    if (s->world.routers > 1)
        fleet_later(s->world.fleet, s->world.sync, hear, s, request,
                    router << 16 | worker << 4 | (uint32_t)what);
}

// ---- Choosing ------------------------------------------------------------------------------------

// All eligible engines but `avoid`. NULL: none.
static const struct kvr_score *scores(struct scored *s, unsigned router, uint32_t request,
                                      uint32_t avoid, size_t *n) {
    const struct request *q = &s->world.load->requests[request];
    const struct kvr_score *out;
    char room[CORE_NAME];
    struct kvr_bytes not_this = core_name(avoid, room);
    struct kvr_query query = {
        .hashes = request_hashes(s->world.load, request),
        .n = q->blocks,
        .isl = q->isl,
        .rule = s->world.rule,
        .exclude = &not_this,
        .n_exclude = avoid != NOBODY,
    };
    if (kvr_scores(s->core[router].pool, core_ms(*s->world.now), &query, &out, n) || !*n)
        return NULL;
    return out;
}

static uint32_t worker_of(const struct kvr_score *x) {
    return core_number(x->worker.p, x->worker.n);
}

static uint32_t take(struct scored *s, unsigned router, uint32_t request, uint32_t worker,
                     int64_t cached) {
    s->cached[request] = (uint32_t)cached;
    happens(s, router, request, worker, TOLD_CHOSEN);
    return worker;
}

// Tokens that the engine holds, leaving aside what it computes for others.
static int64_t held(const struct scored *s, const struct kvr_score *x, uint32_t request) {
    int64_t tokens = (int64_t)x->overlap * s->world.load->block_size;
    int64_t isl = s->world.load->requests[request].isl;
    return tokens < isl ? tokens : isl;
}

static double dynamo_cost(const struct kvr_score *x, int64_t own) {
    (void)own;
    return x->cost;
}

static double lmetric_cost(const struct kvr_score *x, int64_t own) {
    return ((double)(own > 1 ? own : 1) + (double)x->prefill_tokens) * ((double)x->requests + 1);
}

// The least cost, by chance among equals.
static uint32_t choose_least(struct scored *s, unsigned router, uint32_t request, uint32_t avoid,
                             double (*cost)(const struct kvr_score *, int64_t own)) {
    int64_t isl = s->world.load->requests[request].isl;
    double least = 0;
    size_t n, best = 0, equals = 0;
    const struct kvr_score *x = scores(s, router, request, avoid, &n);
    if (!x) return NOBODY;
    for (size_t i = 0; i < n; i++) {
        double c = cost(&x[i], isl - held(s, &x[i], request));
        if (equals && c > least) continue;
        equals = equals && c == least ? equals + 1 : 1;
        least = c;
        if (equals == 1 || random_next(&s->rng[router]) % equals == 0) best = i;
    }
    return take(s, router, request, worker_of(&x[best]), held(s, &x[best], request));
}

static uint32_t choose_dynamo(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    return choose_least(self, router, request, avoid, dynamo_cost);
}

static uint32_t choose_lmetric(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    return choose_least(self, router, request, avoid, lmetric_cost);
}

static uint32_t choose_fixed(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    struct scored *s = self;
    const struct request *q = &s->world.load->requests[request];
    size_t n, best = 0;
    double least = 0;
    const struct kvr_score *x = scores(s, router, request, avoid, &n);
    if (!x) return NOBODY;
    for (size_t i = 0; i < n; i++) {
        double cost = fixed_cost(s->world.fixed, (double)x[i].prefill_tokens,
                                 q->isl - (double)x[i].cached, (double)x[i].requests);
        bool better =
            !i || cost < least ||
            (cost == least && s->booked[worker_of(&x[i])] < s->booked[worker_of(&x[best])]);
        if (!better) continue;
        least = cost;
        best = i;
    }
    uint32_t worker = worker_of(&x[best]);
    s->booked[worker] = ++s->turn;
    return take(s, router, request, worker, x[best].cached);
}

// ---- The rest ------------------------------------------------------------------------------------

static void on_news(void *self, unsigned router, uint32_t request, uint32_t worker,
                    enum news what) {
    happens(self, router, request, worker, what == PREFILLED ? TOLD_PREFILLED : TOLD_ENDED);
}

static void on_changed(void *self, const struct change *x) {
    struct scored *s = self;
    for (unsigned r = 0; r < s->world.routers; r++)
        core_changed(&s->core[r], &s->world, x);
}

static void on_worker(void *self, uint32_t worker, bool there) {
    struct scored *s = self;
    for (unsigned r = 0; r < s->world.routers; r++)
        core_worker(&s->core[r], &s->world, worker, there);
}

static void on_lost(void *self, unsigned router) {
    struct scored *s = self;
    core_close(&s->core[router]);
    core_open(&s->core[router], &s->world, 0);
}

static void close_scored(void *self) {
    struct scored *s = self;
    for (unsigned r = 0; r < s->world.routers; r++)
        core_close(&s->core[r]);
    free(s->cached);
    free(s);
}

const struct router router_dynamo = {
    .name = "dynamo",
    .what = "Dynamo: the linear rule, all caches, decisions of others a little late",
    .cached = true,
    .open = open_scored,
    .choose = choose_dynamo,
    .news = on_news,
    .changed = on_changed,
    .worker = on_worker,
    .lost = on_lost,
    .close = close_scored,
};
const struct router router_lmetric = {
    .name = "lmetric",
    .what = "LMetric: tokens to compute first, times requests",
    .cached = true,
    .open = open_scored,
    .choose = choose_lmetric,
    .news = on_news,
    .changed = on_changed,
    .worker = on_worker,
    .lost = on_lost,
    .close = close_scored,
};
const struct router router_fixed = {
    .name = "fixed",
    .what = "a delay rule with constants that are given",
    .cached = true,
    .open = open_scored,
    .choose = choose_fixed,
    .news = on_news,
    .changed = on_changed,
    .worker = on_worker,
    .lost = on_lost,
    .close = close_scored,
};
