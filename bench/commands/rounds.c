// SPDX-License-Identifier: Apache-2.0
// Measuring; see rounds.h.
#define _GNU_SOURCE // program_invocation_short_name, strcasestr
#include "rounds.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/clock.h"
#include "bench/common/measure.h"
#include "bench/common/memory.h"
#include "bench/common/stop.h"

static double now_s(void) {
    return (double)clock_ns() / 1e9;
}

static void give_up(const char *what) {
    if (!stop_asked()) fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
    exit(1);
}

// ---- What the server says of itself --------------------------------------------------------------

// From the scheduler, exact to the microsecond once the server waits for work.
double server_cpu(const struct server *s) {
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

double info_number(struct server *s, const char *section, const char *field) {
    redisReply *r = server_command(s, "INFO %s", section);
    if (!r) give_up("the server doesn't answer");
    const char *at = r->str;
    size_t n = strlen(field);
    double v = 0;
    while ((at = strstr(at, field))) {
        bool line = at == r->str || at[-1] == '\n';
        at += n;
        if (!line || *at != ':') continue;
        v = strtod(at + 1, NULL);
        break;
    }
    freeReplyObject(r);
    return v;
}

struct spent {
    double calls, usec;
};

static struct spent spent_on(const char *stats, const char *command) {
    char field[64];
    struct spent s = {0, 0};
    snprintf(field, sizeof field, "cmdstat_%s:calls=", command);
    const char *at =
        strcasestr(stats, field); // a module's commands are shown as they were registered
    if (at) sscanf(at + strlen(field), "%lf,usec=%lf", &s.calls, &s.usec);
    return s;
}

static void add_spent(struct server *s, const struct way *w, struct spent spent[2]) {
    redisReply *r = server_command(s, "INFO commandstats");
    if (!r) give_up("the server doesn't answer");
    for (size_t i = 0; i < 2 && w->commands[i]; i++) {
        struct spent more = spent_on(r->str, w->commands[i]);
        spent[i].calls += more.calls;
        spent[i].usec += more.usec;
    }
    freeReplyObject(r);
}

// ---- A slice -------------------------------------------------------------------------------------

// Times of a cell over all of its slices, ns.
struct times {
    uint64_t *at;
    size_t n, room;
};

static void add_time(struct times *t, int64_t ns) {
    t->at = memory_grow(t->at, &t->room, t->n + 1, sizeof *t->at);
    t->at[t->n++] = (uint64_t)ns;
}

void units_together(struct caller *c, const struct way *w, size_t length, size_t n,
                    struct times *t) {
    uint64_t first = c->unit;
    for (size_t i = 0; i < n; i++)
        for (size_t step = 0; step < w->steps; step++)
            w->put(c, length, first + i, step);
    int64_t sent = clock_ns();
    wire_send(&c->wire);
    for (size_t i = 0; i < n; i++)
        for (size_t step = 0; step < w->steps; step++) {
            w->take(c, length, first + i, step);
            if (step == 0 && t) add_time(t, clock_ns() - sent);
        }
    c->unit += n;
}

static void one_by_one(struct caller *c, const struct way *w, size_t length, struct times *t) {
    for (size_t step = 0; step < w->steps; step++) {
        w->put(c, length, c->unit, step);
        int64_t sent = clock_ns();
        wire_send(&c->wire);
        w->take(c, length, c->unit, step);
        if (step == 0) add_time(t, clock_ns() - sent);
    }
    c->unit++;
}

static size_t depth_of(const struct cell *cell) {
    if (!cell->way->a_block) return DEPTH;
    size_t n = MOST_UNDER_WAY / lengths[cell->length];
    return n < 1 ? 1 : n < DEPTH ? n : DEPTH;
}

static void slice(struct server *s, struct caller *c, const struct plan *p, struct cell *cell,
                  struct times *t, struct spent spent[2]) {
    const struct way *w = cell->way;
    if (w->prepare) w->prepare(c);
    redisReply *r = server_command(s, "CONFIG RESETSTAT");
    if (!r) give_up("the server doesn't answer");
    freeReplyObject(r);
    size_t depth = depth_of(cell);
    uint64_t first = c->unit;
    double cpu = server_cpu(s), start = now_s(), end;
    do {
        size_t n = depth;
        if (w->drains && c->stored - c->removed < n) n = c->stored - c->removed;
        if (cell->pipelined)
            units_together(c, w, cell->length, n, t);
        else
            one_by_one(c, w, cell->length, t);
        end = now_s();
    } while (w->drains ? c->removed < c->stored : end - start < p->slice);
    if (stop_asked()) exit(1);
    double units = (double)(c->unit - first);
    cell->rate[cell->rounds] = units / (end - start);
    add_spent(s, w, spent); // answered when the server has done all else
    cell->cpu[cell->rounds] = (server_cpu(s) - cpu) * 1e6 / units;
    cell->rounds++;
    if (w->finish) w->finish(c);
}

// ---- A group -------------------------------------------------------------------------------------

void measure_cells(struct server *s, struct caller *c, const struct plan *p, struct cell *cells,
                   size_t n) {
    struct times *times = memory_take(n, sizeof *times);
    struct spent(*spent)[2] = memory_take(n, sizeof *spent);
    struct plan first = {1, p->slice / 4}; // what a first use needs isn't counted
    for (size_t i = 0; i < n; i++) {
        slice(s, c, &first, &cells[i], &times[i], spent[i]);
        cells[i].rounds = times[i].n = 0;
        spent[i][0] = spent[i][1] = (struct spent){0, 0};
    }
    // What drains must follow what stores, so the order stays the same in every round.
    for (size_t round = 0; round < p->rounds; round++)
        for (size_t i = 0; i < n; i++)
            slice(s, c, p, &cells[i], &times[i], spent[i]);
    for (size_t i = 0; i < n; i++) {
        double *sorted = measure_sorted_u64(times[i].at, times[i].n, 1e-3);
        cells[i].p50 = measure_quantile(sorted, times[i].n, 0.5);
        cells[i].p99 = measure_quantile(sorted, times[i].n, 0.99);
        cells[i].p999 = measure_quantile(sorted, times[i].n, 0.999);
        for (size_t k = 0; k < 2; k++)
            cells[i].usec[k] = spent[i][k].calls > 0 ? spent[i][k].usec / spent[i][k].calls : 0;
        free(sorted);
        free(times[i].at);
    }
    free(spent);
    free(times);
}

double median_of(const double *values, size_t n) {
    double *sorted = measure_sorted(values, n);
    double m = n % 2 ? sorted[n / 2] : n ? (sorted[n / 2 - 1] + sorted[n / 2]) / 2 : 0;
    free(sorted);
    return m;
}

double cell_rate(const struct cell *c) {
    return median_of(c->rate, c->rounds);
}

double cell_cpu(const struct cell *c) {
    return median_of(c->cpu, c->rounds);
}

double rate_ratio(const struct cell *of, const struct cell *by) {
    double ratios[MAX_ROUNDS] = {0};
    size_t n = of->rounds < by->rounds ? of->rounds : by->rounds;
    for (size_t i = 0; i < n; i++)
        ratios[i] = of->rate[i] / by->rate[i];
    return median_of(ratios, n);
}
