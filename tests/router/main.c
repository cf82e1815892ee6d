// SPDX-License-Identifier: Apache-2.0
// The router tests' entry: Criterion's own, with one job more than there are processors, because a
// test spends much of its time waiting for processes.
#include <criterion/criterion.h>
#include <criterion/options.h>
#include <signal.h>
#include <unistd.h>

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    struct criterion_test_set *tests = criterion_initialize();
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    criterion_options.jobs = cpus > 0 ? (size_t)cpus + 1 : 2;
    int failed = 0;
    if (criterion_handle_args(argc, argv, true)) failed = !criterion_run_all_tests(tests);
    criterion_finalize(tests);
    return failed;
}
