// SPDX-License-Identifier: Apache-2.0
// A process that looks at every server again and again while all are at work, and counts what must not be.
//
// Whether legs weigh what the requests on them say, and whether an instance is above its limits, is asked of every
// server, replicas too. The primary is compared with what clients have been told as well, unless history may be lost:
// that is compared at quiet moments, see ha_pair_check.h.
#ifndef HA_PAIR_WATCH_H
#define HA_PAIR_WATCH_H

#include "ha_pair_look.h"

void ha_pair_watch_start(struct ha_pair *p);
// Tells it to end, and waits.
void ha_pair_watch_stop(struct ha_pair *p);

// What a client was told of one request, and had been when `before` was taken, beside the pool in between.
struct ha_pair_told {
    int state;
    bool prefilled;
    uint32_t output;
};
enum ha_pair_verdict { HA_PAIR_AGREES, HA_PAIR_MISSING, HA_PAIR_MISPLACED, HA_PAIR_BEHIND };
struct ha_pair_told ha_pair_told_now(const struct ha_pair_request *q);
// Of one that is live for its client. seen: NULL, not there.
enum ha_pair_verdict ha_pair_judge(const struct ha_pair *p, const struct ha_pair_request *q,
                                   const struct ha_pair_told *before,
                                   const struct ha_pair_seen *seen);

#endif
