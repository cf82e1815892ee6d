// SPDX-License-Identifier: Apache-2.0
// The servers of a scenario: a primary, its replicas, and Sentinels perhaps; or two nodes of a Cluster.
//
// Which of them is the primary is asked anew each time: on a busy machine Sentinels, or nodes, may
// find a silent second suspicious and fail over once more than the scenario had in mind.
#ifndef HA_FLEET_H
#define HA_FLEET_H

#include "proxy.h"
#include "redis.h"

enum { FLEET = 3, SENTINELS = 3 };

struct fleet {
    struct server *primary; // as it was at the beginning
    struct server *servers[FLEET];
    size_t n;
    struct server *sentinels[SENTINELS];
    size_t n_sentinels;
    struct cluster *cluster; // that these are nodes of; NULL: none
    int slot;
    char url[200]; // without settings
};

struct fleet_plan { // all may be 0
    size_t replicas;
    bool sentinels;       // three; the URL is theirs then, else the primary's
    const char *settings; // of all servers
    bool apart;           // replicas on side 1, and proxies before all
    bool sentinels_apart; // the last two Sentinels on side 1, too
    bool on_small_disk;   // the primary
};

// Returns when replicas are in step and Sentinels know everybody.
void fleet_start(struct fleet *f, const struct fleet_plan *plan);
// From now on Sentinels call a server down after DOWN_AFTER_MS; before, they are patient.
void fleet_alert(struct fleet *f);
// The one that is the primary now, and knows it; NULL: there is none, or they don't agree.
struct server *fleet_primary(const struct fleet *f);
// The servers other than `primary` that run. How many.
size_t fleet_others(const struct fleet *f, const struct server *primary, struct server *out[FLEET]);
// Waits until there is a primary and all others that run follow it. Returns it.
struct server *fleet_settle(struct fleet *f);

#endif
