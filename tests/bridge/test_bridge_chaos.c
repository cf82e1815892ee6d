// SPDX-License-Identifier: Apache-2.0
// The storm in short; kvroute-bridge-storm is the long form.
#include <criterion/criterion.h>

#include "btest_chaos.h"

Test(storm, in_short, .timeout = 300) {
    struct btest_chaos_plan plan = {.minutes = 2, .seed = 5, .quiet = true};
    struct btest_chaos_result r;
    btest_chaos_run(&plan, &r);
    cr_expect_geq(r.rests, 1);
    cr_expect_geq(r.compared, 1000);
}
