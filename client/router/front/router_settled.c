// SPDX-License-Identifier: Apache-2.0
#include "router_settled.h"

#include "client/common/clock.h"
#include "client/router/pools/router_pools.h"
#include "client/router/router.h"

enum { SETTLED_ENOUGH_MS = 3000 };

static bool knows_what_is_served(const struct router *r, const struct router_pool *p) {
    for (size_t i = 0; r->config.learn && i < p->n_workers; i++) {
        const struct router_worker *w = &p->workers[i];
        if (w->state == KVR_READY && w->circuit == KVR_CLOSED && !w->here.serves) return false;
    }
    return true;
}

bool router_has_settled(const struct router *r) {
    bool all = true, seen = true, any = false;
    for (const struct router_pool *p = router_pools_first(r->pools); p; p = p->next) {
        seen = seen && p->seen_us && !router_pool_degraded(p);
        all = all && seen && knows_what_is_served(r, p);
        any = any || p->n_workers;
    }
    bool enough = kvr_clock_us() - r->began_us >= (int64_t)SETTLED_ENOUGH_MS * 1000;
    return all || (enough && (seen || any));
}
