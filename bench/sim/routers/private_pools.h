// SPDX-License-Identifier: Apache-2.0
// Routers that have the module's core in their own process: a pool without Redis, with the fleet's engines in
// it; one each, or one for all of them. What all kinds of them have in common: who hears what, and when.
//
// A kind's state begins with a struct sim_pools, so sim_pools_events serve it as they are.
#ifndef SIM_PRIVATE_POOLS_H
#define SIM_PRIVATE_POOLS_H

#include "bench/sim/fleet/fleet_run.h"
#include "client/common/random.h"
#include "pool_names.h"

struct sim_pools {
    struct sim_world world;
    struct kvr_rule rule;
    struct sim_router_pool {
        struct kvr_pool *pool;
        uint64_t seq[SIM_MAX_WORKERS];
        uint64_t rng;
        size_t waiting; // requests
        bool ticking;   // a look at those is planned
    } router[SIM_MAX_ROUTERS];
    uint32_t *cached; // tokens, by request, as its router thought
    uint8_t *waits;   // by request: 1 + the pool in which it does
    int64_t predict;  // ms for which a booked request's blocks count as held, 0: off
    bool shares;      // the others hear of a decision, and how it goes on, plan.sync later
    bool one;         // all have the first's pool
    bool one_by_one;  // roles are the kind's business: to the pool all engines are alike
};

extern const struct sim_router_events sim_pools_events;

// Ends the program if it can't.
void sim_pools_open(struct sim_pools *p, const struct sim_world *w, const struct kvr_rule *rule,
                    int64_t predict, bool shares, bool one);
// A query for a request. avoid: an engine that isn't asked for, or SIM_NOBODY; its name goes to room.
struct sim_query {
    struct kvr_query query;
    struct kvr_bytes not_this;
    char name[SIM_WORKER_NAME], session[SIM_SESSION_NAME], flow[SIM_FLOW_NAME];
};
void sim_pools_query(const struct sim_pools *p, uint32_t request, uint32_t avoid,
                     struct sim_query *out);
// The engine for a request; SIM_LATER: it waits, or will come back. avoid as in sim_pools_query.
uint32_t sim_pools_select(struct sim_pools *p, unsigned router, uint32_t request, uint32_t avoid);
// The router books a choice that was made otherwise than by its pool.
void sim_pools_book(struct sim_pools *p, unsigned router, uint32_t request, uint32_t worker);
// It tells the others of a choice that it has booked. cached: tokens that the engine need not compute.
void sim_pools_chosen(struct sim_pools *p, unsigned router, uint32_t request, uint32_t worker,
                      int64_t cached);

// Another engine computes the request's prompt; an empty name: none does.
static inline void sim_pools_paired(const struct sim_pools *p, uint32_t request,
                                    struct kvr_bytes prefill) {
    if (prefill.n) sim_fleet_pair(p->world.fleet, request, sim_worker_number(prefill.p, prefill.n));
}

// How many pools there are, and which is the router's.
unsigned sim_pools_count(const struct sim_pools *p);
unsigned sim_pools_of(const struct sim_pools *p, unsigned router);
// What a choice is drawn with; 0 where nothing is drawn.
static inline double sim_pools_draw(const struct sim_pools *p, struct sim_router_pool *r) {
    return p->rule.temperature > 0 ? kvr_random_unit(&r->rng) : 0;
}

#endif
