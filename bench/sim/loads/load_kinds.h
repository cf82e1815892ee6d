// SPDX-License-Identifier: Apache-2.0
// The kinds of generated loads.
#ifndef SIM_LOAD_KINDS_H
#define SIM_LOAD_KINDS_H

#include "bench/common/bench_workload.h"

struct sim_load_plan {
    unsigned block_size; // tokens
    size_t requests;
    double rate; // requests a second, all together
    uint64_t seed;
};

void sim_load_chat(struct bench_workload *w, const struct sim_load_plan *plan);
void sim_load_agents(struct bench_workload *w, const struct sim_load_plan *plan);
void sim_load_bursts(struct bench_workload *w, const struct sim_load_plan *plan);
void sim_load_alone(struct bench_workload *w, const struct sim_load_plan *plan);
void sim_load_hot(struct bench_workload *w, const struct sim_load_plan *plan);
void sim_load_sessions(struct bench_workload *w, const struct sim_load_plan *plan); // closed

#endif
