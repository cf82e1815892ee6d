// SPDX-License-Identifier: Apache-2.0
// Users in closed loop: a closed load's sessions, copied until so many of them are under way at a time.
//
// Users start one after the other, evenly over a ramp. A user that comes to the end of a session goes on
// with another one, after a pause as long as the load's mean delay. Which sessions a user has is drawn
// beforehand, so that it is the same for every router: all of the load's sessions are shuffled again and
// again, and dealt out, so none is had much more often than another.
//
// In the steady state most users are somewhere in a long session. So a user begins in the midst of a
// session: at a request that is drawn from all of the load's, in equal strata. `fresh` is the other way:
// all begin with the first request of a session, and long prompts come later.
//
// A copy is a session of its own: what no other session of the load has is made another content, the same
// for the whole copy. What several sessions share (tools, system prompts) stays shared by all copies.
#ifndef SIM_USERS_H
#define SIM_USERS_H

#include "bench/common/bench_workload.h"

struct sim_users_plan {
    unsigned users;
    double ramp;  // seconds until the last user has started
    double until; // seconds: nobody begins a request after that
    double
        pace; // seconds that an output token takes at least, to bound how much can happen until then
    uint64_t seed;
    bool fresh;
};

// Makes *out of the sessions of `load`, which is closed and in which a session never overlaps itself.
void sim_users_make(struct bench_workload *out, const struct bench_workload *load,
                    const struct sim_users_plan *plan);

#endif
