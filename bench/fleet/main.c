// SPDX-License-Identifier: Apache-2.0
// kvroute-sim: a fleet of inference engines in virtual time, to compare routers. See docs/simulator.md.
//
// Files: load*, talk (what arrives); model, engine, kv (the engines); queue, fleet (virtual time);
// router*, local, core, shared (who chooses, and by what); stats, results, table, json, svg, plots (what
// comes out); options.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "memory.h"
#include "options.h"
#include "results.h"
#include "shared.h"
#include "stop.h"

struct program {
    struct options o;
    struct workload load;
    struct shared shared;
    struct results results;
    double made_for; // the factor that the load was made for
};

// ---- The load ------------------------------------------------------------------------------------

static double rate_of(const struct options *o) {
    if (o->rate > 0) return o->rate;
    return o->load->rate[model_find(o->model.name) - models] * (double)o->workers;
}

// A generated load is made anew at another rate; a trace is the same, faster.
static void make_load(struct program *p, double factor) {
    const struct options *o = &p->o;
    if (p->load.n && (o->trace || p->made_for == factor)) return;
    workload_free(&p->load);
    if (o->trace)
        workload_trace(&p->load, o->trace, (unsigned)o->block_size, o->requests);
    else
        load_make(o->load, &p->load,
                  &(struct load_plan){(unsigned)o->block_size, o->requests, rate_of(o) * factor,
                                      o->seed});
    for (size_t i = 0; i < p->load.n; i++)
        if (!p->load.requests[i].osl) p->load.requests[i].osl = 1;
    p->made_for = factor;
}

static void describe(struct program *p) {
    const struct workload *w = &p->load;
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

static bool run_one(struct program *p, enum series series, struct spec spec, double factor) {
    const struct options *o = &p->o;
    make_load(p, factor);
    struct row row = {.series = series, .spec = spec, .factor = factor};
    name_row(&row);
    struct run_plan plan = {
        .kind = spec.kind,
        .load = &p->load,
        .speed = o->trace ? o->speed * factor : 1,
        .model = &o->model,
        .blocks = o->blocks,
        .workers = (unsigned)o->workers,
        .routers = spec.routers,
        .hop = o->hop,
        .delay = o->delay,
        .notice = o->notice,
        .sync = o->sync,
        .age = o->age,
        .affinity = (unsigned)o->affinity,
        .seed = o->seed,
        .rule = o->rule,
        .words = o->words,
        .incidents = o->incidents,
        .n_incidents = series == COMPARED ? o->n_incidents : 0,
        .shared = &p->shared,
        .title = row.name,
    };
    plan.rule.policy = spec.policy;
    struct stats stats;
    int64_t start = clock_ns();
    bool ok = fleet_run(&plan, &stats);
    if (ok) {
        stats_figures(&stats, &p->load, &o->slo, &row.figures);
        if (o->stretches && series == COMPARED) {
            row.stretches = memory_take(o->stretches, sizeof *row.stretches);
            stats_stretches(&stats, &p->load, &o->slo, row.stretches, o->stretches);
        }
        *results_add(&p->results) = row;
        table_row(stdout, &row);
        fprintf(stderr, "%-28s %4.2f x: %.1f s, %.0f us a decision\n", row.name, factor,
                (double)(clock_ns() - start) / 1e9, stats.decide_us);
    }
    stats_close(&stats);
    return ok;
}

static bool compare(struct program *p) {
    make_load(p, 1);
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
    workload_free(&p->load);
    free(p);
    return status;
}
