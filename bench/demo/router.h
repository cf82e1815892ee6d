// SPDX-License-Identifier: Apache-2.0
// A stateless router: for each request it asks the pool for a worker, hands the request over, tells
// the pool when the first token comes and when the last one has.
//
// It keeps what it is streaming at the moment and nothing else: no tree, no loads, no list of workers.
// When the server goes away it comes back to it, puts back what the server may have forgotten of its
// requests (CLAIM, which does nothing where nothing was forgotten), ends again what it ended lately,
// and asks again, under the same id, for what had no answer.
#ifndef DEMO_ROUTER_H
#define DEMO_ROUTER_H

#include "bench/common/bench_workload.h"
#include "board.h"

struct router_plan {
    const struct bench_workload *load;
    struct board *board;
    unsigned router, workers;
    int fleet;        // socket to the workers
    bool round_robin; // no pool: the workers in turn
    int port;         // of the server on 127.0.0.1
};

// Takes requests until there are none left. Returns an exit status.
int router_main(const struct router_plan *plan);

#endif
