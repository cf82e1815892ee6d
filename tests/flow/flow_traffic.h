// SPDX-License-Identifier: Apache-2.0
// Random traffic for a pool, for tests that ask what becomes of the state and not of each answer.
//
// It behaves like a fleet: publishers that follow their seqs and start a new epoch when told of a gap,
// routers that select, update and release, workers that come back after they were deleted. So it goes
// on after anything: a restart, a failover, expiry.
#ifndef FLOW_TRAFFIC_H
#define FLOW_TRAFFIC_H

#include "flow_universe.h"

enum {
    FLOW_TRAFFIC_WORKERS = 6,
    FLOW_TRAFFIC_RANKS = 2,
    FLOW_TRAFFIC_REQUESTS = 300,
    FLOW_TRAFFIC_SESSIONS = 40,
    FLOW_TRAFFIC_CLASSES = 4,
    FLOW_TRAFFIC_FLOWS = 8,
};

struct flow_traffic {
    const char *key;
    struct flow_rng rng;
    struct flow_universe universe;
    uint64_t epoch[FLOW_TRAFFIC_WORKERS][FLOW_TRAFFIC_RANKS],
        seq[FLOW_TRAFFIC_WORKERS][FLOW_TRAFFIC_RANKS];
    uint64_t last_epoch;
    int64_t lease;     // ms of a third of the requests; 0: the pool's
    int64_t ttl;       // ms of the workers' settings; 0: not named
    int64_t wait;      // ms that requests may wait; 0: none waits, nor has a class or a flow
    uint64_t commands; // sent
    int64_t version;   // the highest that a SELECT answered
};

// Creates the pool, unless it is there, and registers the workers.
void flow_traffic_start(struct flow_traffic *t, struct flow_conn *c, const char *key,
                        const char *options);
// Sends `steps` random commands and reads their replies; errors that such a fleet may meet are its
// daily bread, any other fails the test.
void flow_traffic_run(struct flow_traffic *t, struct flow_conn *c, int steps);
// The same within one connection's pipeline: faster, and nothing is learnt from the replies.
void flow_traffic_pipeline(struct flow_traffic *t, struct flow_conn *c, int steps);

#endif
