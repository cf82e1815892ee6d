// SPDX-License-Identifier: Apache-2.0
// The delay rule with constants; see fixed_rule.h.
#include "fixed_rule.h"

#include <math.h>

// What `delay` had before it measured them, and three bits.
const struct sim_fixed sim_fixed_default = {4, 8, 1, 1.0 / 128, 256, 3};

static double round_to(double x, double bits) {
    int exponent;
    if (bits >= 53 || x == 0) return x;
    double scale = ldexp(1, (int)bits), m = frexp(x, &exponent);
    return ldexp(nearbyint(m * scale) / scale, exponent);
}

double sim_fixed_cost(const struct sim_fixed *f, double queued, double own, double requests) {
    double later = f->d * (queued + own / 2);
    double cost = f->a * queued + own * (f->b + f->c * requests + later) + f->e * requests;
    return round_to(cost, f->bits);
}
