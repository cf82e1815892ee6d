// SPDX-License-Identifier: Apache-2.0
// Prompts here, answers there; see experiment_pairs.h.
#include "experiment_pairs.h"

#include <stdio.h>
#include <stdlib.h>

#include "bench/common/bench_memory.h"
#include "bench/sim/compare/fleet_load.h"
#include "bench/sim/fleet/transfers.h"
#include "bench/sim/routers/routers.h"
#include "goodput.h"
#include "goodput_chart.h"

enum { ROUTERS = 8, MAX_FLEETS = 16 };

// A fleet and the routers before it.
struct pairs_row {
    char name[48];
    const char *kind;
    bool roles;
    unsigned
        prefill; // engines that only compute prompts, the rest only put out answers; 0: all do both
};

struct pairs_run {
    const struct sim_options *o;
    struct sim_server *server;
    const struct pairs_row *row;
};

static struct sim_plan plan_of(const struct pairs_run *r, struct sim_engine_plan *engines) {
    const struct sim_options *o = r->o;
    struct sim_plan plan = o->plan;
    for (size_t w = 0; w < o->workers; w++) {
        engines[w] = o->engines[w];
        engines[w].role = KVR_ROLE_BOTH;
        if (r->row->prefill)
            engines[w].role = w < r->row->prefill ? KVR_ROLE_PREFILL : KVR_ROLE_DECODE;
    }
    plan.engines = engines;
    plan.pairs = r->row->roles;
    plan.kind = sim_router_find(r->row->kind);
    plan.routers = ROUTERS;
    plan.fixed = &o->fixed;
    plan.server = r->server;
    plan.title = r->row->name;
    return plan;
}

// A run of each seed at this load, and the means.
static bool run_point(void *ctx, struct goodput_point *p) {
    const struct pairs_run *r = ctx;
    const struct sim_options *o = r->o;
    struct sim_engine_plan engines[SIM_MAX_WORKERS];
    struct sim_plan plan = plan_of(r, engines);
    bool ok = true;
    for (uint64_t i = 0; i < o->seeds && ok; i++) {
        struct bench_workload load = {0};
        struct sim_stats stats;
        struct sim_figures x;
        sim_load_open(&load, o, p->factor, o->seed + i);
        sim_load_plan_run(&plan, o, &load, p->factor);
        plan.seed = o->seed + i;
        ok = sim_run(&plan, &stats);
        for (size_t k = GOODPUT_SLOS; k-- > 0 && ok;) { // the figures are of the first targets
            sim_stats_figures(&stats, &load, &o->targets[k], &x);
            p->kept[k] += x.kept / (double)o->seeds;
        }
        if (ok) {
            sim_figures_add(&p->figures, &x);
            p->moves.pairs += stats.moves.pairs;
            p->moves.recomputed += stats.moves.recomputed;
            p->moves.tokens += stats.moves.tokens;
            p->moves.seconds += stats.moves.seconds;
        }
        sim_stats_close(&stats);
        bench_workload_free(&load);
    }
    sim_figures_divide(&p->figures, o->seeds);
    return ok;
}

// What a multiple of 1 is: requests a second, or users.
static double unit_of(const struct sim_options *o) {
    struct bench_workload w = {0};
    double unit;
    if (o->users) return (double)o->users;
    if (!o->trace) return sim_load_rate(o);
    sim_load_open(&w, o, 1, o->seed);
    unit = (double)w.n / sim_load_seconds(o, &w, 1);
    bench_workload_free(&w);
    return unit;
}

// ---- The table -----------------------------------------------------------------------------------

static void print_head(const struct pairs_run *r, const char *unit) {
    const struct sim_options *o = r->o;
    struct bench_workload w = {0};
    sim_load_open(&w, o, 1, o->seed);
    printf("%s; %zu engines like %s\n\n", w.what, (size_t)o->workers, o->engines[0].model.what);
    bench_workload_free(&w);
    printf("| %-26s |", unit);
    for (size_t k = 0; k < GOODPUT_SLOS; k++)
        printf(" %g s, %g ms | x |", o->targets[k].ttft, o->targets[k].tbt * 1e3);
    printf(" TTFT p50 | p99 | TBT | hits | pairs | moved | ms each |\n|---|");
    for (size_t k = 0; k < 2 * GOODPUT_SLOS + 7; k++)
        printf("--:|");
    putchar('\n');
}

static void print_times(double x, double base) {
    if (base > 0)
        printf(" | %4.2f", x / base);
    else
        printf(" | %4s", "-");
}

