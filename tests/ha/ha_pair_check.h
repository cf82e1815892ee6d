// SPDX-License-Identifier: Apache-2.0
// Compares the bookings of pairs with what clients were told: at quiet moments, and at the end.
#ifndef HA_PAIR_CHECK_H
#define HA_PAIR_CHECK_H

#include "ha_fleet.h"
#include "ha_pair.h"
#include "ha_scenario.h"

// Clients hold what they have. All of it has to be booked as they were told, and nothing else but what killed clients
// had; each leg has to weigh what the requests on it say; digests have to agree. Then they go on. Whether all was so.
bool ha_pair_quiet(struct ha_result *v, struct ha_pair *p, struct ha_fleet *f);

// The same, then everybody releases what he has: nothing may be left when leases are over. Ends everybody, and fills
// in the result.
void ha_pair_finish(struct ha_result *v, struct ha_pair *p, struct ha_fleet *f);

#endif
