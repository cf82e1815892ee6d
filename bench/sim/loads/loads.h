// SPDX-License-Identifier: Apache-2.0
// Loads made from a seed. Each is a kind of traffic in which routers are known to differ.
//
// In open ones requests arrive at times that don't depend on how fast earlier ones were answered, as in a
// recorded trace: so every router gets the same load. In the closed one each router has the same users.
#ifndef SIM_LOAD_H
#define SIM_LOAD_H

#include <stddef.h>
#include <stdint.h>

#include "bench/common/bench_workload.h"
#include "bench/sim/engine/engine_model.h"

struct sim_load_plan {
    unsigned block_size; // tokens
    size_t requests;
    double rate; // requests a second, all together
    uint64_t seed;
};

struct sim_load {
    const char *name, *what;
    // Requests a second for each engine, for the models in their order: near the point where one router
    // after the other can't keep up any more.
    double rate[SIM_MODELS];
    // Users for each engine, likewise; not 0: the load is closed, and has no rate.
    double users[SIM_MODELS];
    void (*make)(struct bench_workload *w, const struct sim_load_plan *plan);
};

extern const struct sim_load sim_loads[];
extern const size_t sim_load_count;

const struct sim_load *sim_load_find(const char *name); // NULL: none of that name
void sim_load_make(const struct sim_load *l, struct bench_workload *w,
                   const struct sim_load_plan *plan);

// How each kind is made.
void sim_load_chat(struct bench_workload *w, const struct sim_load_plan *plan);
void sim_load_agents(struct bench_workload *w, const struct sim_load_plan *plan);
void sim_load_bursts(struct bench_workload *w, const struct sim_load_plan *plan);
void sim_load_alone(struct bench_workload *w, const struct sim_load_plan *plan);
void sim_load_hot(struct bench_workload *w, const struct sim_load_plan *plan);
void sim_load_sessions(struct bench_workload *w, const struct sim_load_plan *plan); // closed

#endif
