// SPDX-License-Identifier: Apache-2.0
// See rtest_processes.h.
#include "rtest_processes.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "tests/support/support_home.h"
#include "tests/support/support_process.h"

enum { RTEST_PROCESSES_WORDS = 30 };

void rtest_processes_up(int engines, const char *engine_options, const char *processes,
                        const char *const *more) {
    const char *words[RTEST_PROCESSES_WORDS] = {"--processes", processes};
    size_t n = 2;
    while (more && *more && n < RTEST_PROCESSES_WORDS - 1)
        words[n++] = *more++;
    rtest_upgrade_prepare();
    rtest_fleet_up(engines, engine_options, 1, words);
    rtest_upgrade_await_log("listening at", 1); // all of them
}

static void name_of(pid_t pid, char out[40]) {
    char path[60];
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    FILE *f = fopen(path, "r");
    if (!f || !fgets(out, 40, f)) *out = 0;
    if (f) fclose(f);
}

// Its children of its name: the other one is the leash.
size_t rtest_processes(pid_t out[RTEST_PROCESSES]) {
    char path[60], name[40], own[40];
    pid_t parent = rtest_fleet.routers[0].pid;
    size_t n = 0;
    int pid;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)parent, (int)parent);
    FILE *f = fopen(path, "r");
    cr_assert(f, "it is gone");
    name_of(parent, own);
    while (n < RTEST_PROCESSES && fscanf(f, "%d", &pid) == 1) {
        name_of(pid, name);
        if (!strcmp(name, own)) out[n++] = pid;
    }
    fclose(f);
    return n;
}

void rtest_processes_await_metric(const char *name, double value) {
    double is;
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; (is = rtest_router_metric(0, name)) != value;
         support_sleep_ms(20))
        cr_assert(kvr_clock_ms() < end, "%s is %g, not %g", name, is, value);
}

void rtest_processes_await(size_t n) {
    rtest_processes_await_metric("processes", (double)n);
}

pid_t rtest_processes_signal(int signal) {
    pid_t all[RTEST_PROCESSES];
    cr_assert(rtest_processes(all) > 0);
    kill(all[0], signal);
    return all[0];
}
