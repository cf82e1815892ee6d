// SPDX-License-Identifier: Apache-2.0
// The delay rule with constants in place of what it measures. With constants that were searched for one load
// (compare/search.h) it is the yardstick for rules without any.
//
//   u    = tokens of the prompt that the engine neither holds nor computes for a live request
//   cost = a · Q + u · (b + c · requests + d · (Q + u / 2)) + e · requests      Q: queued prefill tokens
//
// to so many significant bits; of equals the one chosen longest ago. Only ratios matter.
#ifndef SIM_FIXED_RULE_H
#define SIM_FIXED_RULE_H

struct sim_fixed {
    double a, b, c, d, e;
    double bits; // 1 to 53; 53: as it is
};

extern const struct sim_fixed sim_fixed_default;
double sim_fixed_cost(const struct sim_fixed *f, double queued, double own, double requests);

#endif
