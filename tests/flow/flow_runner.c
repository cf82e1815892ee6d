// SPDX-License-Identifier: Apache-2.0
// What the flow tests' run has beside Criterion's: a file of verdicts, in memory. Criterion takes no notice
// of what fails in a fini, which is where crashed servers are found, so flow_harness_end() writes them there
// and the run fails here.
#define _GNU_SOURCE // memfd_create
#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "flow_harness.h"

static char verdicts[64]; // the file's name

ReportHook(PRE_ALL)(struct criterion_test_set *tests) {
    (void)tests;
    if (access(flow_module_path(), R_OK) != 0) {
        fprintf(stderr, "no module at %s: build it, or say where in KVROUTE_MODULE\n",
                flow_module_path());
        exit(1);
    }
    int fd = memfd_create("verdicts", 0);
    snprintf(verdicts, sizeof verdicts, "/proc/%d/fd/%d", (int)getpid(), fd);
    if (fd < 0 || setenv("KVROUTE_VERDICTS", verdicts, 1) != 0) {
        perror("verdicts");
        exit(1);
    }
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats) {
    char line[256];
    FILE *f = fopen(verdicts, "r");
    while (f && fgets(line, sizeof line, f)) {
        fprintf(stderr, "server crashed in %s", line);
        stats->tests_failed++;
    }
    if (f) fclose(f);
}
