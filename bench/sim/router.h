// SPDX-License-Identifier: Apache-2.0
// What a kind of router is: R routers that choose an engine for each request, by what they know.
//
// The fleet calls these in the order of virtual time, each at the time when the routers would learn of
// it. So two routers that choose before either has heard of the other's choice don't know of it, here as
// in life. A kind keeps what its routers know in `self`, for all of them.
#ifndef FLEET_ROUTER_H
#define FLEET_ROUTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine.h"
#include "module/core/pool.h"
#include "module/core/rule/policy.h"
#include "search.h"

enum { MAX_WORKERS = 256, MAX_ROUTERS = 64 };
#define NOBODY UINT32_MAX

// What an engine published: what moved in its second tier, then blocks that the device has no more, then
// blocks that it has now.
struct change {
    uint32_t worker;
    uint64_t number; // 1, 2, 3 … for each worker
    size_t n_removed, n_stored;
    uint64_t *removed;
    struct stored *stored; // in the load's hashes
    // In the second tier, in order, while all blocks were still where they were.
    size_t n_moved;
    struct moved *moved;
};

enum news { PREFILLED, DONE, FAILED }; // FAILED: the engine is gone, or was when the request came

struct fleet;
struct shared; // the server that the shared pool lives in

// What a kind of router is given, for the run.
struct world {
    const struct workload *load;
    const struct model *model; // of the first
    unsigned workers, routers;
    size_t blocks;          // of the first engine
    const size_t *capacity; // blocks, by worker
    const bool *there;      // by worker: as far as routers know
    const double *now;      // seconds
    uint64_t seed;
    struct kvr_rule rule; // for those that score
    bool named;           // requests name their session, to those that can be told
    const char *words;    // the rule, as options of KVROUTE.CREATE
    double sync;          // seconds until a decision is known to the other routers
    double age;           // seconds between two readings of the engines' metrics
    unsigned affinity;    // tokens of a prompt that say where it belongs; 0: its session does
    const struct fixed *fixed;
    struct shared *shared;
    struct fleet *fleet;
};

struct router {
    const char *name, *what;
    bool remote; // the decision is made elsewhere: it takes a hop there and one back
    bool cached; // wants to know what engines cache
    bool scores; // by a policy
    void *(*open)(const struct world *w); // ends the program if it can't
    // The engine for a request. avoid: one that has just refused it, or NOBODY.
    uint32_t (*choose)(void *self, unsigned router, uint32_t request, uint32_t avoid);
    void (*news)(void *self, unsigned router, uint32_t request, uint32_t worker, enum news what);
    void (*changed)(void *self, const struct change *c);
    void (*worker)(void *self, uint32_t worker, bool there); // routers have noticed. May be NULL
    void (*lost)(void *self, unsigned router);               // all that it knew. May be NULL
    void (*server)(void *self, bool up, bool lost); // the shared pool's server. May be NULL
    void (*close)(void *self);
};

extern const struct router *const routers[];
extern const size_t router_count;
const struct router *router_find(const char *name, size_t len); // NULL: none of that name

// ---- For kinds that need more --------------------------------------------------------------------
// Calls f(self, a, b) after so many virtual seconds.
void fleet_later(struct fleet *f, double seconds, void (*call)(void *self, uint32_t a, uint32_t b),
                 void *self, uint32_t a, uint32_t b);
// What a router predicts as it chooses for a request: ms until its first token; below 0: it can't.
void fleet_predicted(struct fleet *f, uint32_t request, double ms);
struct engine_load fleet_load(const struct fleet *f, uint32_t worker);
// What the worker's engine has in its cache now; changes up to *number are in it.
const struct kv *fleet_kv(const struct fleet *f, uint32_t worker, uint64_t *number);
const struct host *fleet_host(const struct fleet *f, uint32_t worker); // NULL: no second tier

#endif
