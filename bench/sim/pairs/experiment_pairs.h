// SPDX-License-Identifier: Apache-2.0
// Prompts here, answers there: what it gains and loses. On the trace or the load that is named, or on all generated
// loads. docs/disaggregation.md has the figures.
//
//   pairs   routers that choose both engines in one decision beside those that choose one after the other
//   roles   fleets with so many engines for prompts and so many for answers beside one in which all do both
#ifndef SIM_EXPERIMENT_PAIRS_H
#define SIM_EXPERIMENT_PAIRS_H

#include "bench/sim/compare/sim_options.h"

// False: a run failed.
bool sim_experiment_pairs(const struct sim_options *o, struct sim_server *server);
bool sim_experiment_roles(const struct sim_options *o, struct sim_server *server);

#endif
