// SPDX-License-Identifier: Apache-2.0
#include "router_engine_failure.h"

#include <string.h>

#include "client/common/clock.h"
#include "router_request.h"

enum { OVERLOAD_BACKOFF_MS = 1000, ENGINE_SILENT_MS = 1000 };

static struct router_worker *worker_of(const struct router_request *r) {
    return router_pool_worker(r->pool, router_request_worker(r));
}

void router_failure_seen(struct router_request *r, enum router_failure what) {
    struct router_circuits *c = r->proxy->circuits;
    struct kvr_bytes worker = router_request_worker(r);
    if (what == ROUTER_FAILURE_CONNECT) {
        router_circuit_failed(c, r->pool, worker, r->address, false);
        return;
    }
    if (!*r->accused) {
        memcpy(r->accused, r->address, sizeof r->accused);
        r->accused_name = r->worker;
        r->accused_reached = what == ROUTER_FAILURE_5XX;
    }
    if (what != ROUTER_FAILURE_5XX) router_circuit_probe(c, r->pool, worker, r->address);
}

void router_failure_accused(struct router_request *r) {
    if (!*r->accused) return;
    router_circuit_failed(r->proxy->circuits, r->pool, router_name_bytes(&r->accused_name),
                          r->accused, r->accused_reached);
    *r->accused = 0;
}

void router_failure_overloaded(struct router_request *r) {
    struct router_worker *w = worker_of(r);
    if (w) w->here.avoid_until_us = kvr_clock_us() + (int64_t)OVERLOAD_BACKOFF_MS * 1000;
}

bool router_failure_is_dead(const struct router_request *r) {
    const struct router_pool *p = r->pool;
    const struct router_worker *w = worker_of(r);
    bool left = !w && p->seen_us > r->booked_us;
    return left || (w && w->circuit == KVR_OPEN) ||
           router_circuit_is_open(r->proxy->circuits, p, router_request_worker(r));
}

void router_failure_silence(struct router_request *r, int64_t now) {
    const struct router_worker *w = worker_of(r);
    int64_t since = w && w->here.heard_us > r->booked_us ? w->here.heard_us : r->booked_us;
    if (now - since > (int64_t)ENGINE_SILENT_MS * 1000)
        router_circuit_probe(r->proxy->circuits, r->pool, router_request_worker(r), r->address);
}

void router_failure_heard(const struct router_request *r, int64_t now) {
    struct router_worker *w = worker_of(r);
    if (w && w->here.heard_us < now) w->here.heard_us = now;
}
