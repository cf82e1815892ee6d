// SPDX-License-Identifier: Apache-2.0
// Between the routers and mock engines: what the fleet is to simulated workers.
//
// Routers say to whom a request is to go; this process sends it there over HTTP, reads the stream of
// the answer, and tells them when the first token has come and when the last one has. Time is real,
// only faster: a request begins when it arrives, however many others have no worker yet.
#ifndef DEMO_FRONT_H
#define DEMO_FRONT_H

#include "bench/common/bench_workload.h"
#include "board.h"

struct front_plan {
    const struct bench_workload *load;
    struct board *board;
    unsigned workers, routers;
    const int *sockets;   // to the routers
    int ports[MAX_MOCKS]; // of the engines
    double scale;
};

// Works until all routers have hung up. Returns an exit status.
int front_main(const struct front_plan *plan);

#endif
