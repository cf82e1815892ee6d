// SPDX-License-Identifier: Apache-2.0
// A handle of the library with hundreds of calls that wait.
#ifndef HA_QUEUE_HANDLE_H
#define HA_QUEUE_HANDLE_H

#include "ha_queue.h"

// In a process of its own, until it is told to end.
void ha_queue_run_handle(struct ha_queue *q, struct ha_queue_client *c);

#endif
