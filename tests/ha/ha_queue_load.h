// SPDX-License-Identifier: Apache-2.0
// Starting and steering callers that wait.
#ifndef HA_QUEUE_LOAD_H
#define HA_QUEUE_LOAD_H

#include "ha_fleet.h"
#include "ha_queue.h"

struct ha_queue_plan {  // all but url may be 0
    const char *url;    // of the handles, without settings
    size_t waiting;     // requests in all; must be given
    size_t aside;       // of the handles, the last so many are on side 1
    const int *blocked; // addresses for plain connections, 0 at the end; NULL: those of the fleet
    int64_t accept;
    bool pool_goes, lossy;
};

// Creates pool, classes, flows and workers on the primary, and starts everybody. Returns when a third is released
// and the rest waits.
struct ha_queue *ha_queue_start(const struct ha_queue_plan *plan, struct ha_fleet *f);
// Lets so many more of all be released, in percent; waits until that is done. 100: no limit, and no waiting.
void ha_queue_release(struct ha_queue *q, int percent);
// Lets half of all be released, and returns in the middle of it.
void ha_queue_stir(struct ha_queue *q);
// Handles ask for the rest; and until they have, and this server has all who wait in its queue.
void ha_queue_more(struct ha_queue *q);
void ha_queue_wait_queued(struct ha_queue *q, struct ha_server *s);
void ha_queue_stop(struct ha_queue *q); // SIGSTOP
void ha_queue_continue(struct ha_queue *q);
void ha_queue_expect_all(struct ha_queue *q); // gives up if a process ended by itself

#endif
