// SPDX-License-Identifier: Apache-2.0
// One replay of the workload, with processes of its own, and what came of it.
#ifndef DEMO_RUN_H
#define DEMO_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/common/bench_workload.h"
#include "pool.h"

struct run_plan {
    const char *name;
    unsigned routers;
    bool round_robin; // the workers in turn, no server
    bool crash;       // kill the server twice: amid the traffic, and in a quiet moment half way
};

struct run_result {
    size_t n, lost, twice; // requests; never finished; given to a worker more than once
    size_t selects, repeats, put_back, resent, rebuilt;
    unsigned reconnects;
    double seconds; // of real time
    double minutes; // of virtual time
    double hit;     // blocks found in the chosen worker's cache, of those asked for
    double imbalance;
    double select_p50, select_p99, select_max; // microseconds
    double first_p50, first_p99;               // seconds of virtual time to the first token
    // What the pool believes at the end, compared with what is so.
    long long still_live;
    unsigned misjudged; // workers whose cache holds another number of blocks
    // The crash in the quiet moment.
    char before[DIGEST_TEXT], after[DIGEST_TEXT];
    long long live_at_crash;
};

// False: something went wrong that makes the result worthless, and was said on stderr; or the demo is
// being stopped.
bool run_replay(const struct run_plan *plan, const struct bench_workload *w,
                const struct options *o, size_t capacity, struct run_result *out);

#endif
