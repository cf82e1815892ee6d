// SPDX-License-Identifier: Apache-2.0
// Routers that have the module's core in their process, and ask it and book in it as the module does. Four kinds have
// a pool each, and differ by what reaches the other routers:
//
//   own      nothing. A router knows its own decisions alone; what they put into caches it guesses
//            (PREDICT), since no engine tells it.
//   events   every router hears what engines cache, and knows the loads of its own requests only.
//   both     events and guesses: what was sent to an engine counts as held before it says so.
//   sync     events, and each decision and its end reach the other routers some time later.
//
// The fifth, `one`, has one pool for all of them, at the distance of a server: it decides as the shared pool does,
// to the bit, and takes a fraction of the time.
#include "bench/common/bench_memory.h"
#include "client/common/random.h"
#include "pool_admission.h"
#include "private_pools.h"
#include "routers.h"

enum { OWN_PREDICT = 600000 }; // ms: longer than blocks stay, the engine's capacity bounds it

static void *open_pools(const struct sim_world *w, int64_t predict, bool shares, bool one) {
    struct sim_pools *p = bench_calloc(1, sizeof *p);
    sim_pools_open(p, w, &w->plan->rule, predict, shares, one);
    return p;
}

static void *open_own(const struct sim_world *w) {
    return open_pools(w, OWN_PREDICT, false, false);
}

static void *open_events(const struct sim_world *w) {
    return open_pools(w, 0, false, false);
}

static void *open_sync(const struct sim_world *w) {
    return open_pools(w, 0, true, false);
}

static void *open_one(const struct sim_world *w) {
    return open_pools(w, 0, false, true);
}

static uint32_t choose(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    struct sim_pools *p = self;
    struct sim_router_pool *r = &p->router[sim_pools_of(p, router)];
    int64_t now = sim_epoch_ms(*p->world.now);
    while (kvr_due_prediction(r->pool, now))
        kvr_forget(r->pool, now, 1000);
    return sim_pools_select(p, router, request, avoid);
}

const struct sim_router sim_core_routers[] = {
    {"own", "state of its own: its decisions", open_own, choose, &sim_pools_events, .scores = true,
     .waits = true, .pairs = true},
    {"events", "state of its own: its decisions, and all caches", open_events, choose,
     &sim_pools_events, .cached = true, .scores = true, .waits = true, .pairs = true},
    {"both", "state of its own: its decisions and what they will cache, and all caches", open_own,
     choose, &sim_pools_events, .cached = true, .scores = true, .waits = true, .pairs = true},
    {"sync", "state of its own: all caches, all decisions, those of others late", open_sync, choose,
     &sim_pools_events, .cached = true, .scores = true, .waits = true},
    {"one", "one pool for all, without a server", open_one, choose, &sim_pools_events,
     .remote = true, .cached = true, .scores = true, .waits = true, .pairs = true},
};
