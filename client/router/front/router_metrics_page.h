// SPDX-License-Identifier: Apache-2.0
// GET /metrics: what was counted and what is now, in Prometheus' text form or, to who accepts it, in
// OpenMetrics'.
#ifndef ROUTER_METRICS_PAGE_H
#define ROUTER_METRICS_PAGE_H

struct router;
struct router_exchange;

// Where there are several processes, the sum of all, whichever is asked.
void router_metrics_page(struct router_exchange *x);
// Shows what this process has counted to the others; nothing where there are none.
void router_metrics_show(const struct router *r);

#endif
