// SPDX-License-Identifier: Apache-2.0
// kvroute-sim: a fleet of inference engines in virtual time, to compare routers. See docs/simulator.md.
//
// Files: load*, talk (what arrives); model, engine, kv (the engines); queue, fleet (virtual time);
// router*, local, core, shared (who chooses, and by what); stats, results, table, json, plots (what comes
// out; charts are in bench/common); options.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "memory.h"
#include "options.h"
#include "results.h"
#include "shared.h"
#include "stop.h"
#include "users.h"

struct program {
    struct options o;
    struct workload loads[MAX_SEEDS]; // by seed
    struct shared shared;
    struct results results;
    double made_for; // the factor that the loads were made for
};

// ---- The load ------------------------------------------------------------------------------------

static double rate_of(const struct options *o) {
    if (o->rate > 0) return o->rate;
    return options_sum(o, o->load->rate);
}

// Whether every seed has the same load.
static bool same_for_all(const struct options *o) {
    return o->trace && !o->users;
}

// Seconds a token at least, with the fastest engine.
static double least_pace(const struct options *o) {
    double least = INFINITY;
    for (size_t w = 0; w < o->workers; w++)
        least = fmin(least, o->engines[w].model.fixed / o->engines[w].speed);
    return least;
}

static void make_users(struct workload *w, const struct options *o, double factor, uint64_t seed) {
    struct workload sessions = *w;
    if (!sessions.closed) {
        fprintf(stderr, "kvroute-sim: --sessions takes a load whose requests wait for others\n");
        exit(2);
    }
    users_make(w, &sessions,
               &(struct users_plan){
                   .users = (unsigned)(o->users * factor + 0.5),
                   .ramp = o->ramp / o->speed,
                   .until = o->warmup + o->duration,
                   .pace = least_pace(o),
                   .seed = seed,
                   .fresh = o->fresh,
               });
    workload_free(&sessions);
}

static void make_load(struct workload *w, const struct options *o, double factor, uint64_t seed) {
    workload_free(w);
    if (o->trace)
        workload_trace(w, o->trace, (unsigned)o->block_size, o->users ? 0 : o->requests);
    else
        load_make(
            o->load, w,
            &(struct load_plan){(unsigned)o->block_size, o->requests, rate_of(o) * factor, seed});
    for (size_t i = 0; i < w->n; i++)
        if (!w->requests[i].osl) w->requests[i].osl = 1;
    if (o->users) make_users(w, o, factor, seed);
}

// A generated load is made anew at another rate, and users in another number; a trace alone is the same,
// faster, and for every seed.
static void make_loads(struct program *p, double factor) {
    const struct options *o = &p->o;
    if (p->loads[0].n && (same_for_all(o) || p->made_for == factor)) return;
    for (uint64_t i = 0; i < (same_for_all(o) ? 1 : o->seeds); i++)
        make_load(&p->loads[i], o, factor, o->seed + i);
    p->made_for = factor;
}

static void describe(struct program *p) {
    const struct workload *w = &p->loads[0];
    double blocks = 0;
    for (size_t i = 0; i < w->n; i++)
        blocks += w->requests[i].blocks;
    p->results.o = &p->o;
    p->results.load = w->what;
    p->results.requests = w->n;
    p->results.blocks = blocks / (double)w->n;
    p->results.seconds =
        (w->requests[w->n - 1].at - w->requests[0].at) / (p->o.trace ? p->o.speed : 1);
}

// ---- Runs ----------------------------------------------------------------------------------------

static void name_row(struct row *row) {
    int n = snprintf(row->name, sizeof row->name, "%s", row->spec.kind->name);
    if (row->spec.kind->scores)
        n += snprintf(row->name + n, sizeof row->name - (size_t)n, ", %s",
                      kvr_policies[row->spec.policy].name);
    if (row->series != SCALED && row->spec.routers > 1)
        snprintf(row->name + n, sizeof row->name - (size_t)n, " (%u)", row->spec.routers);
}

