// SPDX-License-Identifier: Apache-2.0
// Weights of 4:1 when both classes always have somebody waiting: the shares of tokens that they get, with one queue for
// all routers and with a queue in each, whatever requests come to which router.
#include <stdio.h>

#include "bench/sim/loads/streams.h"
#include "bench/sim/routers/routers.h"
#include "class_figures.h"
#include "experiment.h"
#include "experiment_plan.h"

static const double warmup = 60;

static void make_load(const struct sim_options *o, const struct sim_spec *spec, double seconds,
                      struct bench_workload *w) {
    *w = (struct bench_workload){.block_size = (unsigned)o->block_size};
    for (uint32_t c = 0; c < 2; c++)
        sim_streams_add(
            w, &(struct sim_streams){
                   // As many as have room, twice: some wait in each class whatever the other has.
                   .n = (unsigned)(o->workers * spec->max_requests * 2),
                   .isl = 1000,
                   .osl = 200,
                   .ramp = 10,
                   .until = warmup + seconds,
                   .pace = sim_experiment_pace(o),
                   .service_class = c,
                   .seed = o->seed,
               });
}

static bool run_row(const struct sim_options *o, struct sim_server *server,
                    const struct sim_spec *spec, const struct bench_workload *load, double skew,
                    const char *name) {
    static const struct sim_class classes[] = {{"four", 0, 4, 100}, {"one", 0, 1, 100}};
    struct sim_plan plan =
        sim_experiment_plan(o, server, spec, load, warmup, sim_experiment_seconds(o, 300));
    struct sim_class_figures x[2];
    struct sim_stats stats;
    plan.skew = skew;
    plan.admission.classes = classes;
    plan.admission.n_classes = 2;
    bool ok = sim_run(&plan, &stats);
    if (ok) {
        for (uint32_t c = 0; c < 2; c++)
            sim_class_figures(&stats, load, c, &x[c]);
        double share = x[0].charged / (x[0].charged + x[1].charged);
        const double due = 0.8;
        printf("| %-20s | %7u | %4g | %6.3f : 1 | %6.2f%% | %+6.2f%% | %+6.2f%% |\n", name,
               spec->routers, skew, x[0].charged / x[1].charged, 100 * share,
               100 * (share / due - 1), 100 * ((1 - share) / (1 - due) - 1));
        fflush(stdout);
    }
    sim_stats_close(&stats);
    return ok;
}

bool sim_experiment_shares(const struct sim_options *o, struct sim_server *server) {
    static const unsigned numbers[] = {1, 4, 16};
    static const double skews[] = {0, 1, 4};
    struct sim_spec spec = sim_experiment_spec(o, 1, 32, 0);
    struct bench_workload load;
    bool ok = true;
    make_load(o, &spec, sim_experiment_seconds(o, 300), &load);
    printf("two classes of weights 4 and 1, both with somebody waiting all the time\n\n");
    printf(
        "| queue                | routers | skew |     shares | of four | off by | one's by |\n");
    printf("|---|--:|--:|--:|--:|--:|--:|\n");
    for (int own = 0; own < 2 && ok; own++) {
        if (own) spec.kind = sim_router_find("events");
        for (size_t i = 0; i < 3 && ok; i++)
            for (size_t k = 0; k < (i ? 3 : 1) && ok; k++) {
                spec.routers = numbers[i];
                ok = run_row(o, server, &spec, &load, skews[k],
                             own ? "one in each router" : "one for all");
            }
    }
    bench_workload_free(&load);
    return ok;
}
