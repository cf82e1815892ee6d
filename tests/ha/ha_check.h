// SPDX-License-Identifier: Apache-2.0
// Compares a pool with the truth kept outside of it.
#ifndef HA_CHECK_H
#define HA_CHECK_H

#include "ha_fleet.h"
#include "ha_load.h"
#include "ha_scenario.h"

// What the pool on this server lacks of what clients and publishers have been told is done. Look while
// they stand still (ha_load_stop): then it is what Redis has lost.
struct ha_losses {
    uint64_t bookings; // live requests that aren't there
    uint64_t releases; // ended requests that are
    uint64_t updates;  // live requests that are there, but not as far as acknowledged
    uint64_t events;   // acknowledged events; all of a rank's if the pool has another epoch of it
    uint64_t workers;  // that aren't registered
};
void ha_losses_count(const struct ha_load *s, struct ha_server *server, struct ha_losses *out);
uint64_t ha_losses_sum(const struct ha_losses *l);

// Adds n to what is unrepaired, and says what it is.
void ha_tell(struct ha_result *v, uint64_t n, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// Whether the digests of the primary and its replicas come to agree.
bool ha_digests_agree(struct ha_fleet *f);

// The end of a scenario. Tells everybody to hold; compares requests and holdings with the primary's,
// again and again until they agree or ten seconds are over; compares its digest with its replicas';
// has everything released and looks that nothing is left; ends everybody. Fills in the result, and
// what disagreed into its `faults`.
void ha_check(struct ha_load *s, struct ha_fleet *f, struct ha_result *v);

#endif
