// SPDX-License-Identifier: Apache-2.0
// See status.h. The page is page.html, put into the program by cmake/embed.cmake.
#include "status.h"

#include <jansson.h>

#include "client/router/api/router_workers.h"
#include "client/router/pools/router_pools.h"
#include "metrics.h"
#include "page.h"
#include "router.h"
#include "server.h"

void status_handle(struct exchange *x) {
    const struct router *r = x->router;
    struct metrics_sums sums;
    struct server_stats st;
    json_t *pools = json_array();
    metrics_sums(r->metrics, &sums);
    server_stats(r->server, &st); // one of the requests is this
    for (const struct router_pool *p = router_pools_first(r->pools); p; p = p->next)
        json_array_append_new(pools, router_workers_pool(p));
    exchange_header_set(x, "Cache-Control", "no-store");
    exchange_json(x, 200,
                  json_pack("{s:s,s:I,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:o}", "version", KVROUTE_VERSION,
                            "uptime_ms", (json_int_t)((now_us() - r->began_us) / 1000), "draining",
                            r->draining, "connections", (json_int_t)st.connections, "requests",
                            (json_int_t)st.requests - 1, "requests_total",
                            (json_int_t)sums.requests, "selects_total", (json_int_t)sums.selects,
                            "degraded_total", (json_int_t)sums.degraded, "retries_total",
                            (json_int_t)sums.retries, "pools", pools));
}

void page_handle(struct exchange *x) {
    exchange_header_set(x, "Cache-Control", "no-cache");
    exchange_header_set(x, "Content-Security-Policy",
                        "default-src 'none'; script-src 'unsafe-inline'; style-src "
                        "'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; "
                        "form-action 'none'; frame-ancestors 'none'");
    exchange_header_set(x, "X-Content-Type-Options", "nosniff");
    exchange_send(x, 200, "text/html; charset=utf-8", page_html, page_html_size);
}
