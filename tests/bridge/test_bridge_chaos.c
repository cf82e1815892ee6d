// SPDX-License-Identifier: Apache-2.0
// The chaos test in short; kvroute-bridge-chaos is the long form.
#include <criterion/criterion.h>

#include "btest_chaos.h"

Test(chaos, in_short, .timeout = 300) {
    struct btest_chaos_plan plan = {.minutes = 2, .seed = 5, .quiet = true};
    struct btest_chaos_result r;
    btest_chaos_run(&plan, &r);
    cr_expect_geq(r.rests, 1);
    cr_expect_geq(r.compared, 1000);
}
