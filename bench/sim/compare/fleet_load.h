// SPDX-License-Identifier: Apache-2.0
// The load that was asked for, and a run on it. A generated load is made anew at another rate, and users in another
// number; a trace alone is the same, faster, and for every seed.
#ifndef SIM_FLEET_LOAD_H
#define SIM_FLEET_LOAD_H

#include "sim_options.h"

// Whether every seed has the same load.
bool sim_load_same(const struct sim_options *o);
// Requests a second of a generated load.
double sim_load_rate(const struct sim_options *o);
// Makes *w anew, `factor` times as much of it as was asked for. Ends the program if that can't be.
void sim_load_open(struct bench_workload *w, const struct sim_options *o, double factor,
                   uint64_t seed);
// By what a run on it divides times.
double sim_load_speed(const struct sim_options *o, double factor);
// Seconds from its first arrival to the last.
double sim_load_seconds(const struct sim_options *o, const struct bench_workload *w, double factor);
// What of a run follows from the load: when it is measured, and how fast it goes.
void sim_load_plan_run(struct sim_plan *plan, const struct sim_options *o,
                       const struct bench_workload *w, double factor);

#endif
