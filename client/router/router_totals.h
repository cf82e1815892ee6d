// SPDX-License-Identifier: Apache-2.0
// Figures of the whole router: this process' own, or, where there are several (router_slots.h), those of all.
#ifndef ROUTER_TOTALS_H
#define ROUTER_TOTALS_H

#include "router_slots.h"

struct router;

// Shows this process' page and figures to the others. Nothing where there are none.
void router_totals_show(const struct router *r, struct evbuffer *page);
struct router_figures router_totals_figures(const struct router *r);
// The whole steps of the last minutes, as router_minutes_read gives them.
size_t router_totals_minutes(const struct router *r, int64_t now_us,
                             struct router_minutes_figures out[ROUTER_MINUTES_STEPS]);

#endif
