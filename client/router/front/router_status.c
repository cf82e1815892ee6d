// SPDX-License-Identifier: Apache-2.0
// See router_status.h. The page is router_page.html, put into the program by cmake/embed.cmake.
#include "router_status.h"

#include <jansson.h>

#include "client/common/clock.h"
#include "client/router/api/router_workers.h"
#include "client/router/pools/router_pools.h"
#include "client/router/router.h"
#include "client/router/router_exchange.h"
#include "client/router/router_metrics.h"
#include "router_page.h"

void router_status(struct router_exchange *x) {
    const struct router *r = x->router;
    const struct router_metrics *m = r->metrics;
    struct h1_server_stats st;
    json_t *pools = json_array();
    h1_server_stats(r->server, &st); // one of the requests is this
    for (const struct router_pool *p = router_pools_first(r->pools); p; p = p->next)
        json_array_append_new(pools, router_workers_pool(p));
    h1_exchange_header(&x->h1, "Cache-Control", "no-store");
    router_json(x, 200,
                json_pack("{s:s,s:I,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:o}", "version", KVROUTE_VERSION,
                          "uptime_ms", (json_int_t)((kvr_clock_us() - r->began_us) / 1000),
                          "draining", r->draining, "connections", (json_int_t)st.connections,
                          "requests", (json_int_t)st.requests - 1, "requests_total",
                          (json_int_t)m->requests, "selects_total", (json_int_t)m->select.n,
                          "degraded_total", (json_int_t)m->degraded, "retries_total",
                          (json_int_t)m->retries, "pools", pools));
}

void router_healthz(struct router_exchange *x) {
    h1_exchange_send(&x->h1, 200, "text/plain", "ok\n", 3);
}

// Not ready: a router that is draining, or knows of no worker. A degraded one is ready: requests go on.
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

void router_page(struct router_exchange *x) {
    h1_exchange_header(&x->h1, "Cache-Control", "no-cache");
    h1_exchange_header(&x->h1, "Content-Security-Policy",
                       "default-src 'none'; script-src 'unsafe-inline'; style-src "
                       "'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; "
                       "form-action 'none'; frame-ancestors 'none'");
    h1_exchange_header(&x->h1, "X-Content-Type-Options", "nosniff");
    h1_exchange_send(&x->h1, 200, "text/html; charset=utf-8", router_page_html,
                     router_page_html_size);
}
