// SPDX-License-Identifier: Apache-2.0
// What every router knows without asking: how many requests of its own each engine has.
//
// The state of a kind that keeps this begins with a struct sim_local, so sim_local_news and sim_local_lost
// serve as its functions as they are.
#ifndef SIM_OPEN_REQUESTS_H
#define SIM_OPEN_REQUESTS_H

#include "bench/sim/fleet/fleet_run.h"

struct sim_local {
    struct sim_world world;
    struct sim_local_router {
        uint64_t rng;
        uint32_t turn; // the engine whose turn it is
        uint32_t open[SIM_MAX_WORKERS], total;
    } router[SIM_MAX_ROUTERS];
};

void sim_local_open(struct sim_local *l, const struct sim_world *w);
// Whether the engine can be chosen for a request, or for its prompt where another puts out the answer. avoid is an
// engine that refused, or SIM_NOBODY.
bool sim_local_may(const struct sim_local *l, uint32_t worker, uint32_t avoid);
bool sim_local_may_prefill(const struct sim_local *l, uint32_t worker, uint32_t avoid);
// The next engine in turn; SIM_NOBODY if there is none.
uint32_t sim_local_turn(struct sim_local *l, unsigned router, uint32_t avoid);
uint32_t sim_local_random(struct sim_local *l, unsigned router, uint32_t avoid);
// The one with the fewest requests of this router; of equals the next in turn.
uint32_t sim_local_least(struct sim_local *l, unsigned router, uint32_t avoid);
// Counts a choice; returns it.
uint32_t sim_local_take(struct sim_local *l, unsigned router, uint32_t worker);
void sim_local_news(void *self, unsigned router, uint32_t request, uint32_t worker,
                    enum sim_news what);
void sim_local_lost(void *self, unsigned router);

#endif
