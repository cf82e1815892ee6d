// SPDX-License-Identifier: Apache-2.0
// GET /metrics: what was counted and what is now, in Prometheus' text form or, to who accepts it, in
// OpenMetrics'.
#ifndef ROUTER_METRICS_PAGE_H
#define ROUTER_METRICS_PAGE_H

struct router_exchange;

void router_metrics_page(struct router_exchange *x);

#endif
