// SPDX-License-Identifier: Apache-2.0
// Which chart shows what.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bench/common/chart.h"
#include "bench/common/memory.h"
#include "results.h"

// The figures that the charts show.
static double ttft_mean(const struct row *r) {
    return r->figures.ttft_mean;
}
static double ttft_p99(const struct row *r) {
    return r->figures.ttft_p99;
}
static double tbt_mean(const struct row *r) {
    return r->figures.tbt_mean * 1e3;
}
static double hit(const struct row *r) {
    return r->figures.hit * 100;
}

struct shown {
    const char *title, *label;
    double (*value)(const struct row *);
    bool log;
};

static double factor(const struct row *r) {
    return r->factor;
}
static double routers_of(const struct row *r) {
    return r->spec.routers;
}

// A line for each name among the rows of a series, in the order in which they first come.
struct bundle {
    struct chart_line *lines;
    size_t n, room;
    double *memory;
};

static bool same_line(const struct row *a, const struct row *b, enum series s) {
    return a->spec.kind == b->spec.kind && a->spec.policy == b->spec.policy &&
           a->spec.together == b->spec.together &&
           (s == SCALED || a->spec.routers == b->spec.routers);
}

static struct bundle bundle(const struct results *r, enum series s, double (*x)(const struct row *),
                            double (*y)(const struct row *)) {
    struct bundle b = {.memory = memory_take(r->n * 2, sizeof(double))};
    double *next = b.memory;
    for (size_t i = 0; i < r->n; i++) {
        if (r->rows[i].series != s) continue;
        bool seen = false;
        for (size_t k = 0; k < i; k++)
            seen |= r->rows[k].series == s && same_line(&r->rows[k], &r->rows[i], s);
        if (seen) continue;
        struct chart_line l = {.name = r->rows[i].name};
        for (size_t k = i; k < r->n; k++)
            l.n += r->rows[k].series == s && same_line(&r->rows[k], &r->rows[i], s);
        double *at_x = next, *at_y = next + l.n;
        l.x = at_x, l.y = at_y;
        next += 2 * l.n;
        for (size_t k = i; k < r->n; k++)
            if (r->rows[k].series == s && same_line(&r->rows[k], &r->rows[i], s))
                *at_x++ = x(&r->rows[k]), *at_y++ = y(&r->rows[k]);
        b.lines = memory_grow(b.lines, &b.room, b.n + 1, sizeof *b.lines);
        b.lines[b.n++] = l;
    }
    return b;
}

static void unbundle(struct bundle *b) {
    free(b->lines);
    free(b->memory);
}

static bool series_chart(const struct results *r, enum series s, const char *path,
                         const char *title, const char *x_label, double (*x)(const struct row *),
                         const struct shown *shown, size_t n, bool log_x) {
    struct bundle bundles[4];
    struct chart charts[4];
    for (size_t i = 0; i < n; i++) {
        bundles[i] = bundle(r, s, x, shown[i].value);
        charts[i] = (struct chart){
            .title = shown[i].title,
            .x_label = x_label,
            .y_label = shown[i].label,
            .log_x = log_x,
            .log_y = shown[i].log,
            .lines = bundles[i].lines,
            .n_lines = bundles[i].n,
        };
    }
    bool ok = !bundles[0].n || chart_write(path, title, charts, n);
    for (size_t i = 0; i < n; i++)
        unbundle(&bundles[i]);
    return ok;
}

// ---- Over time -----------------------------------------------------------------------------------

static double stretch_ttft(const struct stretch *x) {
    return x->requests ? x->ttft / (double)x->requests : NAN;
}
static double stretch_hit(const struct stretch *x) {
    return x->blocks ? 100 * (double)x->hits / (double)x->blocks : NAN;
}

static bool recovery_chart(const struct results *r, const char *path) {
    size_t n = r->o->stretches, lines = 0;
    if (!n) return true;
    double (*const values[])(const struct stretch *) = {stretch_hit, stretch_ttft};
    struct chart_line *all[2];
    double *memory = memory_take((r->n * 2 + 1) * n, sizeof *memory), *x = memory, *y = x + n;
    for (size_t i = 0; i < n; i++)
        x[i] = r->seconds * ((double)i + 0.5) / (double)n;
    for (size_t c = 0; c < 2; c++) {
        all[c] = memory_take(r->n, sizeof **all);
        lines = 0;
        for (size_t i = 0; i < r->n; i++) {
            if (r->rows[i].series != COMPARED || !r->rows[i].stretches) continue;
            for (size_t k = 0; k < n; k++)
                y[k] = values[c](&r->rows[i].stretches[k]);
            all[c][lines++] = (struct chart_line){r->rows[i].name, x, y, n, false};
            y += n;
        }
    }
    const struct incident *first = r->o->n_incidents ? &r->o->incidents[0] : NULL;
    struct chart charts[2] = {
        {.title = "Blocks found in the engine's cache", .y_label = "%"},
        {.title = "Time to first token, mean", .y_label = "s", .log_y = true},
    };
    for (size_t c = 0; c < 2; c++) {
        charts[c].x_label = "time of arrival, s";
        charts[c].lines = all[c];
        charts[c].n_lines = lines;
        if (!first) continue;
        charts[c].mark_from = first->at;
        charts[c].mark_to = first->at + fmax(first->lasts, r->seconds / 400);
    }
    bool ok = !lines || chart_write(path, r->load, charts, 2);
    free(all[0]);
    free(all[1]);
    free(memory);
    return ok;
}

bool plots_write(const struct results *r, const char *folder) {
    static const struct shown by_load[] = {
        {"Time to first token, mean", "s", ttft_mean, true},
        {"Time to first token, 99th percentile", "s", ttft_p99, true},
        {"Time between tokens, mean", "ms", tbt_mean, false},
    };
    static const struct shown by_routers[] = {
        {"Time to first token, mean", "s", ttft_mean, true},
        {"Time to first token, 99th percentile", "s", ttft_p99, true},
        {"Blocks found in the engine's cache", "%", hit, false},
    };
    char path[4096];
    mkdir(folder, 0777);
    snprintf(path, sizeof path, "%s/load.svg", folder);
    bool ok =
        series_chart(r, SWEPT, path, r->load, "load, as a multiple", factor, by_load, 3, false);
    snprintf(path, sizeof path, "%s/routers.svg", folder);
    ok = ok && series_chart(r, SCALED, path, r->load, "routers", routers_of, by_routers, 3, true);
    snprintf(path, sizeof path, "%s/recovery.svg", folder);
    return ok && recovery_chart(r, path);
}
