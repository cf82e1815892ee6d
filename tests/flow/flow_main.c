// SPDX-License-Identifier: Apache-2.0
// The flow tests' entry: Criterion's own, with two additions. One job more than there are processors,
// because a test and its servers spend much of their time waiting for each other. And a file of
// verdicts, in memory: Criterion takes no notice of what fails in a fini, which is where crashed
// servers are found, so flow_harness_end() writes them there and the run fails here.
#define _GNU_SOURCE // memfd_create
#include <criterion/criterion.h>
#include <criterion/options.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "flow_harness.h"

int main(int argc, char **argv) {
    if (access(flow_module_path(), R_OK) != 0) {
        fprintf(stderr, "no module at %s: build it, or say where in KVROUTE_MODULE\n",
                flow_module_path());
        return 1;
    }
    struct criterion_test_set *tests = criterion_initialize();
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    criterion_options.jobs = cpus > 0 ? (size_t)cpus + 1 : 2;

    char verdicts[64];
    int fd = memfd_create("verdicts", 0);
    snprintf(verdicts, sizeof verdicts, "/proc/%d/fd/%d", (int)getpid(), fd);
    if (fd < 0 || setenv("KVROUTE_VERDICTS", verdicts, 1) != 0) {
        perror("verdicts");
        return 1;
    }
    int failed = 0;
    if (criterion_handle_args(argc, argv, true)) failed = !criterion_run_all_tests(tests);
    criterion_finalize(tests);

    char line[256];
    FILE *f = fopen(verdicts, "r");
    while (f && fgets(line, sizeof line, f)) {
        fprintf(stderr, "server crashed in %s", line);
        failed = 1;
    }
    return failed;
}
