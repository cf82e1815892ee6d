// SPDX-License-Identifier: Apache-2.0
// Compares a pool with the truth kept outside of it.
#ifndef HA_JUDGE_H
#define HA_JUDGE_H

#include "fleet.h"
#include "scenario.h"
#include "stage.h"

// What the pool on this server lacks of what clients and publishers have been told is done. Look while
// they stand still (stage_freeze): then it is what Redis has lost.
struct losses {
    uint64_t bookings; // live requests that aren't there
    uint64_t releases; // ended requests that are
    uint64_t updates;  // live requests that are there, but not as far as acknowledged
    uint64_t events;   // acknowledged events; all of a rank's if the pool has another epoch of it
    uint64_t workers;  // that aren't registered
};
void judge_losses(const struct stage *s, struct server *server, struct losses *out);
uint64_t losses_sum(const struct losses *l);

// The end of a scenario. Tells everybody to hold; compares requests and holdings with the primary's,
// again and again until they agree or ten seconds are over; compares its digest with its replicas';
// has everything released and looks that nothing is left; ends everybody. Fills in the verdict, and
// what disagreed into its `faults`.
void judge(struct stage *s, struct fleet *f, struct verdict *v);

#endif
