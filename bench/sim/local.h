// SPDX-License-Identifier: Apache-2.0
// What every router knows without asking: how many requests of its own each engine has.
#ifndef FLEET_LOCAL_H
#define FLEET_LOCAL_H

#include "router.h"

struct local {
    const bool *there;
    unsigned workers;
    struct local_router {
        uint64_t rng;
        uint32_t turn; // the engine whose turn it is
        uint32_t open[MAX_WORKERS], total;
    } router[MAX_ROUTERS];
};

void local_open(struct local *l, const struct world *w);
// Whether the engine can be chosen. avoid is an engine that refused, or NOBODY.
bool local_may(const struct local *l, uint32_t worker, uint32_t avoid);
// The next engine in turn; NOBODY if there is none.
uint32_t local_turn(struct local *l, unsigned router, uint32_t avoid);
uint32_t local_random(struct local *l, unsigned router, uint32_t avoid);
// The one with the fewest requests of this router; of equals the next in turn.
uint32_t local_least(struct local *l, unsigned router, uint32_t avoid);
// Counts a choice; returns it.
uint32_t local_take(struct local *l, unsigned router, uint32_t worker);
void local_news(struct local *l, unsigned router, uint32_t worker, enum news what);
void local_lost(struct local *l, unsigned router);

#endif
