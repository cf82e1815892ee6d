// SPDX-License-Identifier: Apache-2.0
// kvroute-sim: a fleet of inference engines in virtual time, to compare routers. See docs/simulator.md.
//
// Folders, each of which knows only those before it: engine (what an engine does), loads (what arrives), fleet
// (one run in virtual time), routers (who chooses, and by what), compare (options, search, and what comes out),
// pairs (experiments on prompts here, answers there), queue (those on one queue for all routers), decisions (what
// was logged, made again). preload has the clock of the shared pool's server.
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_memory.h"
#include "bench/sim/compare/fleet_load.h"
#include "bench/sim/compare/results.h"
#include "bench/sim/compare/search.h"
#include "bench/sim/compare/sim_options.h"
#include "bench/sim/decisions/decision_report.h"
#include "bench/sim/decisions/fetch_decisions.h"
#include "bench/sim/loads/decision_load.h"
#include "bench/sim/queue/experiment.h"
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

static void make_loads(struct sim_program *p, double factor) {
    const struct sim_options *o = &p->o;
    if (p->loads[0].n && (sim_load_same(o) || p->made_for == factor)) return;
    for (uint64_t i = 0; i < (sim_load_same(o) ? 1 : o->seeds); i++)
        sim_load_open(&p->loads[i], o, factor, o->seed + i);
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
    p->results.seconds = sim_load_seconds(&p->o, w, factor);
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
    if (s->queue) add_name(row, ", room %llu", (unsigned long long)s->max_requests);
    if (s->max_prefill || s->max_blocks) add_name(row, "/%llu", (unsigned long long)s->max_prefill);
    if (s->max_blocks) add_name(row, "/%llu", (unsigned long long)s->max_blocks);
    if (s->fair) add_name(row, ", fair");
    sim_terms_text(s->without, terms, sizeof terms);
    if (s->without) add_name(row, ", no %s", terms);
}

static struct sim_plan plan_of(struct sim_program *p, const struct sim_row *row,
                               const struct bench_workload *load, uint64_t seed) {
    const struct sim_options *o = &p->o;
    struct sim_plan plan = o->plan;
    plan.kind = row->spec.kind;
    sim_load_plan_run(&plan, o, load, row->factor);
    plan.routers = row->spec.routers;
    plan.together = row->spec.together;
    plan.seed = seed;
    plan.fixed = &row->fixed;
    if (row->series != SIM_COMPARED) plan.n_incidents = 0;
    plan.server = &p->server;
    plan.title = row->name;
    plan.rule.policy = row->spec.policy;
    plan.rule.without = row->spec.without;
    plan.admission.on = row->spec.queue;
    plan.admission.max_requests = row->spec.max_requests;
    plan.admission.max_prefill = row->spec.max_prefill;
    plan.admission.max_blocks = row->spec.max_blocks;
    plan.admission.by_flow = row->spec.fair;
    return plan;
}

// Runs of n seeds from this one on, with their loads (if all have the same, there is but one); *out: the means.
static bool run_seeds(struct sim_program *p, struct sim_row *row,
                      const struct bench_workload *loads, uint64_t seed, uint64_t n,
                      struct sim_figures *out) {
    const struct sim_options *o = &p->o;
    *out = (struct sim_figures){0};
    for (uint64_t i = 0; i < n; i++) {
        const struct bench_workload *load = &loads[sim_load_same(o) ? 0 : i];
        struct sim_plan plan = plan_of(p, row, load, seed + i);
        struct sim_stats stats;
        struct sim_figures x;
        bool ok = sim_run(&plan, &stats);
        if (ok) sim_stats_figures(&stats, load, &o->slo, &x);
        if (ok && row->series == SIM_COMPARED && o->stretches && i == 0) {
            row->stretches = bench_calloc(o->stretches, sizeof *row->stretches);
            sim_stats_stretches(&stats, load, &o->slo, row->stretches, o->stretches);
        }
        sim_stats_close(&stats);
        if (!ok) return false;
        sim_figures_add(out, &x);
    }
    sim_figures_divide(out, n);
    return true;
}

static bool run_row(struct sim_program *p, enum sim_series series, struct sim_spec spec,
                    double factor) {
    int64_t start = kvr_clock_ms();
    struct sim_row row = {.series = series, .spec = spec, .factor = factor, .fixed = p->o.fixed};
    name_row(&row);
    if (!run_seeds(p, &row, p->loads, p->o.seed, p->o.seeds, &row.figures)) return false;
    *sim_results_add(&p->results) = row;
    sim_table_row(stdout, &row);
    fprintf(stderr, "%-28s %4.2f x: %.1f s\n", row.name, factor,
            (double)(kvr_clock_ms() - start) / 1e3);
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
    s->row.fixed = *f;
    return run_seeds(s->p, &s->row, s->p->other, o->seed + o->seeds, o->search, out);
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
    for (uint64_t i = 0; i < (sim_load_same(&p->o) ? 1 : p->o.search); i++)
        sim_load_open(&p->other[i], &p->o, factor, p->o.seed + p->o.seeds + i);
    if (!sim_search(run_constants, tried, &s, &p->o.fixed, &figures, &runs)) return false;
    printf("Constants of fixed, least mean TTFT among those within 0.5 points of the best in SLO,\n"
           "%zu tried on %llu seeds from %llu%s: --fixed ",
           runs, (unsigned long long)p->o.search, (unsigned long long)(p->o.seed + p->o.seeds),
           sim_load_same(&p->o) ? " (of one trace)" : "");
    show_constants(stdout, &p->o.fixed);
    printf("\nThere: TTFT %.4f s mean, %.4f p50, %.3f p99, TBT %.2f ms, %.2f%% in SLO, hits "
           "%.2f%%\n\n",
           figures.ttft_mean, figures.ttft_p50, figures.ttft_p99, figures.tbt_mean * 1e3,
           figures.kept * 100, figures.hit * 100);
    return true;
}

