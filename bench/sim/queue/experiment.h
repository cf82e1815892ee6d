// SPDX-License-Identifier: Apache-2.0
// All experiments; here are those on one queue for all routers. Each makes its loads and prints a table of its own; the command line says
// what the fleet is and which room it has (--router one:8:room=48/4096). docs/simulator.md explains them.
#ifndef SIM_EXPERIMENT_H
#define SIM_EXPERIMENT_H

#include "bench/sim/compare/sim_options.h"

struct sim_experiment {
    const char *name;
    bool (*run)(const struct sim_options *o, struct sim_server *server); // false: a run failed
};

const struct sim_experiment *sim_experiment_find(const char *name); // NULL: none of that name

bool sim_experiment_batch(const struct sim_options *o, struct sim_server *server);
bool sim_experiment_shares(const struct sim_options *o, struct sim_server *server);
bool sim_experiment_retry(const struct sim_options *o, struct sim_server *server);
bool sim_experiment_quota(const struct sim_options *o, struct sim_server *server);

#endif
