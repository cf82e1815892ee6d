// SPDX-License-Identifier: Apache-2.0
// All experiments; see experiment.h.
#include "experiment.h"

#include <string.h>

#include "bench/sim/pairs/experiment_pairs.h"

static const struct sim_experiment experiments[] = {
    {"batch", sim_experiment_batch}, {"shares", sim_experiment_shares},
    {"retry", sim_experiment_retry}, {"quota", sim_experiment_quota},
    {"pairs", sim_experiment_pairs}, {"roles", sim_experiment_roles},
};

const struct sim_experiment *sim_experiment_find(const char *name) {
    for (size_t i = 0; i < sizeof experiments / sizeof *experiments; i++)
        if (!strcmp(experiments[i].name, name)) return &experiments[i];
    return NULL;
}
