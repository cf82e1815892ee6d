// SPDX-License-Identifier: Apache-2.0
// Goodput: how much load a fleet takes so that at least 90 % of the requests keep both targets, the time to the first
// token and the mean time between tokens (DistServe, OSDI 2024). For several such pairs of targets in one go: what a run
// was doesn't depend on them.
#ifndef SIM_GOODPUT_H
#define SIM_GOODPUT_H

#include "bench/sim/compare/sim_options.h"

enum { GOODPUT_SLOS = SIM_SLOS, GOODPUT_MAX_POINTS = 40 };

// One load, as a multiple, and what became of it.
struct goodput_point {
    double factor;
    double kept[GOODPUT_SLOS]; // shares, 0..1
    struct sim_figures figures;
    struct sim_moves moves;
};

struct goodput {
    struct goodput_point points[GOODPUT_MAX_POINTS]; // in order of their factors
    size_t n;
    // The highest factor at which enough keep them, between two points in proportion; 0: not even the least load.
    double factor[GOODPUT_SLOS];
};

// Fills *p, whose factor is given. False: the run failed.
typedef bool goodput_run(void *ctx, struct goodput_point *p);
// False: a run failed.
bool sim_goodput_search(goodput_run *run, void *ctx, struct goodput *out);
// The last point at which enough keep the k-th targets; NULL: none.
const struct goodput_point *sim_goodput_at(const struct goodput *g, size_t k);

#endif
