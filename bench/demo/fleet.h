// SPDX-License-Identifier: Apache-2.0
// The simulated engines, all in one process, in virtual time.
//
// A worker computes prompts one after the other, first come first served, and skips what its cache
// has when a prompt's turn comes; then the blocks are cached, and the answer is generated at a steady
// pace beside whatever else runs. That is an engine's first-order behaviour: a queue for prefill, none
// for decoding.
//
// Time is the workload's own. It stands still while nothing happens in the programs, and moves on to
// the arrival of a request when a router begins with it: whatever falls due by then happens, is
// published, and is told to the routers it concerns, who pass it on to the pool; then that one router
// chooses. So a replay goes as fast as the machine can, and yet hundreds of requests are under way at a
// time, each for as long as it would be.
//
// No request begins before the one that arrived earlier has its worker. A choice takes a fraction of a
// millisecond and requests come hundreds of virtual milliseconds apart; two that chose at once because
// a replay is quick would show the replay's speed and not the routers'. It also makes a run depend on
// nothing but its workload: what several routers choose differs from what one does only where the
// shared state fails them.
#ifndef DEMO_FLEET_H
#define DEMO_FLEET_H

#include <stdbool.h>

#include "bench/common/bench_workload.h"
#include "bench/common/trace.h"
#include "board.h"

#define PREFILL_RATE 10000.0 // tokens a second
#define DECODE_PACE 0.015    // seconds a token

struct fleet_plan {
    const struct bench_workload *load;
    struct board *board;
    unsigned workers, routers;
    size_t capacity;    // blocks a worker
    const int *sockets; // to the routers
    bool publish;       // to the pool, at
    int port;           // on 127.0.0.1
};

// Works until all routers have hung up. Returns an exit status.
int fleet_main(const struct fleet_plan *plan);

#endif
