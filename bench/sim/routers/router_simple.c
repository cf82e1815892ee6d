// SPDX-License-Identifier: Apache-2.0
// Routers that know nothing of caches: in turn, by chance, the better of two, the least busy. Each of
// the R routers counts its own requests only.
#include <stdlib.h>

#include "bench/common/bench_memory.h"
#include "open_requests.h"
#include "routers.h"

static void *open_local(const struct sim_world *w) {
    struct sim_local *l = bench_calloc(1, sizeof *l);
    sim_local_open(l, w);
    return l;
}

static uint32_t in_turn(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    (void)request;
    return sim_local_take(self, router, sim_local_turn(self, router, avoid));
}

static uint32_t by_chance(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    (void)request;
    return sim_local_take(self, router, sim_local_random(self, router, avoid));
}

static uint32_t better_of_two(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    (void)request;
    struct sim_local *l = self;
    uint32_t a = sim_local_random(l, router, avoid), b = sim_local_random(l, router, avoid);
    const uint32_t *open = l->router[router].open;
    return sim_local_take(l, router, a == SIM_NOBODY || open[a] <= open[b] ? a : b);
}

static uint32_t least_busy(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    (void)request;
    return sim_local_take(self, router, sim_local_least(self, router, avoid));
}

static const struct sim_router_events events = {
    .news = sim_local_news, .lost = sim_local_lost, .close = free};
const struct sim_router sim_simple_routers[] = {
    {"round-robin", "in turn", open_local, in_turn, &events, .cached = false},
    {"random", "by chance", open_local, by_chance, &events, .cached = false},
    {"two-choices", "of two by chance the one with fewer requests", open_local, better_of_two,
     &events, .cached = false},
    {"least", "the one with the fewest requests", open_local, least_busy, &events, .cached = false},
};
