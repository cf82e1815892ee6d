// SPDX-License-Identifier: Apache-2.0
#include "router_queue_list.h"

#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/router/pools/router_pools.h"
#include "client/router/router.h"
#include "client/router/router_exchange.h"

enum { QUEUE_LIST_FIRST = 10 }; // unless `count` says otherwise

// The number that `count` is in a query; −1: it is none.
static long count_of(const char *query) {
    char *end;
    if (!query) return QUEUE_LIST_FIRST;
    if (strncmp(query, "count=", 6) != 0 || query[6] < '0' || query[6] > '9') return -1;
    long n = strtol(query + 6, &end, 10);
    return *end || n > ROUTER_QUEUE_FIRST ? -1 : n;
}

void router_queue_list(struct router_exchange *x) {
    long count = count_of(x->h1.head.query);
    if (count < 0) {
        router_error(x, 400, "BADREQUEST", "count is a whole number from 0 to 50");
        return;
    }
    json_t *pools = json_array();
    for (const struct router_pool *p = router_pools_first(x->router->pools); p; p = p->next)
        json_array_append_new(
            pools, json_pack("{s:s,s:b,s:I,s:o}", "pool", p->options.name, "degraded",
                             router_pool_degraded(p), "age_ms",
                             (json_int_t)(p->seen_us ? (kvr_clock_us() - p->seen_us) / 1000 : -1),
                             "queue", router_queue_json(p, (size_t)count)));
    router_json(x, 200, json_pack("{s:o}", "pools", pools));
}
