// SPDX-License-Identifier: Apache-2.0
// The entry of suites that start processes: Criterion's own, with one job more than there are
// processors, because their tests spend much of their time waiting.
#include <criterion/criterion.h>
#include <criterion/options.h>
#include <signal.h>
#include <unistd.h>

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN); // as libkvroute's caveats ask; the tests' processes inherit it
    struct criterion_test_set *tests = criterion_initialize();
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    criterion_options.jobs = cpus > 0 ? (size_t)cpus + 1 : 2;
    int failed = 0;
    if (criterion_handle_args(argc, argv, true)) failed = !criterion_run_all_tests(tests);
    criterion_finalize(tests);
    return failed;
}
