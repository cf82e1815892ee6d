// SPDX-License-Identifier: Apache-2.0
// What the experiments are made of: a run as the command line and an experiment's own wishes make it, and what the
// fleet can do.
#ifndef SIM_EXPERIMENT_PLAN_H
#define SIM_EXPERIMENT_PLAN_H

#include "bench/sim/compare/sim_options.h"

// What was asked for, or what an experiment takes when nothing was: the kind, its routers and the room.
struct sim_spec sim_experiment_spec(const struct sim_options *o, unsigned routers,
                                    uint64_t max_requests, uint64_t max_prefill);
// A run of that: measured are `seconds` after `warmup`. By default requests wait, and say how long their outputs are.
struct sim_plan sim_experiment_plan(const struct sim_options *o, struct sim_server *server,
                                    const struct sim_spec *spec, const struct bench_workload *load,
                                    double warmup, double seconds);
// Requests a second that the fleet ends when all of a load is there at once: what it can do. Below 0: it failed.
double sim_experiment_most(const struct sim_plan *plan);
// How long is measured: --duration, or so long.
double sim_experiment_seconds(const struct sim_options *o, double otherwise);
// Seconds a token takes at least.
double sim_experiment_pace(const struct sim_options *o);

#endif
