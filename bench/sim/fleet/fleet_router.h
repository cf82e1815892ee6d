// SPDX-License-Identifier: Apache-2.0
// What a kind of router is: R routers that choose an engine for each request, by what they know.
//
// The fleet calls these in the order of virtual time, each at the time when the routers would learn of
// it. So two routers that choose before either has heard of the other's choice don't know of it, here as
// in life. A kind keeps what its routers know in `self`, for all of them.
#ifndef SIM_FLEET_ROUTER_H
#define SIM_FLEET_ROUTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/sim/engine/sim_engine.h"
#include "sim_plan.h"

#define SIM_NOBODY UINT32_MAX
// choose: it waits, or was refused; sim_fleet_give or sim_fleet_refuse says what becomes of it.
#define SIM_LATER (UINT32_MAX - 1)

struct sim_fleet;

// What an engine published: what moved in its second tier, then blocks that the device has no more, then
// blocks that it has now.
struct sim_change {
    struct sim_fleet *fleet;
    uint32_t worker;
    uint64_t number; // 1, 2, 3 … for each worker
    size_t n_removed, n_stored;
    uint64_t *removed;
    struct sim_stored *stored; // in the load's hashes
    // In the second tier, in order, while all blocks were still where they were.
    size_t n_moved;
    struct sim_moved *moved;
};

// Prefilled: the first token is out; where two engines serve the request, its prompt is computed. Failed: the
// engine is gone, or was then.
enum sim_news { SIM_PREFILLED, SIM_DONE, SIM_FAILED };

// What a kind of router is given, for the run.
struct sim_world {
    const struct sim_plan *plan;
    const struct bench_workload *load; // as routers see it
    unsigned workers;                  // with those that join
    const size_t *capacity;            // blocks, by worker; 0: routers don't know
    const bool *there;                 // by worker: as far as routers know
    const enum kvr_role *role;         // by worker; all are KVR_ROLE_BOTH unless plan.pairs
    const double *now;                 // seconds
    struct sim_fleet *fleet;
};

// What the routers of a kind hear. Those marked so may be NULL.
struct sim_router_events {
    void (*news)(void *self, unsigned router, uint32_t request, uint32_t worker,
                 enum sim_news what);                        // NULL
    void (*changed)(void *self, const struct sim_change *c); // NULL unless the kind is `cached`
    void (*worker)(void *self, uint32_t worker, bool there); // routers have noticed. NULL
    void (*lost)(void *self, unsigned router);               // all that it knew. NULL
    void (*server)(void *self, bool up, bool lost);          // the shared pool's server. NULL
    void (*close)(void *self);
};

struct sim_router {
    const char *name, *what;
    void *(*open)(const struct sim_world *w); // ends the program if it can't
    // The engine for a request, or SIM_LATER. avoid: one that has just refused it, or SIM_NOBODY.
    uint32_t (*choose)(void *self, unsigned router, uint32_t request, uint32_t avoid);
    const struct sim_router_events *on;
    bool remote; // the decision is made elsewhere: it takes a hop there and one back
    bool cached; // wants to know what engines cache
    bool scores; // by a policy
    bool waits;  // knows sim_plan.admission
    bool pairs;  // and sim_plan.pairs
};

#endif
