// SPDX-License-Identifier: Apache-2.0
// One-step regret: what a policy would have chosen for each logged decision, at the state that was logged, and by how
// much that is worse than the best there was. Two measures, both predictions: the cost of the module's delay rule,
// unrounded and with ordinary weights; and the time to the first token that the pool predicted.
#ifndef SIM_REGRET_H
#define SIM_REGRET_H

#include "judged_policy.h"

struct sim_regret {
    size_t decisions;      // that were judged
    double agree;          // share of them in which it chose what was chosen
    double cost;           // mean, of what it chose; blocks of prefill that are waited for
    double mean, p50, p99; // of its cost less the least one
    double made;           // mean of its cost less that of what was chosen
    // ms, of those decisions in which the pool predicted it of everybody who might be chosen.
    size_t predicted;
    double ttft, ttft_least, ttft_made; // means: of what it chose, of the least, of what was chosen
};

// What can't be judged, and how far the predictions are to be believed.
struct sim_regret_scope {
    size_t decisions, judged;
    size_t refused;     // nobody was chosen at once
    size_t pairs;       // two instances, which this doesn't take apart
    size_t unknown;     // who was chosen isn't among those that were logged
    size_t partial;     // judged, though instances are left out
    size_t drawn;       // judged, though chance had a part in it (TEMPERATURE)
    size_t measured;    // requests with a prediction and a first token
    double ttft, error; // of these: measured mean, ms; median of |predicted − measured| ÷ measured
};

void sim_regret_scope_find(const struct sim_decisions *d, struct sim_regret_scope *out);
void sim_regret_find(const struct sim_decisions *d, const struct sim_judged_policy *p,
                     struct sim_regret *out);

#endif
