// SPDX-License-Identifier: Apache-2.0
// kvroute-drill: plays what can break, and shows what came of it in one table.
#define _GNU_SOURCE // prctl
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "ha_process.h"
#include "ha_scenario.h"

static const char usage[] =
    "usage: kvroute-drill [--list] [name …]\n\n"
    "Breaks real Redis servers under load and compares the pool with what clients and publishers\n"
    "were told. Plays all scenarios, or those named; --list names them. Exit status 1: "
    "something\n"
    "was lost for good, or a client saw an error.\n";

static void list(void) {
    for (size_t i = 0; i < ha_n_scenarios; i++)
        printf("%-18s %s\n", ha_scenarios[i].name, ha_scenarios[i].says);
}

// In a process of its own, which may give up.
static void play(const struct ha_scenario *s, struct ha_result *v) {
    pid_t parent = getpid();
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        perror("kvroute-drill: fork");
        return;
    }
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(HA_BROKEN);
        ha_scenario_run(s, v);
        _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status)) printf("(ended by signal %d) ", WTERMSIG(status));
}

static bool passed(const struct ha_scenario *s, const struct ha_result *v) {
    return v->complete && !v->unrepaired && !v->errors && (v->lost || !s->loses);
}

static void print_result(const struct ha_scenario *s, const struct ha_result *v, int64_t ms) {
    printf("%s in %.1f s: %" PRIu64 " requests", passed(s, v) ? "kept" : "NOT KEPT",
           (double)ms / 1000, v->requests);
    if (v->degraded) printf(", %" PRIu64 " answers without a primary", v->degraded);
    if (v->timeouts) printf(", %" PRIu64 " timeouts", v->timeouts);
    if (v->faults[0]) printf("; %s", v->faults);
    if (v->first_error[0]) printf("; first error: %s", v->first_error);
    if (!v->complete) printf("; not played to its end");
    if (s->loses && !v->lost) printf("; nothing was lost, so nothing is shown");
    printf("\n");
}

static void print_table(const struct ha_result *verdicts, const bool *played) {
    printf("\n%-18s %-38s %9s %7s %9s %11s %15s %7s\n", "fault", "killed", "in flight", "lost",
           "repaired", "unrepaired", "ms without", "errors");
    for (size_t i = 0; i < ha_n_scenarios; i++) {
        const struct ha_result *v = &verdicts[i];
        char bound[24] = "";
        if (!played[i]) continue;
        if (ha_scenarios[i].bound)
            snprintf(bound, sizeof bound, " < %" PRId64, ha_scenarios[i].bound);
        printf("%-18s %-38s %9" PRIu64 " %6" PRIu64 "%c %9" PRIu64 " %11" PRIu64 " %8" PRId64
               "%-7s %7" PRIu64 "\n",
               ha_scenarios[i].name, v->killed, v->in_flight, v->lost, v->counted ? '*' : ' ',
               v->repaired, v->unrepaired, v->ms_without, bound, v->errors);
    }
    printf(
        "\nlost: acknowledged writes that Redis lost; * counted in the server itself, else as the "
        "handles noticed.\nms without: the longest time that a client, always asking, had no "
        "answer; < the goal where Sentinels\nfail over, down-after + 2000 ms.\n");
}

int main(int argc, char **argv) {
    bool chosen[64] = {false}, any = false, failed = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--list") == 0) {
            list();
            return 0;
        }
        const struct ha_scenario *s = ha_scenario_find(argv[i]);
        if (!s) {
            fprintf(stderr, "%s%s: no scenario of that name\n", usage, argv[i]);
            return 2;
        }
        chosen[s - ha_scenarios] = any = true;
    }
    struct ha_result *verdicts = mmap(NULL, ha_n_scenarios * sizeof *verdicts,
                                      PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (verdicts == MAP_FAILED) {
        perror("kvroute-drill");
        return 2;
    }
    for (size_t i = 0; i < ha_n_scenarios; i++) {
        const struct ha_scenario *s = &ha_scenarios[i];
        if (!any) chosen[i] = true;
        if (!chosen[i]) continue;
        printf("%-18s %s … ", s->name, s->says);
        int64_t from = kvr_clock_ms();
        play(s, &verdicts[i]);
        print_result(s, &verdicts[i], kvr_clock_ms() - from);
        failed |= !passed(s, &verdicts[i]);
    }
    print_table(verdicts, chosen);
    return failed;
}
