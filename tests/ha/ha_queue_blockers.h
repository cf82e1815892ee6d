// SPDX-License-Identifier: Apache-2.0
// Plain connections that ask with BLOCK.
#ifndef HA_QUEUE_BLOCKERS_H
#define HA_QUEUE_BLOCKERS_H

#include "ha_queue.h"

// In a process of its own, until it is told to end.
void ha_queue_run_blockers(struct ha_queue *q, struct ha_queue_client *c);

#endif
