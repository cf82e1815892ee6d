// SPDX-License-Identifier: Apache-2.0
// Batch traffic that fills what interactive traffic leaves: what the latter feels of it, and how much is done.
//
// Interactive requests are a generated load (--load, --rate). Batch jobs are streams in closed loop, more than the
// fleet can take, so that some always wait.
#include <stdio.h>

#include "bench/sim/loads/streams.h"
#include "class_figures.h"
#include "experiment.h"
#include "experiment_plan.h"

enum { INTERACTIVE, BATCH };
static const double warmup = 120;

struct batch_row {
    const char *name;
    bool batch, queue;
    int priority;
    unsigned room; // percent, of the batch class
};

static const struct batch_row rows[] = {
    {"interactive alone, queued in engines", false, false, 0, 100},
    {"interactive alone, queued in the pool", false, true, 0, 100},
    {"with batch, queued in engines", true, false, 0, 100},
    {"with batch, one class", true, true, 0, 100},
    {"with batch at -10, ROOM 100", true, true, -10, 100},
    {"with batch at -10, ROOM 80", true, true, -10, 80},
    {"with batch at -10, ROOM 60", true, true, -10, 60},
    {"with batch at -10, ROOM 40", true, true, -10, 40},
    {"with batch at -10, ROOM 20", true, true, -10, 20},
    {"with batch at -10, ROOM 10", true, true, -10, 10},
};
enum { BATCH_ROWS = sizeof rows / sizeof *rows };

struct batch_run {
    const struct sim_options *o;
    struct sim_server *server;
    struct sim_spec spec;
    struct bench_workload alone, both;
    double seconds;
    double first; // p99 of the first row
};

static void make_load(const struct batch_run *r, bool batch, struct bench_workload *w) {
    const struct sim_options *o = r->o;
    double rate = o->rate > 0 ? o->rate : 0.75 * sim_options_sum(o, o->load->rate);
    double all = warmup + r->seconds;
    sim_load_make(o->load, w,
                  &(struct sim_load_plan){(unsigned)o->block_size, (size_t)(rate * all * 1.05),
                                          rate, o->seed});
    if (!batch) return;
    uint64_t slots = r->spec.max_requests ? r->spec.max_requests : 64;
    double from = w->requests[0].at;
    sim_streams_add(w, &(struct sim_streams){
                           .n = (unsigned)(o->workers * slots),
                           .isl = 500,
                           .osl = 2000,
                           .from = from,
                           .ramp = 30,
                           .until = from + all,
                           .pace = sim_experiment_pace(o),
                           .service_class = BATCH,
                           .seed = o->seed,
                       });
}

static void print_row(struct batch_run *r, const struct bench_workload *load,
                      const struct batch_row *row, const struct sim_stats *stats) {
    struct sim_class_figures x, y;
    double work = 0, all = r->seconds * stats->workers;
    sim_class_figures(stats, load, INTERACTIVE, &x);
    sim_class_figures(stats, load, BATCH, &y);
    for (unsigned w = 0; w < stats->workers; w++)
        work += stats->work[w];
    if (r->first <= 0) r->first = x.ttft_p99;
    printf("| %-37s | %8.3f | %7.3f | %6.2f | %5.1f | %5.1f%% | %8.0f | %7.1f%% | %5.1f%% |\n",
           row->name, x.ttft_p50, x.ttft_p99, x.ttft_p99 / r->first, x.tbt * 1e3, 100 * x.hit,
           y.tokens, 100 * stats->busy / all, 100 * work / all);
    fflush(stdout);
}

static bool run_row(struct batch_run *r, const struct batch_row *row) {
    const struct bench_workload *load = row->batch ? &r->both : &r->alone;
    struct sim_plan plan = sim_experiment_plan(r->o, r->server, &r->spec, load, warmup, r->seconds);
    struct sim_class classes[] = {{"interactive", 0, 1, 100},
                                  {"batch", row->priority, 1, row->room}};
    struct sim_stats stats;
    plan.admission.on = row->queue;
    plan.admission.classes = classes;
    plan.admission.n_classes = 2;
    bool ok = sim_run(&plan, &stats);
    if (ok) print_row(r, load, row, &stats);
    sim_stats_close(&stats);
    return ok;
}

bool sim_experiment_batch(const struct sim_options *o, struct sim_server *server) {
    struct batch_run r = {.o = o, .server = server, .spec = sim_experiment_spec(o, 8, 128, 0)};
    bool ok = true;
    r.seconds = sim_experiment_seconds(o, 600);
    make_load(&r, false, &r.alone);
    make_load(&r, true, &r.both);
    printf("%s; batch jobs of 500 + 2,000 tokens; room %llu/%llu/%llu\n\n", r.alone.what,
           (unsigned long long)r.spec.max_requests, (unsigned long long)r.spec.max_prefill,
           (unsigned long long)r.spec.max_blocks);
    printf(
        "| %-37s | TTFT p50 |     p99 |      x |   TBT |  hits  | batch/s  | in steps |   work |\n",
        "interactive requests");
    printf("|---|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    for (size_t i = 0; i < BATCH_ROWS && ok; i++)
        ok = run_row(&r, &rows[i]);
    bench_workload_free(&r.alone);
    bench_workload_free(&r.both);
    if (ok)
        printf("\nTTFT: seconds, of interactive requests; x: p99 over that of the first row; TBT: "
               "milliseconds, and\n"
               "hits: blocks that were cached, likewise. Batch/s: tokens of batch jobs that ended. "
               "In steps: share of time in which engines "
               "work at all; work:\n"
               "without what every step takes.\n");
    return ok;
}
