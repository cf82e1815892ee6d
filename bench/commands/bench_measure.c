// SPDX-License-Identifier: Apache-2.0
// Measuring; see bench_measure.h.
#define _GNU_SOURCE // strcasestr
#include "bench_measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_memory.h"
#include "bench/common/bench_quantile.h"
#include "client/common/clock.h"
#include "tests/support/support_home.h"
#include "tests/support/support_redis.h"

static double now_s(void) {
    return (double)kvr_clock_ns(CLOCK_MONOTONIC) / 1e9;
}

// ---- What the server says of itself --------------------------------------------------------------

// From the scheduler, exact to the microsecond once the server waits for work.
double bench_server_cpu(const struct support_redis *s) {
    char path[64];
    unsigned long long ns = 0;
    snprintf(path, sizeof path, "/proc/%ld/schedstat", (long)s->pid);
    FILE *f = fopen(path, "r");
    if (f) {
        if (fscanf(f, "%llu", &ns) != 1) ns = 0;
        fclose(f);
    }
    return (double)ns / 1e9;
}

struct bench_spent {
    double calls, usec;
};

static struct bench_spent spent_on(const char *stats, const char *command) {
    char field[64];
    struct bench_spent s = {0, 0};
    snprintf(field, sizeof field, "cmdstat_%s:calls=", command);
    const char *at =
        strcasestr(stats, field); // a module's commands are shown as they were registered
    if (at) sscanf(at + strlen(field), "%lf,usec=%lf", &s.calls, &s.usec);
    return s;
}

static void add_spent(struct support_redis *s, const struct bench_op *w,
                      struct bench_spent spent[2]) {
    redisReply *r = support_redis_command(s, "INFO commandstats");
    if (!r) support_fail("the server doesn't answer");
    for (size_t i = 0; i < 2 && w->commands[i]; i++) {
        struct bench_spent more = spent_on(r->str, w->commands[i]);
        spent[i].calls += more.calls;
        spent[i].usec += more.usec;
    }
    freeReplyObject(r);
}

// ---- A slice -------------------------------------------------------------------------------------

// Times of a cell over all of its slices, ns.
struct bench_times {
    uint64_t *at;
    size_t n, room;
};

static void add_time(struct bench_times *t, int64_t ns) {
    t->at = bench_grow(t->at, &t->room, t->n + 1, sizeof *t->at);
    t->at[t->n++] = (uint64_t)ns;
}

void bench_units_pipelined(struct bench_caller *c, const struct bench_op *w, size_t length,
                           size_t n, struct bench_times *t) {
    uint64_t first = c->unit;
    for (size_t i = 0; i < n; i++)
        for (size_t step = 0; step < w->steps; step++)
            w->put(c, length, first + i, step);
    int64_t sent = kvr_clock_ns(CLOCK_MONOTONIC);
    bench_wire_send(&c->wire);
    for (size_t i = 0; i < n; i++)
        for (size_t step = 0; step < w->steps; step++) {
            w->take(c, length, first + i, step);
            if (step == 0 && t) add_time(t, kvr_clock_ns(CLOCK_MONOTONIC) - sent);
        }
    c->unit += n;
}

static void one_by_one(struct bench_caller *c, const struct bench_op *w, size_t length,
                       struct bench_times *t) {
    for (size_t step = 0; step < w->steps; step++) {
        w->put(c, length, c->unit, step);
        int64_t sent = kvr_clock_ns(CLOCK_MONOTONIC);
        bench_wire_send(&c->wire);
        w->take(c, length, c->unit, step);
        if (step == 0) add_time(t, kvr_clock_ns(CLOCK_MONOTONIC) - sent);
    }
    c->unit++;
}

static size_t depth_of(const struct bench_result *cell) {
    if (!cell->op->a_block) return BENCH_DEPTH;
    size_t n = MAX_UNDER_WAY / bench_lengths[cell->length];
    return n < 1 ? 1 : n < BENCH_DEPTH ? n : BENCH_DEPTH;
}

static void slice(struct support_redis *s, struct bench_caller *c, const struct bench_rounds *p,
                  struct bench_result *cell, struct bench_times *t, struct bench_spent spent[2]) {
    const struct bench_op *w = cell->op;
    if (w->prepare) w->prepare(c);
    redisReply *r = support_redis_command(s, "CONFIG RESETSTAT");
    if (!r) support_fail("the server doesn't answer");
    freeReplyObject(r);
    size_t depth = depth_of(cell);
    uint64_t first = c->unit;
    double cpu = bench_server_cpu(s), start = now_s(), end;
    do {
        size_t n = depth;
        if (w->drains && c->stored - c->removed < n) n = c->stored - c->removed;
        if (cell->pipelined)
            bench_units_pipelined(c, w, cell->length, n, t);
        else
            one_by_one(c, w, cell->length, t);
        end = now_s();
    } while (w->drains ? c->removed < c->stored : end - start < p->slice);
    double units = (double)(c->unit - first);
    cell->rate[cell->rounds] = units / (end - start);
    add_spent(s, w, spent); // answered when the server has done all else
    cell->cpu[cell->rounds] = (bench_server_cpu(s) - cpu) * 1e6 / units;
    cell->rounds++;
    if (w->finish) w->finish(c);
}

// ---- A group -------------------------------------------------------------------------------------

void bench_measure(struct support_redis *s, struct bench_caller *c, const struct bench_rounds *p,
                   struct bench_result *cells, size_t n) {
    struct bench_times *times = bench_calloc(n, sizeof *times);
    struct bench_spent(*spent)[2] = bench_calloc(n, sizeof *spent);
    struct bench_rounds first = {1, p->slice / 4}; // what a first use needs isn't counted
    for (size_t i = 0; i < n; i++) {
        slice(s, c, &first, &cells[i], &times[i], spent[i]);
        cells[i].rounds = times[i].n = 0;
        spent[i][0] = spent[i][1] = (struct bench_spent){0, 0};
    }
    // What drains must follow what stores, so the order stays the same in every round.
    for (size_t round = 0; round < p->rounds; round++)
        for (size_t i = 0; i < n; i++)
            slice(s, c, p, &cells[i], &times[i], spent[i]);
    for (size_t i = 0; i < n; i++) {
        double *sorted = bench_sorted_u64(times[i].at, times[i].n, 1e-3);
        cells[i].p50 = bench_quantile(sorted, times[i].n, 0.5);
        cells[i].p99 = bench_quantile(sorted, times[i].n, 0.99);
        cells[i].p999 = bench_quantile(sorted, times[i].n, 0.999);
        for (size_t k = 0; k < 2; k++)
            cells[i].usec[k] = spent[i][k].calls > 0 ? spent[i][k].usec / spent[i][k].calls : 0;
        free(sorted);
        free(times[i].at);
    }
    free(spent);
    free(times);
}

double bench_result_rate(const struct bench_result *c) {
    return bench_median(c->rate, c->rounds);
}

double bench_result_cpu(const struct bench_result *c) {
    return bench_median(c->cpu, c->rounds);
}

double bench_rate_ratio(const struct bench_result *of, const struct bench_result *by) {
    double ratios[BENCH_MAX_ROUNDS] = {0};
    size_t n = of->rounds < by->rounds ? of->rounds : by->rounds;
    for (size_t i = 0; i < n; i++)
        ratios[i] = of->rate[i] / by->rate[i];
    return bench_median(ratios, n);
}
