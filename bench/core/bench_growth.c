// SPDX-License-Identifier: Apache-2.0
// kvroute-bench-growth: how time and memory grow with each thing that there can be more of.
//
// The core alone, on one core. One quantity at a time is changed, the others stay: 1,000,000 blocks in prompts of
// 512, 64 workers, 4 holders of each prompt (the first has all of it, the others three quarters, a half, a quarter),
// 1,000 live requests. Requests are drawn at random from all prompts, so that large pools miss the caches of the
// processor as they would.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_args.h"
#include "bench/common/bench_memory.h"
#include "bench/common/bench_quantile.h"
#include "bench/common/chart.h"
#include "bench_pool.h"
#include "client/common/clock.h"
#include "client/common/random.h"
#include "tests/support/support_home.h"

enum {
    GROWTH_SAMPLES = 4000,
    GROWTH_SAMPLED_BLOCKS = 8000000, // of all samples together, if prompts are long
    GROWTH_EVENT = 64,               // blocks of one
    GROWTH_PARTS = 4,                // of a prompt that holders have so many of
    GROWTH_POINTS = 8
};

struct growth_shape {
    size_t blocks, prompt, workers, holders, live, pools;
};

struct growth_axis {
    const char *what, *unit; // of these there are more and more; what one of them is
    size_t at;               // in the shape
    struct growth_shape base;
    size_t values[GROWTH_POINTS], n;
    bool with_big; // the last value needs --big
};

struct growth_figures {
    double memory;                // bytes
    double stored, saved, loaded; // ns of CPU a block
    double p50, p99;              // ns, SELECT + RELEASE
};

#define GROWTH_BASE                                                                                \
    .base = {                                                                                      \
        .blocks = 1000000, .prompt = 512, .workers = 64, .holders = 4, .live = 1000, .pools = 1}
#define GROWTH_AT(field) offsetof(struct growth_shape, field)

static const struct growth_axis axes[] = {
    {"blocks",
     "block",
     GROWTH_AT(blocks),
     GROWTH_BASE,
     {10000, 100000, 1000000, 10000000, 100000000},
     5,
     true},
    {"workers", "worker", GROWTH_AT(workers), GROWTH_BASE, {4, 10, 100, 1000, 10000}, 5, false},
    {"holders of each block, of 1,000 workers; 100,000 blocks",
     "holder",
     GROWTH_AT(holders),
     .base = {.blocks = 100000, .prompt = 512, .workers = 1000, .live = 1000, .pools = 1},
     {1, 4, 16, 64, 256, 1000},
     6,
     false},
    {"live requests",
     "request",
     GROWTH_AT(live),
     GROWTH_BASE,
     {100, 1000, 10000, 100000, 1000000},
     5,
     false},
    {"blocks of a prompt",
     "",
     GROWTH_AT(prompt),
     GROWTH_BASE,
     {16, 64, 256, 1024, 4096, 16384, 65536},
     7,
     false},
    {"pools of 10,000 blocks each",
     "pool",
     GROWTH_AT(pools),
     .base = {.blocks = 10000, .prompt = 512, .workers = 64, .holders = 4, .live = 10},
     {1, 10, 100, 1000},
     4,
     false},
};
enum { GROWTH_AXES = sizeof axes / sizeof *axes };

// ---- One point -----------------------------------------------------------------------------------

struct growth_point {
    const struct growth_shape *shape;
    struct kvr_pool **pools;
    uint64_t *hashes, *seq; // all pools have the same
    size_t prompts;
};

static void store(struct kvr_pool *p, struct growth_point *g, size_t worker, const uint64_t *prompt,
                  size_t n) {
    for (size_t at = 0; at < n; at += GROWTH_EVENT)
        bench_pool_event(p, worker, ++g->seq[worker], KVR_STORED, at ? &prompt[at - 1] : NULL,
                         prompt + at, n - at < GROWTH_EVENT ? n - at : GROWTH_EVENT);
}

static void fill(struct kvr_pool *p, struct growth_point *g) {
    const struct growth_shape *s = g->shape;
    memset(g->seq, 0, s->workers * sizeof *g->seq);
    for (size_t i = 0; i < g->prompts; i++)
        for (size_t k = 0; k < s->holders; k++) {
            size_t parts = GROWTH_PARTS - k % GROWTH_PARTS;
            store(p, g, (i + k) % s->workers, g->hashes + i * s->prompt,
                  s->prompt * parts / GROWTH_PARTS);
        }
}

