// SPDX-License-Identifier: Apache-2.0
// Everybody who is at work while something is broken: clients and publishers of one pool.
#ifndef HA_LOAD_H
#define HA_LOAD_H

#include "ha_publisher.h"
#include "ha_server.h"

enum { HA_MAX_CLIENTS = 6, HA_PUBLISHERS = HA_WORKERS / HA_WORKERS_EACH };

struct ha_load {
    size_t n_clients;
    struct ha_client clients[HA_MAX_CLIENTS];
    struct ha_publisher publishers[HA_PUBLISHERS];
};

struct ha_load_plan { // all but url may be 0
    const char *url;  // up to the settings
    size_t clients;   // 0: HA_MAX_CLIENTS
    size_t aside;     // of these, the last so many are on side 1; of the publishers the last, too
    const char *pool; // options of KVROUTE.CREATE; NULL: long leases
    int64_t deadline; // of the clients' calls; 0: longer than any outage here
    bool degrade, hasty;
    int64_t renew; // these three: see struct ha_client
};

// Creates the pool on `primary` and starts everybody; returns when all workers are registered and
// every client has had answers.
struct ha_load *ha_load_start(const struct ha_load_plan *plan, struct ha_server *primary);
// Everybody stands still (SIGSTOP), as though time stopped for them; and goes on.
void ha_load_stop(struct ha_load *s);
void ha_load_continue(struct ha_load *s);
size_t ha_load_live(const struct ha_load *s); // requests that clients have now
// Waits until every client has had an answer from a primary after `since`.
void ha_load_wait_served(struct ha_load *s, int64_t since);
// One order to all; returns when all have carried it out.
void ha_load_order(struct ha_load *s, enum ha_order order);
// Waits for the end of all processes. How many didn't end well.
size_t ha_load_end(struct ha_load *s);

#endif
