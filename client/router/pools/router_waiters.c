// SPDX-License-Identifier: Apache-2.0
#include "router_waiters.h"

#include "client/common/clock.h"
#include "client/router/router.h"
#include "router_pools.h"

void router_waiter_begin(struct router *r, struct router_waiter *w, struct router_pool *pool,
                         struct kvr_bytes id) {
    w->pool = pool;
    w->id = id;
    w->since_us = kvr_clock_us();
    kvr_list_push(&r->waiters, &w->link);
}

bool router_waiter_is_on(const struct router_waiter *w) {
    return w->pool != NULL;
}

void router_waiter_end(struct router_waiter *w) {
    if (!w->pool) return;
    kvr_list_remove(&w->link);
    w->pool = NULL;
}

void router_waiter_leave(struct router_waiter *w) {
    struct router_pool *pool = w->pool;
    if (!pool) return;
    router_waiter_end(w);
    router_pool_release(pool, w->id);
}

// They are in the order in which they began.
void router_waiters_leave(struct router *r, int64_t ms) {
    int64_t before = kvr_clock_us() - ms * 1000;
    struct kvr_list_item *first;
    while ((first = kvr_list_first(&r->waiters))) {
        struct router_waiter *w = (struct router_waiter *)first;
        if (w->since_us > before) return;
        router_waiter_leave(w);
    }
}
