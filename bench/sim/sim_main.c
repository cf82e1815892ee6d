// SPDX-License-Identifier: Apache-2.0
// kvroute-sim: a fleet of inference engines in virtual time, to compare routers. See docs/simulator.md.
//
// Folders, each of which knows only those before it: engine (what an engine does), loads (what arrives), fleet
// (one run in virtual time), routers (who chooses, and by what), compare (options, search, and what comes out).
// preload has the clock of the shared pool's server.
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_memory.h"
#include "bench/common/trace.h"
#include "bench/sim/compare/results.h"
#include "bench/sim/compare/search.h"
#include "bench/sim/compare/sim_options.h"
#include "bench/sim/loads/users.h"
#include "bench/sim/routers/pool_server.h"
#include "bench/sim/routers/routers.h"
#include "client/common/clock.h"

struct sim_program {
    struct sim_options o;
    struct bench_workload loads[SIM_MAX_SEEDS]; // by seed
    struct bench_workload other[SIM_MAX_SEEDS]; // for searching
    struct sim_server server;
    struct sim_results results;
    double made_for; // the factor that the loads were made for
};

// ---- The load ------------------------------------------------------------------------------------

static double rate_of(const struct sim_options *o) {
    if (o->rate > 0) return o->rate;
    return sim_options_sum(o, o->load->rate);
}

// Whether every seed has the same load.
static bool same_for_all(const struct sim_options *o) {
    return o->trace && !o->users;
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
                       .users = (unsigned)(o->users * factor + 0.5),
                       .ramp = o->ramp / o->speed,
                       .until = o->warmup + o->duration,
                       .pace = least_pace(o),
                       .seed = seed,
                       .fresh = o->fresh,
                   });
    bench_workload_free(&sessions);
}

static void make_load(struct bench_workload *w, const struct sim_options *o, double factor,
                      uint64_t seed) {
    bench_workload_free(w);
    if (o->trace)
        bench_trace_read(w, o->trace, (unsigned)o->block_size, o->users ? 0 : o->requests);
    else
        sim_load_make(o->load, w,
                      &(struct sim_load_plan){(unsigned)o->block_size, o->requests,
                                              rate_of(o) * factor, seed});
    for (size_t i = 0; i < w->n; i++)
        if (!w->requests[i].osl) w->requests[i].osl = 1;
    if (o->users) make_users(w, o, factor, seed);
}

// A generated load is made anew at another rate, and users in another number; a trace alone is the same,
// faster, and for every seed.
static void make_loads(struct sim_program *p, double factor) {
    const struct sim_options *o = &p->o;
    if (p->loads[0].n && (same_for_all(o) || p->made_for == factor)) return;
    for (uint64_t i = 0; i < (same_for_all(o) ? 1 : o->seeds); i++)
        make_load(&p->loads[i], o, factor, o->seed + i);
    p->made_for = factor;
}

static void describe(struct sim_program *p, double factor) {
    const struct bench_workload *w = &p->loads[0];
    double blocks = 0;
    for (size_t i = 0; i < w->n; i++)
        blocks += w->requests[i].blocks;
    p->results.o = &p->o;
    p->results.load = w->what;
    p->results.requests = w->n;
    p->results.blocks = blocks / (double)w->n;
    p->results.seconds = (w->requests[w->n - 1].at - w->requests[0].at) /
                         (p->o.trace ? p->o.speed * (p->o.users ? 1 : factor) : 1);
}

// ---- Runs ----------------------------------------------------------------------------------------

