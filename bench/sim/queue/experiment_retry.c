// SPDX-License-Identifier: Apache-2.0
// Clients that don't wait but are told when to come back, and do: how many are let in then. On average they ask for
// 0.9 of what the fleet can do.
//
//   at once   twice as many as there is room for come at the same moment, and nobody until the next burst
//   waves     the load `bursts`: three times the mean rate for 15 s of 60. While a wave lasts, those who come back
//             compete with more newcomers than there is room for
#include <stdio.h>

#include "class_figures.h"
#include "experiment.h"
#include "experiment_plan.h"

static const double mean_load = 0.9;

static bool run_row(struct sim_plan plan, const char *bursts, const char *name, double wait,
                    bool whole) {
    struct sim_class_figures x;
    struct sim_stats stats;
    plan.admission.wait = wait;
    plan.admission.whole = whole;
    bool ok = sim_run(&plan, &stats);
    if (ok) {
        sim_class_figures(&stats, plan.load, 0, &x);
        printf("| %-7s | %-32s | %8zu | %7zu | ", bursts, name, x.n, x.refused);
        if (x.refused)
            printf("%10.1f%% | %4.2f", 100 * (double)x.once / (double)x.refused, x.refusals);
        else
            printf("%11s | %4s", "-", "-");
        printf(" | %8.3f | %6.2f | %5.1f%% |\n", x.ttft_p50, x.ttft_p99,
               100 * stats.busy / (stats.ended - stats.began) / stats.workers);
        fflush(stdout);
    }
    sim_stats_close(&stats);
    return ok;
}

static bool run_rows(const struct sim_plan *plan, const char *bursts) {
    return run_row(*plan, bursts, "wait in the pool", 3600, false) &&
           run_row(*plan, bursts, "come back when told", 0, false) &&
           run_row(*plan, bursts, "come back when told, in seconds", 0, true);
}

static void make_load(const struct sim_options *o, const char *name, struct bench_workload *w) {
    const struct sim_load *l = sim_load_find(name);
    sim_load_make(l, w,
                  &(struct sim_load_plan){(unsigned)o->block_size, o->requests ? o->requests : 6000,
                                          sim_options_sum(o, l->rate), o->seed});
}

// So many come at once, as often as the load allows.
static void gather(struct bench_workload *w, size_t burst, double rate) {
    for (size_t i = 0; i < w->n; i++)
        w->requests[i].at = 1 + (double)(i / burst * burst) / rate;
}

bool sim_experiment_retry(const struct sim_options *o, struct sim_server *server) {
    struct sim_spec spec = sim_experiment_spec(o, 8, 32, 0);
    size_t room = o->workers * (spec.max_requests ? spec.max_requests : 32);
    struct bench_workload once = {0}, waves = {0};
    make_load(o, "alone", &once);
    make_load(o, "bursts", &waves);
    struct sim_plan plans[] = {sim_experiment_plan(o, server, &spec, &once, 0, 0),
                               sim_experiment_plan(o, server, &spec, &waves, 0, 0)};
    double most[] = {sim_experiment_most(&plans[0]), sim_experiment_most(&plans[1])};
    bool ok = most[0] > 0 && most[1] > 0;
    if (ok) {
        double seconds = waves.requests[waves.n - 1].at - waves.requests[0].at;
        gather(&once, 2 * room, mean_load * most[0]);
        plans[1].speed = mean_load * most[1] / ((double)waves.n / seconds);
        printf("%g of what the fleet can do (%.1f and %.1f requests/s); room %llu/%llu/%llu\n\n",
               mean_load, most[0], most[1], (unsigned long long)spec.max_requests,
               (unsigned long long)spec.max_prefill, (unsigned long long)spec.max_blocks);
        printf("| bursts  | clients                          | requests | refused | let in then | "
               "told | TTFT p50 |    p99 |   use |\n|---|---|--:|--:|--:|--:|--:|--:|--:|\n");
    }
    ok = ok && run_rows(&plans[0], "at once") && run_rows(&plans[1], "waves");
    if (ok)
        printf(
            "\nLet in then: of those who were refused, how many had an engine when they came back "
            "for the first\n"
            "time. Told: how often one of them was, mean. Use: share of time in which engines "
            "work.\n");
    bench_workload_free(&once);
    bench_workload_free(&waves);
    return ok;
}