// One run, of one seed.
static bool run_seed(struct program *p, struct row *row, uint64_t i) {
    const struct options *o = &p->o;
    const struct workload *load = &p->loads[same_for_all(o) ? 0 : i];
    bool compared = row->series == COMPARED;
    struct run_plan plan = {
        .kind = row->spec.kind,
        .load = load,
        .speed = o->trace ? o->speed * (o->users ? 1 : row->factor) : 1,
        .from = o->warmup,
        .most = o->users ? o->requests : 0,
        .until = o->duration > 0 ? o->warmup + o->duration : 0,
        .model = &o->model,
        .blocks = o->blocks,
        .host = o->host,
        .engines = o->engines,
        .n_engines = o->workers,
        .workers = (unsigned)o->workers,
        .routers = row->spec.routers,
        .hop = o->hop,
        .delay = o->delay,
        .notice = o->notice,
        .sync = o->sync,
        .age = o->age,
        .affinity = (unsigned)o->affinity,
        .seed = o->seed + i,
        .rule = o->rule,
        .words = o->words,
        .incidents = o->incidents,
        .n_incidents = compared ? o->n_incidents : 0,
        .shared = &p->shared,
        .title = row->name,
    };
    plan.rule.policy = row->spec.policy;
    struct stats stats;
    bool ok = fleet_run(&plan, &stats);
    if (ok) {
        struct figures f;
        stats_figures(&stats, load, &o->slo, &f);
        figures_add(&row->figures, &f);
        if (compared && o->stretches && i == 0) {
            row->stretches = memory_take(o->stretches, sizeof *row->stretches);
            stats_stretches(&stats, load, &o->slo, row->stretches, o->stretches);
        }
    }
    stats_close(&stats);
    return ok;
}

static bool run_one(struct program *p, enum series series, struct spec spec, double factor) {
    int64_t start = clock_ns();
    struct row row = {.series = series, .spec = spec, .factor = factor};
    name_row(&row);
    make_loads(p, factor);
    for (uint64_t i = 0; i < p->o.seeds; i++)
        if (!run_seed(p, &row, i)) return false;
    figures_divide(&row.figures, p->o.seeds);
    *results_add(&p->results) = row;
    table_row(stdout, &row);
    fprintf(stderr, "%-28s %4.2f x: %.1f s\n", row.name, factor,
            (double)(clock_ns() - start) / 1e9);
    return true;
}

static bool compare(struct program *p) {
    make_loads(p, 1);
    describe(p);
    table_head(stdout, &p->results);
    table_columns(stdout);
    for (size_t i = 0; i < p->o.n_specs; i++)
        if (!run_one(p, COMPARED, p->o.specs[i], 1)) return false;
    table_foot(stdout, &p->results);
    return true;
}

static bool sweep(struct program *p) {
    for (size_t k = 0; k < p->o.n_sweep; k++) {
        printf("\nThe load %g times:\n\n", p->o.sweep[k]);
        table_columns(stdout);
        for (size_t i = 0; i < p->o.n_specs; i++)
            if (!run_one(p, SWEPT, p->o.specs[i], p->o.sweep[k])) return false;
    }
    return true;
}

// Each kind once, whatever number of routers it was named with.
static bool scale(struct program *p) {
    for (size_t k = 0; k < p->o.n_scale; k++) {
        printf("\n%g routers:\n\n", p->o.scale[k]);
        table_columns(stdout);
        for (size_t i = 0; i < p->o.n_specs; i++) {
            struct spec s = p->o.specs[i];
            bool seen = false;
            for (size_t j = 0; j < i; j++)
                seen |= p->o.specs[j].kind == s.kind && p->o.specs[j].policy == s.policy;
            s.routers = (unsigned)p->o.scale[k];
            if (!seen && !run_one(p, SCALED, s, 1)) return false;
        }
    }
    return true;
}

int main(int argc, char **argv) {
    struct program *p = memory_take(1, sizeof *p);
    int status = options_parse(&p->o, argc, argv);
    if (status < 0) {
        stop_watch();
        p->shared.server.plan = (struct server_plan){.module = p->o.module, .server = p->o.server};
        bool ok = compare(p) && sweep(p) && scale(p);
        if (ok && p->o.json) ok = json_write(&p->results, p->o.json);
        if (ok && p->o.plots) ok = plots_write(&p->results, p->o.plots);
        shared_stop(&p->shared);
        status = stop_asked() ? 128 + stop_signal() : !ok;
    }
    results_free(&p->results);
    for (size_t i = 0; i < MAX_SEEDS; i++)
        workload_free(&p->loads[i]);
    free(p);
    return status;
}
