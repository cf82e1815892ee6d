// SPDX-License-Identifier: Apache-2.0
// Random traffic for a pool, for tests that ask what becomes of the state and not of each answer.
//
// It behaves like a fleet: publishers that follow their seqs and start a new epoch when told of a gap,
// routers that select, update and release, workers that come back after they were deleted. So it goes
// on after anything: a restart, a failover, expiry.
#ifndef FLOW_TRAFFIC_H
#define FLOW_TRAFFIC_H

#include "universe.h"

enum { TRAFFIC_WORKERS = 6, TRAFFIC_RANKS = 2, TRAFFIC_REQUESTS = 300, TRAFFIC_SESSIONS = 40 };

struct traffic {
    const char *key;
    struct rng rng;
    struct universe universe;
    uint64_t epoch[TRAFFIC_WORKERS][TRAFFIC_RANKS], seq[TRAFFIC_WORKERS][TRAFFIC_RANKS];
    uint64_t last_epoch;
    int64_t lease;     // ms of a third of the requests; 0: the pool's
    int64_t ttl;       // ms of the workers' settings; 0: not named
    uint64_t commands; // sent
    int64_t version;   // the highest that a SELECT answered
};

// Creates the pool, unless it is there, and registers the workers.
void traffic_start(struct traffic *t, struct conn *c, const char *key, const char *options);
// Sends `steps` random commands and reads their replies; errors that such a fleet may meet are its
// daily bread, any other fails the test.
void traffic_run(struct traffic *t, struct conn *c, int steps);
// The same within one connection's pipeline: faster, and nothing is learnt from the replies.
void traffic_pipeline(struct traffic *t, struct conn *c, int steps);

#endif
