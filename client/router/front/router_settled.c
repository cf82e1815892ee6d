// SPDX-License-Identifier: Apache-2.0
#include "router_settled.h"

#include "client/common/clock.h"
#include "client/router/pools/router_pools.h"
#include "client/router/router.h"

enum { SETTLED_ENOUGH_MS = 3000 };

static bool is_enough(const struct router *r) {
    return kvr_clock_us() - r->began_us >= (int64_t)SETTLED_ENOUGH_MS * 1000;
}

static bool has_asked_all(const struct router *r, const struct router_pool *p) {
    for (size_t i = 0; r->config.learn && i < p->n_workers; i++) {
        const struct router_worker *w = &p->workers[i];
        bool may_be_chosen = w->state == KVR_READY && w->circuit == KVR_CLOSED && *w->addr;
        if (may_be_chosen && !w->here.asked) return false;
    }
    return true;
}

bool router_has_asked(struct router *r) {
    bool all = true, known = true;
    if (r->has_asked) return true;
    for (const struct router_pool *p = router_pools_first(r->pools); p; p = p->next) {
        all = all && has_asked_all(r, p);
        known = known && p->seen_us && p->n_workers;
    }
    // Of a pool that isn't seen yet there may be others to be asked.
    r->has_asked = (all && known) || is_enough(r);
    return all || r->has_asked;
}

bool router_has_settled(struct router *r) {
    bool seen = true, any = false;
    for (const struct router_pool *p = router_pools_first(r->pools); p; p = p->next) {
        seen = seen && p->seen_us && !router_pool_degraded(p);
        any = any || p->n_workers;
    }
    return (seen && router_has_asked(r)) || (any && is_enough(r));
}
