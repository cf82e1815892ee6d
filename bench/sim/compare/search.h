// SPDX-License-Identifier: Apache-2.0
// The yardstick: the delay rule with the constants that suit one load best, found by search. How far another
// rule is from it says what a constant-free one leaves on the table; no one rule could do as well on all.
//
// Among all constants tried, those whose share in SLO is within 0.5 points of the best share compete; the least
// mean TTFT wins. Search: from sim_fixed_default, one constant at a time by factors of 4, then 2, then √2, up
// and down, as long as one of them wins; the bits likewise by one and two. Only ratios matter, so c stays 1.
#ifndef SIM_SEARCH_H
#define SIM_SEARCH_H

#include <stdbool.h>
#include <stddef.h>

#include "bench/sim/fleet/run_stats.h"
#include "bench/sim/routers/fixed_rule.h"

// run: the figures of one set of constants, means over the search's seeds. False: it failed, or was stopped.
// tried (may be NULL) hears of each. *figures are those of *best. False: run said so.
bool sim_search(bool (*run)(void *ctx, const struct sim_fixed *f, struct sim_figures *out),
                void (*tried)(void *ctx, const struct sim_fixed *f, const struct sim_figures *x,
                              bool best),
                void *ctx, struct sim_fixed *best, struct sim_figures *figures, size_t *runs);

#endif
