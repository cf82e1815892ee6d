// SPDX-License-Identifier: Apache-2.0
// Traffic that is there all the time: streams in closed loop, each with one request under way, and the next when that
// has ended. So as a batch job is sent, or a tenant who always has more. No two prompts share anything.
#ifndef SIM_STREAMS_H
#define SIM_STREAMS_H

#include "bench/common/bench_workload.h"

struct sim_streams {
    unsigned n;
    uint32_t isl, osl; // tokens, mean
    double from, ramp; // seconds: the first begins, and the last so much later
    double until;      // seconds: there are enough requests until then
    double pace;       // seconds that an output token takes at least
    uint32_t service_class, flow;
    uint64_t seed;
};

// Adds them to a load, which is closed then, and puts it in order.
void sim_streams_add(struct bench_workload *w, const struct sim_streams *s);

#endif
