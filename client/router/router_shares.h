// SPDX-License-Identifier: Apache-2.0
// What became of requests, by the class and the flow that they are of. Names come from tokens and from
// clients, so only the first so many have a series of their own, and all others are one: "other".
#ifndef ROUTER_SHARES_H
#define ROUTER_SHARES_H

#include <kvroute/types.h>
#include <stdint.h>

#include "client/common/prometheus.h"

enum router_share_outcome {
    ROUTER_SHARE_BOOKED,  // at once
    ROUTER_SHARE_WAITED,  // booked after it had waited
    ROUTER_SHARE_REFUSED, // there was no room, and it might not wait, or not for longer
    ROUTER_SHARE_LIMITED, // its flow had used up what it may
    ROUTER_SHARE_LEFT,    // its client left, or the router, while it waited
    ROUTER_SHARE_OUTCOMES
};

enum { ROUTER_SHARES_CLASSES = 24, ROUTER_SHARES_FLOWS = 64 };

struct router_share {
    char name[KVR_MAX_ID + 1];
    uint64_t n[ROUTER_SHARE_OUTCOMES];
};

struct router_shares {
    // One more than have names: the last has all others. Classes also have how long requests waited that were
    // booked then.
    struct router_share classes[ROUTER_SHARES_CLASSES + 1], flows[ROUTER_SHARES_FLOWS + 1];
    struct kvr_prom_histogram waited[ROUTER_SHARES_CLASSES + 1];
    size_t n_classes, n_flows; // that have names
};

// class_name empty: `default`; flow empty: none is counted. waited_ms: of ROUTER_SHARE_WAITED.
void router_shares_count(struct router_shares *s, struct kvr_bytes class_name,
                         struct kvr_bytes flow, enum router_share_outcome how, int64_t waited_ms);
void router_shares_show(struct kvr_prom *p, const struct router_shares *s);

#endif
