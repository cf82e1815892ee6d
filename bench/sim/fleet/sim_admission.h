// SPDX-License-Identifier: Apache-2.0
// What engines have room for, and in which order requests wait for it: the pool's limits, classes and flows, for
// kinds of routers that ask the module or its core. Without this a request is given to an engine as it arrives,
// and waits there.
#ifndef SIM_ADMISSION_H
#define SIM_ADMISSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_class {
    const char *name;
    int priority;
    double weight;
    unsigned room; // percent
};

// 0: no such limit.
struct sim_flow {
    double weight;
    uint64_t requests;
    uint64_t rate, burst; // tokens a second, and at once
};

struct sim_admission {
    bool on;
    uint64_t max_requests, max_prefill, max_blocks; // 0: no such limit
    double wait;  // seconds that a request may wait; 0: it is refused, and comes back when told
    bool whole;   // it is told whole seconds, rounded up
    bool outputs; // requests say how long their outputs will be
    bool by_flow; // and whose they are
    // Of the requests' service_class; none: all are of the class `default`.
    const struct sim_class *classes;
    size_t n_classes;
    // Of the requests' flow, from 1 on. Those beyond have weight 1 and no limits.
    const struct sim_flow *flows;
    size_t n_flows;
};

#endif
