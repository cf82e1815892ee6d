// SPDX-License-Identifier: Apache-2.0
// Everybody who is at work while something is broken: clients and publishers of one pool.
#ifndef HA_STAGE_H
#define HA_STAGE_H

#include "publishers.h"
#include "redis.h"

enum { MAX_CLIENTS = 6, PUBLISHERS = WORKERS / OF_ONE };

struct stage {
    size_t n_clients;
    struct client clients[MAX_CLIENTS];
    struct publisher publishers[PUBLISHERS];
};

struct stage_plan {   // all but url may be 0
    const char *url;  // up to the settings
    size_t clients;   // 0: MAX_CLIENTS
    size_t aside;     // of these, the last so many are on side 1; of the publishers the last, too
    const char *pool; // options of KVROUTE.CREATE; NULL: long leases
    int64_t deadline; // of the clients' calls; 0: longer than any outage here
    bool degrade, hasty;
    int64_t renew; // these three: see struct client
};

// Creates the pool on `primary` and starts everybody; returns when all workers are registered and
// every client has had answers.
struct stage *stage_begin(const struct stage_plan *plan, struct server *primary);
// Everybody stands still (SIGSTOP), as though time stopped for them; and goes on.
void stage_freeze(struct stage *s);
void stage_thaw(struct stage *s);
size_t stage_live(const struct stage *s); // requests that clients have now
// Waits until every client has had an answer from a primary after `since`.
void stage_wait_served(struct stage *s, int64_t since);
// One order to all; returns when all have carried it out.
void stage_order(struct stage *s, enum order order);
// Waits for the end of all processes. How many didn't end well.
size_t stage_end(struct stage *s);

#endif
