// SPDX-License-Identifier: Apache-2.0
// The servers that most scenarios begin with: a primary, its replicas, and Sentinels perhaps.
#ifndef HA_FLEET_H
#define HA_FLEET_H

#include "proxy.h"
#include "redis.h"

enum { MOST_REPLICAS = 2, SENTINELS = 3 };

struct fleet {
    struct server *primary; // as it was at the beginning
    struct server *replicas[MOST_REPLICAS];
    size_t n_replicas;
    struct server *sentinels[SENTINELS];
    char url[200]; // without settings
};

struct fleet_plan { // all may be 0
    size_t replicas;
    bool sentinels;       // three; the URL is theirs then, else the primary's
    const char *settings; // of all servers
    bool apart;           // replicas and the last two Sentinels on side 1, and proxies before all
    bool on_small_disk;   // the primary
};

// Returns when replicas are in step and Sentinels know everybody.
void fleet_start(struct fleet *f, const struct fleet_plan *plan);
// The servers other than `primary` that run, to be compared with it. How many.
size_t fleet_others(const struct fleet *f, const struct server *primary,
                    struct server *out[MOST_REPLICAS + 1]);

#endif
