// SPDX-License-Identifier: Apache-2.0
// The yardstick: the delay rule with the constants that suit one load best, found by search. How far another
// rule is from it says what a constant-free one leaves on the table; no one rule could do as well on all.
//
//   u    = tokens of the prompt that the engine neither holds nor computes for a live request
//   cost = a · Q + u · (b + c · requests + d · (Q + u / 2)) + e · requests      Q: queued prefill tokens
//
// to so many significant bits; of equals the one chosen longest ago. Only ratios matter, so c is 1 in a
// search.
#ifndef FLEET_SEARCH_H
#define FLEET_SEARCH_H

#include <stdbool.h>
#include <stddef.h>

#include "stats.h"

struct fixed {
    double a, b, c, d, e;
    double bits; // 1 to 53; 53: as it is
};
enum { FIXED_NUMBERS = 6 };

extern const struct fixed fixed_default;
double fixed_cost(const struct fixed *f, double queued, double own, double requests);

// Among all constants tried, those whose share in SLO is within 0.5 points of the best share compete; the least
// mean TTFT wins. Search: from fixed_default, one constant at a time by factors of 4, then 2, then √2, up and
// down, as long as one of them wins; the bits likewise by one and two.

// run: the figures of one set of constants, means over the search's seeds. False: it failed, or was stopped.
// tried (may be NULL) hears of each. *figures are those of *best. False: run said so.
bool search_constants(bool (*run)(void *ctx, const struct fixed *f, struct figures *out),
                      void (*tried)(void *ctx, const struct fixed *f, const struct figures *x,
                                    bool best),
                      void *ctx, struct fixed *best, struct figures *figures, size_t *runs);

#endif
