// SPDX-License-Identifier: Apache-2.0
// Who stands beside this router: the primary, its replicas, and the other routers. For the page alone, so
// Redis is asked only while somebody looks, and every few seconds at most.
//
// Routers know nothing of each other. Each gives its connections to Redis a name, and CLIENT LIST has the
// names of all: no state in the pool, nothing to renew, and who is gone is gone from the list. Rejected: a
// key that routers renew (a write a second for something that nobody may be looking at). A user who may not
// use INFO or CLIENT LIST gets "not known" and nothing else changes.
#ifndef ROUTER_NEIGHBOURS_H
#define ROUTER_NEIGHBOURS_H

#include <kvroute/client.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "router_identity.h"

struct router_pool;

enum {
    ROUTER_NEIGHBOURS_PAUSE_S = 4, // between two questions
    ROUTER_MAX_REPLICAS = 16,
    ROUTER_MAX_NEIGHBOURS = 64
};

struct router_replica {
    char address[80];
    bool online;
    int64_t behind; // bytes of the replication stream
    int64_t lag;    // s since it last said how far it is; −1: it never has
};

struct router_neighbours {
    int64_t list_again_us;      // CLIENT LIST not before then
    int64_t asked_us;           // 0: never
    enum kvr_code server, list; // what Redis last said to the two questions
    int64_t server_us, list_us; // when it last answered them well; 0: never
    char version[24];           // of Redis
    struct router_replica replicas[ROUTER_MAX_REPLICAS]; // the first ones
    size_t n_replicas;                                   // all of them
    size_t most_replicas;                                // the most that were ever seen
    int64_t fewer_us; // since when there are fewer; 0: there aren't
    char names[ROUTER_MAX_NEIGHBOURS][ROUTER_IDENTITY_SIZE]; // of the routers, this one too; sorted
    size_t n_names;
    bool crowded; // there are so many connections, or routers, that not all were looked at
};

// Asks, unless that was just done or is being done. No memory: nothing happens.
void router_neighbours_ask(struct router_pool *p);

// Of a replica that is so far behind that a failover would lose seconds of what was said.
bool router_replica_is_behind(const struct router_replica *r);

#endif
