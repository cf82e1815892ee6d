// SPDX-License-Identifier: Apache-2.0
// Routers that each have the module's core in their own process: a pool without Redis, with the fleet's
// engines in it. What all kinds of them have in common: who hears what, and when.
//
// A kind's state begins with a struct sim_pools, so sim_pools_events serve it as they are.
#ifndef SIM_ROUTER_POOLS_H
#define SIM_ROUTER_POOLS_H

#include "bench/sim/fleet/fleet_run.h"

struct sim_pools {
    struct sim_world world;
    struct kvr_rule rule;
    struct sim_router_pool {
        struct kvr_pool *pool;
        uint64_t seq[SIM_MAX_WORKERS];
        uint64_t rng;
    } router[SIM_MAX_ROUTERS];
    uint32_t *cached; // tokens, by request, as its router thought
    int64_t predict;  // ms for which a booked request's blocks count as held, 0: off
    bool shares;      // the others hear of a decision, and how it goes on, plan.sync later
};

extern const struct sim_router_events sim_pools_events;

// Ends the program if it can't.
void sim_pools_open(struct sim_pools *p, const struct sim_world *w, const struct kvr_rule *rule,
                    int64_t predict, bool shares);
// A query for a request. avoid: an engine that isn't asked for, or SIM_NOBODY; its name goes to room.
enum { SIM_WORKER_NAME = 8, SIM_SESSION_NAME = 12 };
struct sim_query {
    struct kvr_query query;
    struct kvr_bytes not_this;
    char name[SIM_WORKER_NAME], session[SIM_SESSION_NAME];
};
void sim_pools_query(const struct sim_pools *p, uint32_t request, uint32_t avoid,
                     struct sim_query *out);
// The router books a choice that was made otherwise than by its pool.
void sim_pools_book(struct sim_pools *p, unsigned router, uint32_t request, uint32_t worker);
// It tells the others of a choice that it has booked. cached: tokens that the engine need not compute.
void sim_pools_chosen(struct sim_pools *p, unsigned router, uint32_t request, uint32_t worker,
                      int64_t cached);

// Names of engines and ids of requests, as pools know them.
struct kvr_bytes sim_worker_name(uint32_t worker, char room[SIM_WORKER_NAME]);
uint32_t sim_worker_number(const char *name, size_t n); // SIM_NOBODY: no engine's name
struct kvr_bytes sim_request_id(const uint32_t *request);
// The session that the request names; empty: none, as where sessions aren't named.
struct kvr_bytes sim_session_name(const struct sim_world *w, uint32_t request,
                                  char room[SIM_SESSION_NAME]);
int64_t sim_epoch_ms(double seconds); // since the epoch, at so many seconds of the run

#endif
