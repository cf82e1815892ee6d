// SPDX-License-Identifier: Apache-2.0
// A router's own requests; see open_requests.h.
#include "open_requests.h"

#include <string.h>

#include "client/common/random.h"

void sim_local_open(struct sim_local *l, const struct sim_world *w) {
    l->world = *w;
    for (unsigned r = 0; r < w->plan->routers; r++) {
        l->router[r].rng = kvr_random_mix(w->plan->seed * SIM_MAX_ROUTERS + r);
        l->router[r].turn = (uint32_t)(kvr_random(&l->router[r].rng) % w->workers);
    }
}

bool sim_local_may(const struct sim_local *l, uint32_t worker, uint32_t avoid) {
    return l->world.there[worker] && worker != avoid && l->world.role[worker] != KVR_ROLE_PREFILL;
}

bool sim_local_may_prefill(const struct sim_local *l, uint32_t worker, uint32_t avoid) {
    return l->world.there[worker] && worker != avoid && l->world.role[worker] != KVR_ROLE_DECODE;
}

uint32_t sim_local_turn(struct sim_local *l, unsigned router, uint32_t avoid) {
    struct sim_local_router *r = &l->router[router];
    for (unsigned i = 0; i < l->world.workers; i++) {
        uint32_t w = r->turn;
        r->turn = (w + 1) % l->world.workers;
        if (sim_local_may(l, w, avoid)) return w;
    }
    return SIM_NOBODY;
}

uint32_t sim_local_random(struct sim_local *l, unsigned router, uint32_t avoid) {
    unsigned may = 0;
    for (uint32_t w = 0; w < l->world.workers; w++)
        may += sim_local_may(l, w, avoid);
    if (!may) return SIM_NOBODY;
    uint64_t left = kvr_random(&l->router[router].rng) % may;
    for (uint32_t w = 0;; w++)
        if (sim_local_may(l, w, avoid) && left-- == 0) return w;
}

uint32_t sim_local_least(struct sim_local *l, unsigned router, uint32_t avoid) {
    struct sim_local_router *r = &l->router[router];
    uint32_t best = SIM_NOBODY;
    for (unsigned i = 0; i < l->world.workers; i++) {
        uint32_t w = (r->turn + i) % l->world.workers;
        if (sim_local_may(l, w, avoid) && (best == SIM_NOBODY || r->open[w] < r->open[best]))
            best = w;
    }
    if (best != SIM_NOBODY) r->turn = (best + 1) % l->world.workers;
    return best;
}

uint32_t sim_local_take(struct sim_local *l, unsigned router, uint32_t worker) {
    if (worker == SIM_NOBODY) return worker;
    l->router[router].open[worker]++;
    l->router[router].total++;
    return worker;
}

void sim_local_news(void *self, unsigned router, uint32_t request, uint32_t worker,
                    enum sim_news what) {
    struct sim_local *l = self;
    (void)request;
    if (what == SIM_PREFILLED) return;
    l->router[router].open[worker]--;
    l->router[router].total--;
}

void sim_local_lost(void *self, unsigned router) {
    struct sim_local *l = self;
    struct sim_local_router *r = &l->router[router];
    memset(r->open, 0, sizeof r->open);
    r->total = 0;
}
