// SPDX-License-Identifier: Apache-2.0
// What a server has really done, in the order in which it did it: the effects in its append-only file.
//
// A replica's file has what its primaries sent, so the file of the server that is the primary at the end tells
// of a single history from the beginning, whoever made it.
#ifndef HA_HISTORY_H
#define HA_HISTORY_H

#include "ha_queue.h"

struct ha_history {
    uint64_t effects;
    uint64_t enqueued, admitted, came; // came: owners for their booking
    uint64_t
        missed;     // admitted, their owners didn't come within ACCEPT, and then began to wait anew
    uint64_t twice; // their owners came for an admission, and later for another
    uint64_t for_nobody; // admitted though no owner was to come: served already, or dead
    uint64_t disorder;   // admitted before one of their flow that waited already when they began to
    uint64_t behind; // began to wait behind one of their flow that the same handle asked for later;
                     // without those who had been missed
    char first[120]; // for people: the first of these; "" if there is none
};

// Of these servers, one after the other.
void ha_history_read(const struct ha_queue *q, struct ha_server *const *servers, size_t n,
                     struct ha_history *out);

#endif