static void select_one(struct kvr_pool *p, const struct growth_shape *s, const uint64_t *hashes,
                       struct kvr_bytes id) {
    struct kvr_pool_choice choice;
    struct kvr_booking booked;
    struct kvr_query q = {
        .hashes = hashes, .n = s->prompt, .isl = -1, .rule = kvr_pool_options(p)->rule};
    if (kvr_select(p, 1, id, &q, -1, 0, &choice, &booked)) support_fail("SELECT is refused");
}

static const uint64_t *any_prompt(const struct growth_point *g, uint64_t *random) {
    return g->hashes + kvr_random(random) % g->prompts * g->shape->prompt;
}

static void book(struct growth_point *g) {
    uint64_t random = 3;
    char id[32];
    for (size_t i = 0; i < g->shape->live; i++) {
        size_t n = (size_t)snprintf(id, sizeof id, "live-%zu", i);
        select_one(g->pools[i % g->shape->pools], g->shape, any_prompt(g, &random),
                   (struct kvr_bytes){id, n});
    }
}

// The clock's own time is taken off; a request's hashes are in a cache, as of a command that was just parsed.
static void sample(struct growth_point *g, struct growth_figures *f) {
    static double times[GROWTH_SAMPLES];
    const struct growth_shape *s = g->shape;
    size_t n = GROWTH_SAMPLED_BLOCKS / s->prompt;
    if (n > GROWTH_SAMPLES) n = GROWTH_SAMPLES;
    uint64_t random = 5, *request = bench_calloc(s->prompt, sizeof *request);
    struct kvr_bytes id = {"sample", 6};
    double clock = (double)kvr_clock_ns(CLOCK_MONOTONIC);
    clock = (double)kvr_clock_ns(CLOCK_MONOTONIC) - clock;
    for (size_t i = 0; i < n; i++) {
        struct kvr_pool *p = g->pools[kvr_random(&random) % s->pools];
        memcpy(request, any_prompt(g, &random), s->prompt * sizeof *request);
        double start = (double)kvr_clock_ns(CLOCK_MONOTONIC);
        select_one(p, s, request, id);
        kvr_release(p, 1, &id, 1, KVR_RELEASED);
        times[i] = (double)kvr_clock_ns(CLOCK_MONOTONIC) - start - clock;
    }
    double *sorted = bench_sorted(times, n);
    f->p50 = bench_quantile(sorted, n, 0.5);
    f->p99 = bench_quantile(sorted, n, 0.99);
    free(sorted);
    free(request);
}

struct growth_load {
    struct kvr_loader *loader;
    double ns;
};

static int load_chunk(void *ctx, const void *bytes, size_t n) {
    struct growth_load *l = ctx;
    double start = bench_pool_cpu_ns();
    int err = kvr_loader_feed(l->loader, bytes, n);
    l->ns += bench_pool_cpu_ns() - start;
    return err;
}

// Chunk by chunk, so that nothing is held twice but the pool.
static void save_and_load(const struct growth_point *g, double blocks, struct growth_figures *f) {
    struct kvr_alloc a = {bench_pool_resize, NULL};
    struct growth_load l = {kvr_loader_new(&a, 7), 0};
    double start = bench_pool_cpu_ns();
    if (!l.loader || kvr_pool_save(g->pools[0], load_chunk, &l)) support_fail("it can't be saved");
    double both = bench_pool_cpu_ns() - start;
    struct kvr_pool *again = kvr_loader_finish(l.loader);
    if (!again) support_fail("it can't be loaded");
    kvr_pool_free(again);
    f->saved = (both - l.ns) / blocks;
    f->loaded = l.ns / blocks;
}

