// SPDX-License-Identifier: Apache-2.0
// The delay rule with given constants, and the search for them.
#include <criterion/criterion.h>
#include <math.h>

#include "bench/sim/compare/search.h"
#include "bench/sim/routers/routers.h"
#include "stest.h"

Test(search, the_cost_as_it_is_written) {
    static const struct sim_fixed f = {2, 8, 1, 0.5, 10, 53};
    cr_assert(sim_fixed_cost(&f, 100, 40, 3) == 2 * 100 + 40 * (8 + 3 + 0.5 * (100 + 20)) + 10 * 3);
    struct sim_fixed three = f;
    three.bits = 3;
    cr_assert(sim_fixed_cost(&three, 100, 40, 3) == 3072,
              "3070 is nearer to 6 · 512 than to 7 · 512");
    cr_assert(sim_fixed_cost(&three, 0, 0, 0) == 0);
}

struct valley {
    size_t runs, fails_at;
};

// Best at a = 1, b = 64, d = 1/16, e = 32, as far as the share in SLO allows: that falls with b.
static bool valley(void *ctx, const struct sim_fixed *f, struct sim_figures *out) {
    struct valley *v = ctx;
    if (++v->runs == v->fails_at) return false;
    double a = log2(f->a), b = log2(f->b) - 6, d = log2(f->d) + 4, e = log2(f->e) - 5;
    double bits = f->bits - 5;
    *out = (struct sim_figures){.ttft_mean = 1 + a * a + b * b + d * d + e * e + bits * bits,
                                .kept = f->b > 33 ? 0.98 : 0.99};
    return true;
}

Test(search, finds_the_least_within_half_a_point_of_the_best) {
    struct valley v = {0};
    struct sim_fixed best;
    struct sim_figures x;
    size_t runs;
    cr_assert(sim_search(valley, NULL, &v, &best, &x, &runs));
    cr_assert(runs == v.runs && runs < 200);
    cr_assert(fabs(log2(best.a)) < 0.3 && fabs(log2(best.d) + 4) < 0.3);
    cr_assert(fabs(log2(best.e) - 5) < 0.3 && best.bits == 5 && best.c == 1);
    cr_assert(best.b > 16 && best.b <= 33, "%g: no further, though it would be faster", best.b);
    cr_assert(x.kept == 0.99);
}

Test(search, stops_when_a_run_fails) {
    struct valley v = {.fails_at = 7};
    struct sim_fixed best;
    struct sim_figures x;
    size_t runs;
    cr_assert(!sim_search(valley, NULL, &v, &best, &x, &runs));
    cr_assert(runs == 6 && v.runs == 7);
}

Test(options, routers_policies_and_balancers) {
    static struct sim_options o;
    cr_assert(stest_parse(&o, "--router", "smg:8:conversation,shared:8:linear,own:delay,least",
                          NULL, NULL) == -1);
    cr_assert(o.n_specs == 4);
    cr_assert(o.specs[0].routers == 8 && o.specs[0].together);
    cr_assert(o.specs[1].routers == 8 && !o.specs[1].together);
    cr_assert(o.specs[1].policy == kvr_policy_find("linear", 6));
    cr_assert(o.specs[2].routers == 1 && o.specs[2].policy == kvr_policy_find("delay", 5));
    cr_assert(stest_parse(&o, "--router", "all", NULL, NULL) == -1 && o.n_specs > 15);
    cr_assert(stest_parse(&o, "--router", "stale", NULL, NULL) == 2);
    cr_assert(stest_parse(&o, "--router", "smg:8:nearby", NULL, NULL) == 2);
}

Test(options, loads_constants_and_searching) {
    static struct sim_options o;
    cr_assert(stest_parse(&o, "--load-factor", "0.5,1.1", NULL, NULL) == -1);
    cr_assert(o.factor.n == 2 && o.factor.v[0] == 0.5 && o.factor.v[1] == 1.1);
    cr_assert(stest_parse(&o, "--fixed", "1,2,3,4,5,6", NULL, NULL) == -1);
    cr_assert(o.fixed.a == 1 && o.fixed.e == 5 && o.fixed.bits == 6 && o.factor.n == 1);
    cr_assert(stest_parse(&o, "--fixed", "1,2,3,4,5", NULL, NULL) == 2);
    cr_assert(stest_parse(&o, "--fixed", "1,2,3,4,5,54", NULL, NULL) == 2);
    cr_assert(stest_parse(&o, "--search", "2", NULL, NULL) == -1);
    cr_assert(o.search == 2 && o.specs[o.n_specs - 1].kind == sim_router_find("fixed"));
}
