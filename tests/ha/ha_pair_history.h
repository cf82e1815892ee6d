// SPDX-License-Identifier: Apache-2.0
// What one server has really done with pairs, from the beginning: by the effects in its append-only file.
#ifndef HA_PAIR_HISTORY_H
#define HA_PAIR_HISTORY_H

#include "ha_pair.h"
#include "ha_server.h"

struct ha_pair_history {
    uint64_t bookings;
    uint64_t twice; // booked while it was, or after its client had released it
    uint64_t never; // its client was told that it is booked, and it never was
    uint64_t left;  // booked at the end
    char first[120];
};
void ha_pair_history_read(const struct ha_pair *p, struct ha_server *s,
                          struct ha_pair_history *out);

#endif