static struct growth_figures measure(const struct growth_shape *s) {
    struct growth_figures f;
    struct growth_point g = {.shape = s, .prompts = s->blocks / s->prompt};
    size_t before = bench_pool_heap();
    if (!g.prompts) g.prompts = 1;
    double blocks = (double)(g.prompts * s->prompt);
    g.hashes = bench_calloc(g.prompts * s->prompt, sizeof *g.hashes);
    g.seq = bench_calloc(s->workers, sizeof *g.seq);
    g.pools = bench_calloc(s->pools, sizeof *g.pools);
    uint64_t random = 1;
    for (size_t i = 0; i < g.prompts * s->prompt; i++)
        g.hashes[i] = kvr_random(&random);
    f.stored = 0;
    for (size_t i = 0; i < s->pools; i++) {
        g.pools[i] = bench_pool_new(s->workers);
        double start = bench_pool_cpu_ns();
        fill(g.pools[i], &g);
        f.stored += bench_pool_cpu_ns() - start;
    }
    f.stored /= blocks * (double)(s->holders * s->pools);
    book(&g);
    f.memory = (double)(bench_pool_heap() - before);
    sample(&g, &f);
    save_and_load(&g, blocks, &f);
    for (size_t i = 0; i < s->pools; i++)
        kvr_pool_free(g.pools[i]);
    free(g.pools);
    free(g.seq);
    free(g.hashes);
    return f;
}

// ---- All of them ---------------------------------------------------------------------------------

struct growth_options {
    bool big;
    const char *out;
};

// each: bytes that one more takes; NaN: not known.
static void row(size_t value, const struct growth_figures *f, double each) {
    char more[20] = "";
    if (!isnan(each)) snprintf(more, sizeof more, "%.0f", each);
    printf("| %zu | %.1f | %s | %.0f | %.1f / %.1f | %.0f | %.0f |\n", value, f->memory / 1e6, more,
           f->stored, f->p50 / 1e3, f->p99 / 1e3, f->saved, f->loaded);
    fflush(stdout);
}

// x, memory in MB and SELECT + RELEASE in µs of each point. Returns how many there are.
static size_t run(const struct growth_axis *a, bool big, double columns[3][GROWTH_POINTS]) {
    struct growth_figures first = {.memory = 0};
    size_t n = a->n - (a->with_big && !big);
    printf("\n| %s | MB | B %s%s | stored, ns a holding | SELECT + RELEASE, us, p50 / p99 | "
           "saved, ns a block | loaded |\n|--:|--:|--:|--:|--:|--:|--:|\n",
           a->what, *a->unit ? "a " : "", a->unit);
    for (size_t i = 0; i < n; i++) {
        struct growth_shape s = a->base;
        memcpy((char *)&s + a->at, &a->values[i], sizeof(size_t));
        if (s.holders > s.workers) s.holders = s.workers;
        struct growth_figures f = measure(&s);
        if (!i) first = f;
        double more = (double)(a->values[i] - a->values[0]);
        row(a->values[i], &f, i && *a->unit ? (f.memory - first.memory) / more : NAN);
        columns[0][i] = (double)a->values[i];
        columns[1][i] = f.p50 / 1e3;
        columns[2][i] = f.memory / 1e6;
    }
    return n;
}

static const char usage[] =
    "usage: kvroute-bench-growth [--big] [--out FOLDER]\n"
    "One core, half a minute. --big: also 100,000,000 blocks, two minutes and 8 GB\n"
    "--out: draws growth.svg there\n";

int main(int argc, char **argv) {
    static const struct bench_arg args[] = {
        {"big", bench_arg_flag, offsetof(struct growth_options, big), 0, 0},
        {"out", bench_arg_text, offsetof(struct growth_options, out), 0, 0},
    };
    static double columns[GROWTH_AXES][3][GROWTH_POINTS];
    struct bench_chart_line lines[GROWTH_AXES][2];
    struct bench_chart charts[GROWTH_AXES];
    struct growth_options o = {0};
    int status = bench_args_read(&o, args, 2, usage, argc, argv);
    if (status >= 0) return status;
    for (size_t i = 0; i < GROWTH_AXES; i++) {
        size_t n = run(&axes[i], o.big, columns[i]);
        const double *x = columns[i][0];
        lines[i][0] = (struct bench_chart_line){"SELECT + RELEASE, µs", x, columns[i][1], n, false};
        lines[i][1] = (struct bench_chart_line){"memory, MB", x, columns[i][2], n, true};
        charts[i] = (struct bench_chart){.title = axes[i].what,
                                         .x_label = axes[i].what,
                                         .y_label = "µs, MB",
                                         .log_x = true,
                                         .log_y = true,
                                         .lines = lines[i],
                                         .n_lines = 2};
    }
    if (!o.out) return 0;
    char path[4096];
    snprintf(path, sizeof path, "%s/growth", o.out);
    return bench_chart_write(path, "How a pool grows", charts, GROWTH_AXES) ? 0 : 1;
}
