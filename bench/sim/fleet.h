// SPDX-License-Identifier: Apache-2.0
// One run: a load, engines, routers of one kind, in virtual time.
//
//   arrival ─▶ router ──(hop)─▶ engine: waits, prompt, first token … last token
//                 ▲                │
//                 ├────(hop)───────┤ first token, last token
//                 └───(delay)──────┘ blocks stored and removed
//
// A router that must ask elsewhere has a hop there and one back before it knows, and its news take a hop
// more. Everything else is known at once.
#ifndef FLEET_FLEET_H
#define FLEET_FLEET_H

#include "router.h"
#include "stats.h"

enum incident_kind { ROUTER_DIES, WORKER_DIES, WORKERS_JOIN, SERVER_DIES };

struct incident {
    enum incident_kind kind;
    double at, lasts; // seconds from the first arrival; until it is back
    uint32_t which;   // router, worker; how many join
    bool lost;        // what it knew
};

// One of a fleet's engines.
struct engine_plan {
    struct model model;
    double speed;
    size_t blocks; // of KV cache
};

struct run_plan {
    const struct router *kind;
    const struct workload *load;
    // The same requests as routers see them that have no tokens, for kinds that don't hear what engines
    // cache; NULL: as they are.
    const struct workload *seen;
    double speed; // the load's times are divided by it
    double from,
        until;   // seconds from the first arrival: who arrives from when on is measured, and when
                 // nobody arrives any more (0: never)
    size_t most; // that are measured; 0: no limit
    const struct model *model;
    size_t blocks; // an engine's
    bool untold;   // routers don't know how many these are
    size_t host;   // blocks of each engine's second tier; 0: none
    // Engines that aren't all like model and blocks, in turn; those that join, too. n_engines 0: all are.
    const struct engine_plan *engines;
    size_t n_engines;
    unsigned workers, routers; // at the start
    double hop, delay, notice; // seconds; notice: until a dead worker is known to be
    double sync, age;
    unsigned affinity;
    const struct fixed *fixed; // NULL: fixed_default
    bool together;             // a session's requests come to one router; else each comes to any
    uint64_t seed;
    struct kvr_rule rule;
    bool named; // see world
    const char *words;
    const struct incident *incidents;
    size_t n_incidents;
    struct shared *shared;
    const char *title; // for the progress line
};

// Fills *out (stats_close it). False: a request was lost or something broke; a message was written.
bool fleet_run(const struct run_plan *plan, struct stats *out);

#endif
