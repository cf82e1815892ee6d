// SPDX-License-Identifier: Apache-2.0
// What callers that wait were told, beside what the pool has and what its servers have done.
#ifndef HA_QUEUE_CHECK_H
#define HA_QUEUE_CHECK_H

#include "ha_fleet.h"
#include "ha_queue.h"
#include "ha_scenario.h"

// Notes what is about to be broken, and how many wait.
void ha_queue_note_fault(struct ha_result *v, const struct ha_queue *q, const char *what);
// Counts what this server lacks of what callers have been told; they stand still.
void ha_queue_note_losses(struct ha_result *v, const struct ha_queue *q, struct ha_server *server);
// When all servers have found each other: some more are released, and what is booked then has to be what callers
// were told; then all are, and nothing may be left.
void ha_queue_finish(struct ha_result *v, struct ha_queue *q, struct ha_fleet *f);
// The end alone: everybody has an answer, nothing is left, and the histories of the fleet's servers that have one.
void ha_queue_end(struct ha_result *v, struct ha_queue *q, struct ha_fleet *f);

#endif
