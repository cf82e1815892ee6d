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
//   fixed     a delay rule whose constants are given (--fixed) or searched (--search); see fixed_rule.h
#include "bench/common/bench_memory.h"
#include "client/common/random.h"
#include "fixed_rule.h"
#include "private_pools.h"
#include "routers.h"

struct scored_routers {
    struct sim_pools pools;
    uint64_t turn, booked[SIM_MAX_WORKERS]; // of fixed: when it last was chosen
};

static void *open_scored(const struct sim_world *w) {
    struct scored_routers *s = bench_calloc(1, sizeof *s);
    struct kvr_rule linear = {.policy = kvr_policy_find("linear", 6), .overlap = 1, .prefill = 1};
    sim_pools_open(&s->pools, w, &linear, 0, true, false);
    return s;
}

static const struct kvr_pool_score *scores(struct scored_routers *s, unsigned router,
                                           uint32_t request, uint32_t avoid, size_t *n) {
    const struct kvr_pool_score *out;
    struct sim_query q;
    sim_pools_query(&s->pools, request, avoid, &q);
    q.query.session.n = 0; // these rules don't know sessions
    if (kvr_scores(s->pools.router[router].pool, sim_epoch_ms(*s->pools.world.now), &q.query, &out,
                   n) ||
        !*n)
        return NULL;
    return out;
}

static uint32_t worker_of(const struct kvr_pool_score *x) {
    return sim_worker_number(x->worker.p, x->worker.n);
}

static uint32_t take(struct scored_routers *s, unsigned router, uint32_t request,
                     const struct kvr_pool_score *x, int64_t cached) {
    uint32_t worker = worker_of(x);
    sim_fleet_predicted(s->pools.world.fleet, request, x->ttft);
    sim_pools_chosen(&s->pools, router, request, worker, cached);
    sim_pools_book(&s->pools, router, request, worker);
    return worker;
}

// Tokens that the engine holds, leaving aside what it computes for others.
static int64_t held(const struct scored_routers *s, const struct kvr_pool_score *x,
                    uint32_t request) {
    int64_t tokens = (int64_t)x->overlap * s->pools.world.load->block_size;
    int64_t isl = s->pools.world.load->requests[request].isl;
    return tokens < isl ? tokens : isl;
}

static double dynamo_cost(const struct kvr_pool_score *x, int64_t own) {
    (void)own;
    return x->cost;
}

static double lmetric_cost(const struct kvr_pool_score *x, int64_t own) {
    return ((double)(own > 1 ? own : 1) + (double)x->prefill_tokens) * ((double)x->requests + 1);
}

// The least cost, by chance among equals.
static uint32_t choose_least(struct scored_routers *s, unsigned router, uint32_t request,
                             uint32_t avoid,
                             double (*cost)(const struct kvr_pool_score *, int64_t own)) {
    int64_t isl = s->pools.world.load->requests[request].isl;
    double least = 0;
    size_t n, best = 0, equals = 0;
    const struct kvr_pool_score *x = scores(s, router, request, avoid, &n);
    if (!x) return SIM_NOBODY;
    for (size_t i = 0; i < n; i++) {
        double c = cost(&x[i], isl - held(s, &x[i], request));
        if (equals && c > least) continue;
        equals = equals && c == least ? equals + 1 : 1;
        least = c;
        if (equals == 1 || kvr_random(&s->pools.router[router].rng) % equals == 0) best = i;
    }
    return take(s, router, request, &x[best], held(s, &x[best], request));
}

static uint32_t choose_dynamo(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    return choose_least(self, router, request, avoid, dynamo_cost);
}

static uint32_t choose_lmetric(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    return choose_least(self, router, request, avoid, lmetric_cost);
}

static uint32_t choose_fixed(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    struct scored_routers *s = self;
    const struct bench_request *q = &s->pools.world.load->requests[request];
    size_t n, best = 0;
    const struct sim_fixed *fixed =
        s->pools.world.plan->fixed ? s->pools.world.plan->fixed : &sim_fixed_default;
    double least = 0;
    const struct kvr_pool_score *x = scores(s, router, request, avoid, &n);
    if (!x) return SIM_NOBODY;
    for (size_t i = 0; i < n; i++) {
        double cost = sim_fixed_cost(fixed, (double)x[i].prefill_tokens,
                                     q->isl - (double)x[i].cached, (double)x[i].requests);
        bool better =
            !i || cost < least ||
            (cost == least && s->booked[worker_of(&x[i])] < s->booked[worker_of(&x[best])]);
        if (!better) continue;
        least = cost;
        best = i;
    }
    s->booked[worker_of(&x[best])] = ++s->turn;
    return take(s, router, request, &x[best], x[best].cached);
}

const struct sim_router sim_scored_routers[] = {
    {"dynamo", "Dynamo: the linear rule, all caches, decisions of others a little late",
     open_scored, choose_dynamo, &sim_pools_events, .cached = true},
    {"lmetric", "LMetric: tokens to compute first, times requests", open_scored, choose_lmetric,
     &sim_pools_events, .cached = true},
    {"fixed", "a delay rule with constants that are given", open_scored, choose_fixed,
     &sim_pools_events, .cached = true},
};
