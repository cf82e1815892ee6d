// SPDX-License-Identifier: Apache-2.0
// Which chart shows what.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bench/common/bench_memory.h"
#include "bench/common/chart.h"
#include "results.h"

enum { CHARTS = 3 }; // in a file

// A file of charts whose lines share their x, and the values of all lines one after the other.
struct chart_file {
    struct bench_chart charts[CHARTS];
    struct bench_chart_line *lines[CHARTS];
    double *x, *y[CHARTS];
    size_t n_lines, n_values;
};

static struct chart_file open_file(size_t max_lines, size_t max_values) {
    struct chart_file f = {.x = bench_calloc(max_values, sizeof(double))};
    for (size_t c = 0; c < CHARTS; c++) {
        f.lines[c] = bench_calloc(max_lines, sizeof **f.lines);
        f.y[c] = bench_calloc(max_values, sizeof(double));
    }
    return f;
}

static void begin_line(struct chart_file *f, const char *name) {
    for (size_t c = 0; c < CHARTS; c++)
        f->lines[c][f->n_lines] = (struct bench_chart_line){
            .name = name, .x = f->x + f->n_values, .y = f->y[c] + f->n_values};
    f->n_lines++;
}

static void add_point(struct chart_file *f, double x, const double y[CHARTS]) {
    f->x[f->n_values] = x;
    for (size_t c = 0; c < CHARTS; c++) {
        f->y[c][f->n_values] = y[c];
        f->lines[c][f->n_lines - 1].n++;
    }
    f->n_values++;
}

// The first n charts; nothing if they have no lines.
static bool write_file(struct chart_file *f, const char *folder, const char *name,
                       const char *title, size_t n) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    for (size_t c = 0; c < CHARTS; c++) {
        f->charts[c].lines = f->lines[c];
        f->charts[c].n_lines = f->n_lines;
    }
    bool ok = !f->n_lines || bench_chart_write(path, title, f->charts, n);
    for (size_t c = 0; c < CHARTS; c++) {
        free(f->lines[c]);
        free(f->y[c]);
    }
    free(f->x);
    return ok;
}

// ---- Against load and number of routers ----------------------------------------------------------

static bool same_line(const struct sim_row *a, const struct sim_row *b, enum sim_series s) {
    return b->series == s && a->spec.kind == b->spec.kind && a->spec.policy == b->spec.policy &&
           a->spec.together == b->spec.together &&
           (s == SIM_SCALED || a->spec.routers == b->spec.routers);
}

// A line for each name among the rows of a series, in the order in which they first come.
static bool write_series(const struct sim_results *r, enum sim_series s, const char *folder) {
    bool scaled = s == SIM_SCALED;
    struct chart_file f = open_file(r->n, r->n);
    f.charts[0] = (struct bench_chart){
        .title = "Time to first token, mean", .y_label = "s", .log_y = true, .log_x = scaled};
    f.charts[0].x_label = scaled ? "routers" : "load, as a multiple";
    f.charts[1] = f.charts[2] = f.charts[0];
    f.charts[1].title = "Time to first token, 99th percentile";
    f.charts[2].title = scaled ? "Blocks found in the engine's cache" : "Time between tokens, mean";
    f.charts[2].y_label = scaled ? "%" : "ms";
    f.charts[2].log_y = false;
    for (size_t i = 0; i < r->n; i++) {
        const struct sim_row *row = &r->rows[i];
        bool seen = row->series != s;
        for (size_t k = 0; k < i; k++)
            seen |= same_line(row, &r->rows[k], s);
        if (seen) continue;
        begin_line(&f, row->name);
        for (size_t k = i; k < r->n; k++) {
            const struct sim_figures *x = &r->rows[k].figures;
            double y[] = {x->ttft_mean, x->ttft_p99, scaled ? x->hit * 100 : x->tbt_mean * 1e3};
            if (same_line(row, &r->rows[k], s))
                add_point(&f, scaled ? r->rows[k].spec.routers : r->rows[k].factor, y);
        }
    }
    return write_file(&f, folder, scaled ? "routers" : "load", r->load, 3);
}

// ---- Over time -----------------------------------------------------------------------------------

static bool write_recovery(const struct sim_results *r, const char *folder) {
    size_t n = r->o->stretches;
    struct chart_file f = open_file(r->n, r->n * n);
    f.charts[0] =
        (struct bench_chart){.title = "Blocks found in the engine's cache", .y_label = "%"};
    f.charts[1] =
        (struct bench_chart){.title = "Time to first token, mean", .y_label = "s", .log_y = true};
    for (size_t c = 0; c < 2; c++) {
        f.charts[c].x_label = "time of arrival, s";
        if (!r->o->plan.n_incidents) continue;
        const struct sim_incident *first = &r->o->incidents[0];
        f.charts[c].mark_from = first->at;
        f.charts[c].mark_to = first->at + fmax(first->lasts, r->seconds / 400);
    }
    for (size_t i = 0; n && i < r->n; i++) {
        const struct sim_row *row = &r->rows[i];
        if (row->series != SIM_COMPARED || !row->stretches) continue;
        begin_line(&f, row->name);
        for (size_t k = 0; k < n; k++) {
            const struct sim_stretch *x = &row->stretches[k];
            double y[] = {x->blocks ? 100 * (double)x->hits / (double)x->blocks : NAN,
                          x->requests ? x->ttft / (double)x->requests : NAN, 0};
            add_point(&f, r->seconds * ((double)k + 0.5) / (double)n, y);
        }
    }
    return write_file(&f, folder, "recovery", r->load, 2);
}

bool sim_results_plots(const struct sim_results *r, const char *folder) {
    mkdir(folder, 0777);
    return write_series(r, SIM_SWEPT, folder) && write_series(r, SIM_SCALED, folder) &&
           write_recovery(r, folder);
}