static void print_row(const struct pairs_run *r, const struct goodput *g,
                      const struct goodput *base, double unit) {
    const struct goodput_point *p = sim_goodput_at(g, 0);
    printf("| %-26s", r->row->name);
    for (size_t k = 0; k < GOODPUT_SLOS; k++) {
        printf(" | %7.2f", g->factor[k] * unit);
        print_times(g->factor[k], base->factor[k]);
    }
    if (p) {
        double all = p->figures.requests * (double)r->o->seeds, pairs = (double)p->moves.pairs;
        printf(" | %6.3f | %6.2f | %5.1f | %4.1f%%", p->figures.ttft_p50, p->figures.ttft_p99,
               p->figures.tbt_mean * 1e3, p->figures.hit * 100);
        printf(" | %5.1f%% | %6.0f | %5.1f |\n", all > 0 ? 100 * pairs / all : 0,
               pairs > 0 ? (double)p->moves.tokens / pairs : 0,
               pairs > 0 ? p->moves.seconds / pairs * 1e3 : 0);
    } else {
        printf(" | - | - | - | - | - | - | - |\n");
    }
    fflush(stdout);
}

static void print_foot(void) {
    printf(
        "\nGoodput: the highest load at which 90 %% of the requests have a TTFT and a mean time "
        "between tokens within\n"
        "the targets. x: over the row named first. TTFT in seconds, TBT in ms, hits, and the "
        "rest: at the last load\n"
        "that was tried below the first goodput. Pairs: requests that two engines served; moved: "
        "tokens of one of them; ms\n"
        "each: from the beginning of its transfer to the end.\n");
}

// ---- Experiments ---------------------------------------------------------------------------------

// All rows on one load; the first is what the others are compared with.
static bool run_rows(struct pairs_run *r, const struct pairs_row *rows, size_t n,
                     const char *name) {
    struct goodput *all = bench_calloc(n, sizeof *all);
    const char *names[MAX_FLEETS];
    double unit = unit_of(r->o);
    bool ok = true;
    print_head(r, r->o->users ? "users" : "requests/s");
    for (size_t i = 0; i < n && ok; i++) {
        r->row = &rows[i];
        names[i] = rows[i].name;
        ok = sim_goodput_search(run_point, r, &all[i]);
        if (ok) print_row(r, &all[i], &all[0], unit);
    }
    if (ok) putchar('\n');
    if (ok && r->o->plots)
        ok = goodput_chart(r->o->plots, name, all, names, n, unit, r->o->targets,
                           r->o->users ? "users" : "requests a second");
    free(all);
    return ok;
}

// On the trace or the load that was named, else on all loads.
static bool run_loads(const struct sim_options *o, struct sim_server *server,
                      const struct pairs_row *rows, size_t n, const char *name) {
    struct pairs_run r = {.server = server};
    struct sim_options *own = bench_calloc(1, sizeof *own);
    size_t loads = o->trace || o->named ? 1 : sim_load_count;
    bool ok = true;
    for (size_t i = 0; i < loads && ok; i++) {
        char file[64];
        *own = *o;
        if (loads > 1) own->load = &sim_loads[i];
        if (!o->trace && sim_options_sum(o, own->load->users) > 0 && loads > 1) {
            own->users = own->requests = 0;
            own->ramp = own->warmup = own->duration = -1;
            sim_options_load(own);
        }
        snprintf(file, sizeof file, "%s-%s", name, o->trace ? "trace" : own->load->name);
        r.o = own;
        ok = run_rows(&r, rows, n, file);
    }
    if (ok) print_foot();
    free(own);
    return ok;
}

static struct pairs_row make_row(const char *kind, const char *what, bool roles, unsigned prefill,
                                 unsigned all) {
    struct pairs_row row = {.kind = kind, .roles = roles, .prefill = prefill};
    if (prefill)
        snprintf(row.name, sizeof row.name, "%s%u + %u", what, prefill, all - prefill);
    else
        snprintf(row.name, sizeof row.name, "%s%u", what, all);
    return row;
}

bool sim_experiment_pairs(const struct sim_options *o, struct sim_server *server) {
    unsigned all = (unsigned)o->workers, half = (all + 1) / 2;
    const struct pairs_row rows[] = {
        make_row("two-steps", "two steps, ", true, half, all),
        make_row("llm-d", "two steps as llm-d, ", true, half, all),
        make_row("one", "PAIR, ", true, half, all),
    };
    if (all < 2) {
        fprintf(stderr, "kvroute-sim: pairs take two engines\n");
        return false;
    }
    return run_loads(o, server, rows, sizeof rows / sizeof *rows, "pairs");
}

bool sim_experiment_roles(const struct sim_options *o, struct sim_server *server) {
    struct pairs_row rows[MAX_FLEETS];
    unsigned all = (unsigned)o->workers, step = all > 8 ? all / 8 : 1, edge = all / 4 ? all / 4 : 1;
    size_t n = 0;
    if (all < 2) {
        fprintf(stderr, "kvroute-sim: roles take two engines\n");
        return false;
    }
    rows[n++] = make_row("one", "no pairs, ", false, 0, all);
    for (unsigned p = edge; p <= all - edge && n < MAX_FLEETS - 1; p += step)
        rows[n++] = make_row("one", "PAIR, ", true, p, all);
    rows[n++] = make_row("one", "PAIR, all do both, ", true, 0, all);
    return run_loads(o, server, rows, n, "roles");
}