// What was said goes to the end of the name.
static void add_name(struct sim_row *row, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void add_name(struct sim_row *row, const char *format, ...) {
    size_t n = strlen(row->name);
    va_list args;
    va_start(args, format);
    vsnprintf(row->name + n, sizeof row->name - n, format, args);
    va_end(args);
}

static void name_row(struct sim_row *row) {
    const struct sim_spec *s = &row->spec;
    char terms[80];
    add_name(row, "%s", s->kind->name);
    if (s->kind->scores) add_name(row, ", %s", kvr_policies[s->policy].name);
    if (row->series != SIM_SCALED && s->routers > 1)
        add_name(row, s->together ? " (%u, conversations)" : " (%u)", s->routers);
    sim_terms_text(s->without, terms, sizeof terms);
    if (s->without) add_name(row, ", no %s", terms);
}

static struct sim_plan plan_of(struct sim_program *p, const struct sim_row *row,
                               const struct bench_workload *load, uint64_t seed) {
    const struct sim_options *o = &p->o;
    struct sim_plan plan = o->plan;
    plan.kind = row->spec.kind;
    plan.load = load;
    plan.speed = o->trace ? o->speed * (o->users ? 1 : row->factor) : 1;
    plan.from = o->warmup;
    plan.until = o->duration > 0 ? o->warmup + o->duration : 0;
    plan.max_measured = o->users ? o->requests : 0;
    plan.routers = row->spec.routers;
    plan.together = row->spec.together;
    plan.seed = seed;
    if (row->series != SIM_COMPARED) plan.n_incidents = 0;
    plan.server = &p->server;
    plan.title = row->name;
    plan.rule.policy = row->spec.policy;
    plan.rule.without = row->spec.without;
    return plan;
}

// One run, of one seed.
static bool run_seed(struct sim_program *p, struct sim_row *row, uint64_t i) {
    const struct sim_options *o = &p->o;
    const struct bench_workload *load = &p->loads[same_for_all(o) ? 0 : i];
    struct sim_plan plan = plan_of(p, row, load, o->seed + i);
    struct sim_stats stats;
    bool ok = sim_run(&plan, &stats);
    if (ok) {
        struct sim_figures f;
        sim_stats_figures(&stats, load, &o->slo, &f);
        sim_figures_add(&row->figures, &f);
        if (row->series == SIM_COMPARED && o->stretches && i == 0) {
            row->stretches = bench_calloc(o->stretches, sizeof *row->stretches);
            sim_stats_stretches(&stats, load, &o->slo, row->stretches, o->stretches);
        }
    }
    sim_stats_close(&stats);
    return ok;
}

static bool run_one(struct sim_program *p, enum sim_series series, struct sim_spec spec,
                    double factor) {
    int64_t start = kvr_clock_ns(CLOCK_MONOTONIC);
    struct sim_row row = {.series = series, .spec = spec, .factor = factor, .fixed = p->o.fixed};
    name_row(&row);
    make_loads(p, factor);
    for (uint64_t i = 0; i < p->o.seeds; i++)
        if (!run_seed(p, &row, i)) return false;
    sim_figures_divide(&row.figures, p->o.seeds);
    *sim_results_add(&p->results) = row;
    sim_table_row(stdout, &row);
    fprintf(stderr, "%-28s %4.2f x: %.1f s\n", row.name, factor,
            (double)(kvr_clock_ns(CLOCK_MONOTONIC) - start) / 1e9);
    return true;
}

// ---- Searching -----------------------------------------------------------------------------------

struct search_context {
    struct sim_program *p;
    struct sim_row row;
};

static bool run_constants(void *ctx, const struct sim_fixed *f, struct sim_figures *out) {
    struct search_context *s = ctx;
    const struct sim_options *o = &s->p->o;
    *out = (struct sim_figures){0};
    for (uint64_t i = 0; i < o->search; i++) {
        const struct bench_workload *load = &s->p->other[same_for_all(o) ? 0 : i];
        struct sim_plan plan = plan_of(s->p, &s->row, load, o->seed + o->seeds + i);
        struct sim_stats stats;
        struct sim_figures x;
        plan.fixed = f;
        bool ok = sim_run(&plan, &stats);
        if (ok) sim_stats_figures(&stats, load, &o->slo, &x);
        sim_stats_close(&stats);
        if (!ok) return false;
        sim_figures_add(out, &x);
    }
    sim_figures_divide(out, o->search);
    return true;
}

static void show_constants(FILE *f, const struct sim_fixed *c) {
    fprintf(f, "%.9g,%.9g,%.9g,%.9g,%.9g,%g", c->a, c->b, c->c, c->d, c->e, c->bits);
}

static void tried(void *ctx, const struct sim_fixed *f, const struct sim_figures *x, bool best) {
    (void)ctx;
    fprintf(stderr, "%s ", best ? "*" : " ");
    show_constants(stderr, f);
    fprintf(stderr, ": %.4f s, %.2f%% in SLO\n", x->ttft_mean, x->kept * 100);
}

// Finds the constants of `fixed` for the load at this factor, on seeds of its own.
static bool search(struct sim_program *p, double factor) {
    struct search_context s = {.p = p,
                               .row = {.series = SIM_SWEPT,
                                       .spec = {.kind = sim_router_find("fixed"), .routers = 1},
                                       .factor = factor}};
    struct sim_figures figures;
    size_t runs;
    name_row(&s.row);
    for (uint64_t i = 0; i < (same_for_all(&p->o) ? 1 : p->o.search); i++)
        make_load(&p->other[i], &p->o, factor, p->o.seed + p->o.seeds + i);
    if (!sim_search(run_constants, tried, &s, &p->o.fixed, &figures, &runs)) return false;
    printf("Constants of fixed, least mean TTFT among those within 0.5 points of the best in SLO,\n"
           "%zu tried on %llu seeds from %llu%s: --fixed ",
           runs, (unsigned long long)p->o.search, (unsigned long long)(p->o.seed + p->o.seeds),
           same_for_all(&p->o) ? " (of one trace)" : "");
    show_constants(stdout, &p->o.fixed);
    printf("\nThere: TTFT %.4f s mean, %.4f p50, %.3f p99, TBT %.2f ms, %.2f%% in SLO, hits "
           "%.2f%%\n\n",
           figures.ttft_mean, figures.ttft_p50, figures.ttft_p99, figures.tbt_mean * 1e3,
           figures.kept * 100, figures.hit * 100);
    return true;
}

// ---- Comparing -----------------------------------------------------------------------------------

static bool compare(struct sim_program *p) {
    for (size_t k = 0; k < p->o.n_factor; k++) {
        double factor = p->o.factor[k];
        if (k) putchar('\n');
        if (p->o.n_factor > 1 || factor != 1) printf("The load %g times:\n\n", factor);
        if (p->o.search && !search(p, factor)) return false;
        make_loads(p, factor);
        describe(p, factor);
        size_t first = p->results.n;
        sim_table_head(stdout, &p->results);
        sim_table_columns(stdout);
        for (size_t i = 0; i < p->o.n_specs; i++)
            if (!run_one(p, SIM_COMPARED, p->o.specs[i], factor)) return false;
        sim_table_errors(stdout, &p->results, first);
    }
    sim_table_foot(stdout, &p->results);
    return true;
}

static bool sweep(struct sim_program *p) {
    for (size_t k = 0; k < p->o.n_sweep; k++) {
        size_t first = p->results.n;
        printf("\nThe load %g times:\n\n", p->o.sweep[k]);
        sim_table_columns(stdout);
        for (size_t i = 0; i < p->o.n_specs; i++)
            if (!run_one(p, SIM_SWEPT, p->o.specs[i], p->o.sweep[k])) return false;
        sim_table_errors(stdout, &p->results, first);
    }
    return true;
}

// Each kind once, whatever number of routers it was named with.
static bool scale(struct sim_program *p) {
    for (size_t k = 0; k < p->o.n_scale; k++) {
        size_t first = p->results.n;
        printf("\n%g routers:\n\n", p->o.scale[k]);
        sim_table_columns(stdout);
        for (size_t i = 0; i < p->o.n_specs; i++) {
            struct sim_spec s = p->o.specs[i];
            bool seen = false;
            for (size_t j = 0; j < i; j++)
                seen |= p->o.specs[j].kind == s.kind && p->o.specs[j].policy == s.policy &&
                        p->o.specs[j].together == s.together && p->o.specs[j].without == s.without;
            s.routers = (unsigned)p->o.scale[k];
            if (!seen && !run_one(p, SIM_SCALED, s, 1)) return false;
        }
        sim_table_errors(stdout, &p->results, first);
    }
    return true;
}

int main(int argc, char **argv) {
    struct sim_program *p = bench_calloc(1, sizeof *p);
    int status = sim_options_parse(&p->o, argc, argv);
    if (status < 0) {
        p->server.redis.module = p->o.module;
        p->server.redis.program = p->o.server;
        p->server.clock = p->o.clock;
        bool ok = compare(p) && sweep(p) && scale(p);
        if (ok && p->o.json) ok = sim_results_json(&p->results, p->o.json);
        if (ok && p->o.plots) ok = sim_results_plots(&p->results, p->o.plots);
        sim_server_stop(&p->server);
        status = !ok;
    }
    sim_results_free(&p->results);
    for (size_t i = 0; i < SIM_MAX_SEEDS; i++) {
        bench_workload_free(&p->loads[i]);
        bench_workload_free(&p->other[i]);
    }
    free(p);
    return status;
}
