// SPDX-License-Identifier: Apache-2.0
// What one run is to be: its load, engines, routers, and what goes wrong meanwhile.
#ifndef SIM_PLAN_H
#define SIM_PLAN_H

#include "bench/common/bench_workload.h"
#include "bench/sim/engine/engine_model.h"
#include "module/core/pool.h"
#include "module/core/rule/policy.h"
#include "sim_admission.h"

enum { SIM_MAX_WORKERS = 256, SIM_MAX_ROUTERS = 64 };

enum sim_incident_kind { SIM_ROUTER_DIES, SIM_WORKER_DIES, SIM_WORKERS_JOIN, SIM_SERVER_DIES };

struct sim_incident {
    enum sim_incident_kind kind;
    double at, lasts; // seconds from the first arrival; until it is back
    uint32_t which;   // router, worker; how many join
    bool lost;        // what it knew
};

// One of a fleet's engines.
struct sim_engine_plan {
    struct sim_model model;
    double speed;
    size_t blocks;      // of KV cache
    enum kvr_role role; // where fleets have any
};

// What is between engines, where one computes prompts and another puts out answers; see transfers.h.
struct sim_network {
    double rate;  // bytes a second of a port
    double fixed; // seconds, of each transfer
    double
        lease; // seconds that a computed prompt is kept for an engine that hasn't begun to receive it
    unsigned racks; // engine w is in rack w modulo this; 0: there is one
    double across;  // times the rate, between racks
};

struct sim_router;
struct sim_server; // the server that the shared pool lives in
struct sim_fixed;

struct sim_plan {
    const struct sim_router *kind;
    const struct bench_workload *load;
    // The same requests as routers see them that have no tokens, for kinds that don't hear what engines
    // cache; NULL: as they are.
    const struct bench_workload *seen;
    double speed; // the load's times are divided by it
    double from,
        until; // seconds from the first arrival: who arrives from when on is measured, and when
               // nobody arrives any more (0: never)
    size_t max_measured; // 0: no limit
    const struct sim_model *model;
    size_t blocks;       // of KV cache in an engine
    bool unknown_blocks; // routers don't know how many these are
    uint64_t host;       // blocks of each engine's second tier; 0: none
    // Engines that aren't all like model and blocks, in turn; those that join, too. n_engines 0: all are.
    const struct sim_engine_plan *engines;
    size_t n_engines;
    // Engines have roles: requests may be served by two. local_prefill: of a prompt, tokens that the engine which puts
    // out the answer lacks at most to compute them itself; transfer: what it costs routers that weigh it to move
    // a token, in tokens of prefill.
    bool pairs;
    struct sim_network network;
    uint64_t local_prefill;
    double transfer;
    unsigned workers, routers; // at the start
    double hop, delay,
        notice;        // seconds; delay: until a block that was cached or evicted is known; notice:
                       // until a dead worker is known to be
    double sync;       // seconds until a decision is known to the other routers
    double age;        // seconds between two readings of the engines' metrics
    uint64_t affinity; // tokens of a prompt that say where it belongs; 0: its session does
    const struct sim_fixed *fixed; // constants of the kind `fixed`
    bool together; // a session's requests come to one router; else each comes to any
    // Each class of requests has an order of the routers that begins elsewhere; the k-th gets a share of them
    // like k^-skew. 0: all are alike.
    double skew;
    struct sim_admission admission;
    uint64_t seed;
    struct kvr_rule rule; // for kinds that score
    const char *words;    // its weights, as options of KVROUTE.CREATE
    bool named;           // requests name their session, to those that can use it
    const struct sim_incident *incidents;
    size_t n_incidents;
    struct sim_server *server;
    const char *log;   // where the shared pool's decisions are copied at the end; NULL: nowhere
    const char *title; // for the progress line
};

#endif
