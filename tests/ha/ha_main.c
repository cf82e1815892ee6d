// SPDX-License-Identifier: Apache-2.0
// The entry: Criterion's own, with one job more than there are processors, because scenarios spend
// much of their time waiting; and a look that no scenario of the table is without its test.
#include <criterion/criterion.h>
#include <criterion/options.h>
#include <stdio.h>
#include <unistd.h>

#include "ha_scenario.h"

int main(int argc, char **argv) {
    struct criterion_test_set *tests = criterion_initialize();
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    criterion_options.jobs = cpus > 0 ? (size_t)cpus + 1 : 2;
    if (tests->tests != ha_n_scenarios) {
        fprintf(stderr, "%zu scenarios, %zu tests\n", ha_n_scenarios, tests->tests);
        return 1;
    }
    int failed = 0;
    if (criterion_handle_args(argc, argv, true)) failed = !criterion_run_all_tests(tests);
    criterion_finalize(tests);
    return failed;
}
