// SPDX-License-Identifier: Apache-2.0
// The requests of a file of decisions as a load: they arrive when they were first asked for, with the blocks that
// were logged and as many tokens of output as they came to have.
#ifndef SIM_DECISION_LOAD_H
#define SIM_DECISION_LOAD_H

#include "bench/common/bench_workload.h"
#include "decision_file.h"

// Whether all that is needed is in the file: the blocks of every request.
bool sim_decision_load_can(const struct sim_decisions *d);
// *w anew, of at most so many requests (0: all). A request that was asked for again (it waited, or was refused) counts
// from the first time on; of one whose end isn't in the file the output is as long as the pool took it to be.
void sim_decision_load(struct bench_workload *w, const struct sim_decisions *d, size_t at_most);

#endif