// ---- Comparing -----------------------------------------------------------------------------------

static bool same_but_routers(const struct sim_spec *a, const struct sim_spec *b) {
    return a->kind == b->kind && a->policy == b->policy && a->together == b->together &&
           a->without == b->without && a->max_requests == b->max_requests &&
           a->max_prefill == b->max_prefill && a->max_blocks == b->max_blocks && a->fair == b->fair;
}

// A row for each kind. routers: instead of the number that it was named with, and each kind once; 0: as named.
static bool make_table(struct sim_program *p, enum sim_series series, double factor,
                       unsigned routers) {
    size_t first = p->results.n;
    make_loads(p, factor);
    sim_table_columns(stdout);
    for (size_t i = 0; i < p->o.n_specs; i++) {
        struct sim_spec s = p->o.specs[i];
        bool seen = false;
        for (size_t k = 0; routers && k < i; k++)
            seen |= same_but_routers(&p->o.specs[k], &s);
        if (routers) s.routers = routers;
        if (!seen && !run_row(p, series, s, factor)) return false;
    }
    sim_table_errors(stdout, &p->results, first);
    return true;
}

static bool compare(struct sim_program *p) {
    const struct sim_options *o = &p->o;
    for (size_t k = 0; k < o->factor.n; k++) {
        double factor = o->factor.v[k];
        if (k) putchar('\n');
        if (o->factor.n > 1 || factor != 1) printf("The load %g times:\n\n", factor);
        if (o->search && !search(p, factor)) return false;
        make_loads(p, factor);
        describe(p, factor);
        sim_table_head(stdout, &p->results);
        if (!make_table(p, SIM_COMPARED, factor, 0)) return false;
    }
    sim_table_foot(stdout, &p->results);
    for (size_t k = 0; k < o->sweep.n; k++) {
        printf("\nThe load %g times:\n\n", o->sweep.v[k]);
        if (!make_table(p, SIM_SWEPT, o->sweep.v[k], 0)) return false;
    }
    for (size_t k = 0; k < o->scale.n; k++) {
        printf("\n%g routers:\n\n", o->scale.v[k]);
        if (!make_table(p, SIM_SCALED, 1, (unsigned)o->scale.v[k])) return false;
    }
    return true;
}

static bool experiment(struct sim_program *p) {
    const struct sim_experiment *e = sim_experiment_find(p->o.experiment);
    if (e) return e->run(&p->o, &p->server);
    fprintf(stderr, "kvroute-sim: no experiment %s\n", p->o.experiment);
    return false;
}

// What was logged, made again; then, where that can be, the whole of it again.
static bool decisions(struct sim_program *p) {
    const struct sim_decisions *d = &p->o.logged;
    if (!sim_decision_report(&p->o)) return false;
    if (sim_decision_load_can(d)) {
        printf("\nAll of it again, from empty engines. ");
        return compare(p);
    }
    printf(
        "\nIt can't be run again: the log has no blocks of %zu decisions (KVROUTE.DECISIONS ON … "
        "BLOCKS).\n",
        d->without_hashes);
    return true;
}

static bool run(struct sim_program *p) {
    const struct sim_options *o = &p->o;
    if (o->fetch) return sim_fetch_decisions(o->fetch, o->key, o->out);
    if (o->decisions) return decisions(p);
    return o->experiment ? experiment(p) : compare(p);
}

int main(int argc, char **argv) {
    struct sim_program *p = bench_calloc(1, sizeof *p);
    int status = sim_options_parse(&p->o, argc, argv);
    if (status < 0) {
        p->server.redis.module = p->o.module;
        p->server.redis.program = p->o.server;
        p->server.clock = p->o.clock;
        bool ok = run(p);
        if (ok && p->o.json) ok = sim_results_json(&p->results, p->o.json);
        if (ok && p->o.plots) ok = sim_results_plots(&p->results, p->o.plots);
        sim_server_stop(&p->server);
        status = !ok;
    }
    sim_results_free(&p->results);
    sim_decisions_free(&p->o.logged);
    for (size_t i = 0; i < SIM_MAX_SEEDS; i++) {
        bench_workload_free(&p->loads[i]);
        bench_workload_free(&p->other[i]);
    }
    free(p);
    return status;
}
