// SPDX-License-Identifier: Apache-2.0
// The servers of a scenario: a primary, its replicas, and Sentinels perhaps; or two nodes of a Cluster.
//
// Which of them is the primary is asked anew each time: on a busy machine Sentinels, or nodes, may
// find a silent second suspicious and fail over once more than the scenario had in mind.
#ifndef HA_FLEET_H
#define HA_FLEET_H

#include "ha_proxy.h"
#include "ha_server.h"

enum { HA_FLEET = 3, HA_SENTINELS = 3 };

struct ha_fleet {
    struct ha_server *primary; // as it was at the beginning
    struct ha_server *servers[HA_FLEET];
    size_t n;
    struct ha_server *sentinels[HA_SENTINELS];
    size_t n_sentinels;
    struct ha_cluster *cluster; // that these are nodes of; NULL: none
    int slot;
    char url[200]; // without settings
};

struct ha_fleet_plan { // all may be 0
    size_t replicas;
    bool sentinels;              // three; the URL is theirs then, else the primary's
    const char *settings;        // of all servers
    bool apart;                  // replicas on side 1, and proxies before all
    bool sentinels_apart;        // the last two Sentinels on side 1, too
    bool on_small_disk;          // the primary
    struct support_clock *clock; // the primary's; NULL: the machine's
};

// Returns when replicas are in step and Sentinels know everybody.
void ha_fleet_start(struct ha_fleet *f, const struct ha_fleet_plan *plan);
// From now on Sentinels call a server down after HA_DOWN_AFTER_MS; before, they are patient.
void ha_fleet_expect_failure(struct ha_fleet *f);
// The servers other than `primary` that run. How many.
size_t ha_fleet_others(const struct ha_fleet *f, const struct ha_server *primary,
                       struct ha_server *out[HA_FLEET]);
// Waits until there is a primary and all others that run follow it. Returns it.
struct ha_server *ha_fleet_settle(struct ha_fleet *f);

#endif
