// SPDX-License-Identifier: Apache-2.0
// Stateful routers: each has a pool of its own in its own process, which it asks and books in as the
// module does. Four kinds, by what reaches the other routers:
//
//   own      nothing. A router knows its own decisions alone; what they put into caches it guesses
//            (PREDICT), since no engine tells it.
//   events   every router hears what engines cache, and knows the loads of its own requests only.
//   both     events and guesses: what was sent to an engine counts as held before it says so.
//   sync     events, and each decision and its end reach the other routers some time later.
#include "bench/common/bench_memory.h"
#include "client/common/random.h"
#include "private_pools.h"
#include "routers.h"

enum { OWN_PREDICT = 600000 }; // ms: longer than blocks stay, the engine's capacity bounds it

static void *open_pools(const struct sim_world *w, int64_t predict, bool shares) {
    struct sim_pools *p = bench_calloc(1, sizeof *p);
    sim_pools_open(p, w, &w->plan->rule, predict, shares);
    return p;
}

static void *open_own(const struct sim_world *w) {
    return open_pools(w, OWN_PREDICT, false);
}

static void *open_events(const struct sim_world *w) {
    return open_pools(w, 0, false);
}

static void *open_sync(const struct sim_world *w) {
    return open_pools(w, 0, true);
}

static uint32_t choose(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    struct sim_pools *p = self;
    struct kvr_pool *pool = p->router[router].pool;
    int64_t now = sim_epoch_ms(*p->world.now);
    while (kvr_due_prediction(pool, now))
        kvr_forget(pool, now, 1000);
    struct sim_query q;
    struct kvr_pool_choice choice;
    struct kvr_booking booked;
    sim_pools_query(p, request, avoid, &q);
    double draw = p->rule.temperature > 0 ? kvr_random_unit(&p->router[router].rng) : 0;
    if (kvr_select(pool, now, sim_request_id(&request), &q.query, 0, draw, &choice, &booked))
        return SIM_NOBODY;
    uint32_t worker = sim_worker_number(choice.score.worker.p, choice.score.worker.n);
    sim_fleet_predicted(p->world.fleet, request, choice.score.ttft);
    sim_pools_chosen(p, router, request, worker, choice.score.cached);
    return worker;
}

const struct sim_router sim_core_routers[] = {
    {"own", "state of its own: its decisions", open_own, choose, &sim_pools_events, .scores = true},
    {"events", "state of its own: its decisions, and all caches", open_events, choose,
     &sim_pools_events, .cached = true, .scores = true},
    {"both", "state of its own: its decisions and what they will cache, and all caches", open_own,
     choose, &sim_pools_events, .cached = true, .scores = true},
    {"sync", "state of its own: all caches, all decisions, those of others late", open_sync, choose,
     &sim_pools_events, .cached = true, .scores = true},
};
