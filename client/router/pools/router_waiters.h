// SPDX-License-Identifier: Apache-2.0
// The SELECTs of this router that may be waiting for room. The queue itself is the pool's; here is only what is to
// be taken back when nobody wants the answer any more: the client has left, or the router is leaving.
#ifndef ROUTER_WAITERS_H
#define ROUTER_WAITERS_H

#include <kvroute/types.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/common/list.h"

struct router;
struct router_pool;

// Part of who asks. All 0: it isn't waiting.
struct router_waiter {
    struct kvr_list_item link;
    struct router_pool *pool;
    struct kvr_bytes id; // kept by who asks until the answer
    int64_t since_us;
};

void router_waiter_begin(struct router *r, struct router_waiter *w, struct router_pool *pool,
                         struct kvr_bytes id);
bool router_waiter_is_on(const struct router_waiter *w);
void router_waiter_end(struct router_waiter *w); // its answer is there; otherwise nothing
// Ends its waiting in the pool, at once. The answer is still to come, RELEASED as a rule.
void router_waiter_leave(struct router_waiter *w);
// The same for all that have waited for so long; so those that only wait for the pool's word are left alone.
void router_waiters_leave(struct router *r, int64_t ms);

#endif
