// SPDX-License-Identifier: Apache-2.0
// A tenant who may use 100,000 tokens a second and asks for more: what he gets, and by how much that ever runs ahead
// of his rate. Buckets in each router are beside it: the same in all of them, or a part in each.
#include <stdio.h>

#include "bench/sim/routers/routers.h"
#include "class_figures.h"
#include "experiment.h"
#include "experiment_plan.h"

static const double warmup = 30;
static const double mean_tokens = 2832; // of a request of the load `alone`
enum { QUOTA = 100000, QUOTA_FLOW = 1 };

struct quota_row {
    const char *name;
    double asked; // times the quota
    double skew;
    bool own, part; // a bucket in each router; a part of it
};

static const struct quota_row rows[] = {
    {"one for all", 1.5, 0, false, false},
    {"one for all", 1.5, 2, false, false},
    {"one for all", 10, 0, false, false},
    {"the same in each router", 1.5, 0, true, false},
    {"the same in each router", 10, 0, true, false},
    {"a part in each router", 1.5, 0, true, true},
    {"a part in each router", 1.5, 2, true, true},
};
enum { QUOTA_ROWS = sizeof rows / sizeof *rows };

static void make_load(const struct sim_options *o, double asked, double seconds,
                      struct bench_workload *w) {
    double rate = asked * QUOTA / mean_tokens;
    sim_load_make(sim_load_find("alone"), w,
                  &(struct sim_load_plan){(unsigned)o->block_size,
                                          (size_t)(rate * (warmup + seconds)), rate, o->seed});
    for (size_t i = 0; i < w->n; i++)
        w->requests[i].flow = QUOTA_FLOW;
}

static bool run_row(const struct sim_options *o, struct sim_server *server,
                    const struct sim_spec *spec, const struct quota_row *row) {
    struct sim_flow flow = {.weight = 1, .rate = row->part ? QUOTA / spec->routers : QUOTA};
    double seconds = sim_experiment_seconds(o, 90);
    struct bench_workload load = {0};
    struct sim_stats stats;
    make_load(o, row->asked, seconds, &load);
    struct sim_plan plan = sim_experiment_plan(o, server, spec, &load, warmup, seconds);
    plan.skew = row->skew;
    plan.admission.by_flow = true;
    plan.admission.flows = &flow;
    plan.admission.n_flows = 1;
    if (row->own) plan.kind = sim_router_find("events");
    bool ok = sim_run(&plan, &stats);
    if (ok) {
        double mean, ahead = sim_ahead(&stats, &load, QUOTA, &mean);
        printf("| %-23s | %7u | %4g | %5g | %8.0f | %6.1f%% | %10.0f | %10.2f |\n", row->name,
               spec->routers, row->skew, row->asked, mean, 100 * mean / QUOTA, ahead,
               ahead / QUOTA);
        fflush(stdout);
    }
    sim_stats_close(&stats);
    bench_workload_free(&load);
    return ok;
}

bool sim_experiment_quota(const struct sim_options *o, struct sim_server *server) {
    struct sim_spec spec = sim_experiment_spec(o, 8, 0, 0);
    bool ok = true;
    printf("one tenant, 100,000 tokens/s and a second's worth at once\n\n");
    printf("| %-23s | routers | skew | asked | tokens/s |     use | most ahead | in bursts  |\n",
           "bucket");
    printf("|---|--:|--:|--:|--:|--:|--:|--:|\n");
    for (size_t i = 0; i < QUOTA_ROWS && ok; i++)
        ok = run_row(o, server, &spec, &rows[i]);
    if (ok)
        printf(
            "\nAsked: times the quota. Use: of the quota. Most ahead: tokens that were let in over "
            "any span beyond\n"
            "the rate times that span, at most.\n");
    return ok;
}
