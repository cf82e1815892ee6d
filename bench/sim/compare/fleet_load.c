// SPDX-License-Identifier: Apache-2.0
// Loads as the command line wants them; see fleet_load.h.
#include "fleet_load.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/common/trace.h"
#include "bench/sim/loads/decision_load.h"
#include "bench/sim/loads/users.h"

double sim_load_rate(const struct sim_options *o) {
    if (o->rate > 0) return o->rate;
    return sim_options_sum(o, o->load->rate);
}

bool sim_load_same(const struct sim_options *o) {
    return (o->trace || o->decisions) && !o->users;
}

// Seconds a token at least, with the fastest engine.
static double least_pace(const struct sim_options *o) {
    double least = INFINITY;
    for (size_t w = 0; w < o->workers; w++)
        least = fmin(least, o->engines[w].model.fixed / o->engines[w].speed);
    return least;
}

static void make_users(struct bench_workload *w, const struct sim_options *o, double factor,
                       uint64_t seed) {
    struct bench_workload sessions = *w;
    if (!sessions.closed) {
        fprintf(stderr, "kvroute-sim: --sessions takes a load whose requests wait for others\n");
        exit(2);
    }
    sim_users_make(w, &sessions,
                   &(struct sim_users_plan){
                       .users = (unsigned)fmax(o->users * factor + 0.5, 1),
                       .ramp = o->ramp / o->speed,
                       .until = o->warmup + o->duration,
                       .pace = least_pace(o),
                       .seed = seed,
                       .fresh = o->fresh,
                   });
    bench_workload_free(&sessions);
}

void sim_load_open(struct bench_workload *w, const struct sim_options *o, double factor,
                   uint64_t seed) {
    bench_workload_free(w);
    if (o->decisions)
        sim_decision_load(w, &o->logged, o->requests);
    else if (o->trace)
        bench_trace_read(w, o->trace, (unsigned)o->block_size, o->users ? 0 : o->requests);
    else
        sim_load_make(o->load, w,
                      &(struct sim_load_plan){(unsigned)o->block_size, o->requests,
                                              sim_load_rate(o) * factor, seed});
    for (size_t i = 0; i < w->n; i++)
        if (!w->requests[i].osl) w->requests[i].osl = 1;
    if (o->users) make_users(w, o, factor, seed);
    for (size_t i = 0; i < w->n; i++)
        w->requests[i].flow = 1 + w->requests[i].session;
}

double sim_load_speed(const struct sim_options *o, double factor) {
    return o->trace || o->decisions ? o->speed * (o->users ? 1 : factor) : 1;
}

double sim_load_seconds(const struct sim_options *o, const struct bench_workload *w,
                        double factor) {
    return (w->requests[w->n - 1].at - w->requests[0].at) / sim_load_speed(o, factor);
}

void sim_load_plan_run(struct sim_plan *plan, const struct sim_options *o,
                       const struct bench_workload *w, double factor) {
    plan->load = w;
    plan->speed = sim_load_speed(o, factor);
    plan->from = o->warmup;
    plan->until = o->duration > 0 ? o->warmup + o->duration : 0;
    plan->max_measured = o->users ? o->requests : 0;
}
