// SPDX-License-Identifier: Apache-2.0
// Starting and steering clients and engines of pairs.
#ifndef HA_PAIR_LOAD_H
#define HA_PAIR_LOAD_H

#include "ha_fleet.h"
#include "ha_pair.h"

struct ha_pair_plan {   // all may be 0
    int64_t lease;      // ms
    int64_t ttl, grace; // of workers, ms
    bool lossy;
};

// Creates the pool on the primary and starts everybody. Returns when all engines are registered and clients book.
struct ha_pair *ha_pair_start(const struct ha_pair_plan *plan, struct ha_fleet *f);
// One order (enum ha_order) to all clients; returns when all have carried it out.
void ha_pair_order(struct ha_pair *p, int order);
// Waits for so many more bookings than there are now.
void ha_pair_wait_booked(struct ha_pair *p, uint64_t more);
uint64_t ha_pair_booked(const struct ha_pair *p);
// The primary is about to be broken; and it is there again, and everybody has found it. Returns it.
void ha_pair_unsettle(struct ha_pair *p);
struct ha_server *ha_pair_settle(struct ha_pair *p, struct ha_fleet *f);
void ha_pair_end(struct ha_pair *p); // of clients and engines, by SIGKILL of the latter

#endif
