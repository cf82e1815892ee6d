// SPDX-License-Identifier: Apache-2.0
// The table of --decisions: what each policy would have chosen at the states that were logged.
#ifndef SIM_DECISION_REPORT_H
#define SIM_DECISION_REPORT_H

#include "bench/sim/compare/sim_options.h"

// Of o->decisions by o->policies, to stdout. False, with a message: a policy isn't known.
bool sim_decision_report(const struct sim_options *o);

#endif
