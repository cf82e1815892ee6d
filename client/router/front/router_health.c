// SPDX-License-Identifier: Apache-2.0
// See router_health.h.
#include "router_health.h"

#include <jansson.h>

#include "client/router/pools/router_pools.h"
#include "client/router/router.h"
#include "client/router/router_exchange.h"

void router_healthz(struct router_exchange *x) {
    h1_exchange_send(&x->h1, 200, "text/plain", "ok\n", 3);
}

// Degraded is ready: requests go on. Not ready is who is leaving, and who doesn't know of any worker.
void router_readyz(struct router_exchange *x) {
    struct router *r = x->router;
    json_t *pools = json_array();
    bool degraded = false, blind = false;
    for (const struct router_pool *p = router_pools_first(r->pools); p; p = p->next) {
        const char *why = router_pool_trouble(p);
        degraded |= why != NULL;
        blind |= !p->n_workers;
        json_array_append_new(pools, json_pack("{s:s,s:b,s:I,s:s*}", "pool", p->options.name,
                                               "redis", !router_pool_degraded(p), "workers",
                                               (json_int_t)p->n_workers, "why", why));
    }
    const char *status = r->draining ? "draining"
                         : blind     ? "no workers"
                         : degraded  ? "degraded"
                                     : "ready";
    router_json(x, r->draining || blind ? 503 : 200,
                json_pack("{s:s,s:o}", "status", status, "pools", pools));
}
