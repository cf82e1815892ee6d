// SPDX-License-Identifier: Apache-2.0
// What the experiments are made of; see experiment_plan.h.
#include "experiment_plan.h"

#include <math.h>

#include "bench/sim/routers/routers.h"

struct sim_spec sim_experiment_spec(const struct sim_options *o, unsigned routers,
                                    uint64_t max_requests, uint64_t max_prefill) {
    if (o->specs[0].queue) return o->specs[0];
    return (struct sim_spec){.kind = sim_router_find("one"),
                             .routers = routers,
                             .policy = o->plan.rule.policy,
                             .queue = true,
                             .max_requests = max_requests,
                             .max_prefill = max_prefill};
}

struct sim_plan sim_experiment_plan(const struct sim_options *o, struct sim_server *server,
                                    const struct sim_spec *spec, const struct bench_workload *load,
                                    double warmup, double seconds) {
    struct sim_plan plan = o->plan;
    plan.kind = spec->kind;
    plan.routers = spec->routers;
    plan.rule.policy = spec->policy;
    plan.load = load;
    plan.speed = 1;
    plan.from = warmup;
    plan.until = seconds > 0 ? warmup + seconds : 0;
    plan.seed = o->seed;
    plan.fixed = &o->fixed;
    plan.server = server;
    plan.title = o->experiment ? o->experiment : "experiment";
    plan.admission.on = true;
    plan.admission.outputs = true;
    plan.admission.max_requests = spec->max_requests;
    plan.admission.max_prefill = spec->max_prefill;
    plan.admission.max_blocks = spec->max_blocks;
    return plan;
}

double sim_experiment_most(const struct sim_plan *plan) {
    struct sim_plan p = *plan;
    struct sim_stats stats;
    p.speed = 1e6;
    p.from = p.until = 0;
    bool ok = sim_run(&p, &stats);
    double most = ok ? (double)stats.n / (stats.ended - stats.began) : -1;
    sim_stats_close(&stats);
    return most;
}

double sim_experiment_seconds(const struct sim_options *o, double otherwise) {
    return o->duration > 0 ? o->duration : otherwise;
}

double sim_experiment_pace(const struct sim_options *o) {
    double least = INFINITY;
    for (size_t w = 0; w < o->workers; w++) {
        const struct sim_model *m = &o->engines[w].model;
        least = fmin(least, (m->fixed + m->batch) / o->engines[w].speed);
    }
    return least;
}
