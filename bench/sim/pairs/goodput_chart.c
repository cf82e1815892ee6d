// SPDX-License-Identifier: Apache-2.0
// Charts of goodput; see goodput_chart.h.
#include "goodput_chart.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "bench/common/bench_memory.h"
#include "bench/common/chart.h"

// What of a fleet is drawn: loads of which some requests still keep the targets.
static size_t drawn(const struct goodput *g, size_t k) {
    size_t n = 0;
    while (n < g->n && g->points[n].kept[k] >= 0.3)
        n++;
    return n;
}

static void fill_lines(struct bench_chart_line *lines, double *room, const struct goodput *fleets,
                       const char *const *names, size_t n, size_t k, double unit) {
    for (size_t i = 0; i < n; i++) {
        double *x = room + 2 * i * GOODPUT_MAX_POINTS, *y = x + GOODPUT_MAX_POINTS;
        lines[i] = (struct bench_chart_line){
            .name = names[i], .x = x, .y = y, .n = drawn(&fleets[i], k), .dashed = i == 0};
        for (size_t j = 0; j < lines[i].n; j++) {
            x[j] = fleets[i].points[j].factor * unit;
            y[j] = fleets[i].points[j].kept[k] * 100;
        }
    }
}

bool goodput_chart(const char *folder, const char *name, const struct goodput *fleets,
                   const char *const *names, size_t n, double unit,
                   const struct sim_slo slo[GOODPUT_SLOS], const char *what) {
    struct bench_chart charts[GOODPUT_SLOS];
    struct bench_chart_line *lines = bench_calloc(GOODPUT_SLOS * n, sizeof *lines);
    size_t width = 2 * n * GOODPUT_MAX_POINTS;
    double *room = bench_calloc(GOODPUT_SLOS * width, sizeof *room);
    char titles[GOODPUT_SLOS][96], path[4096];
    mkdir(folder, 0777);
    for (size_t k = 0; k < GOODPUT_SLOS; k++) {
        fill_lines(lines + k * n, room + k * width, fleets, names, n, k, unit);
        snprintf(titles[k], sizeof titles[k], "First token within %g s, then %g ms a token",
                 slo[k].ttft, slo[k].tbt * 1e3);
        charts[k] = (struct bench_chart){.title = titles[k],
                                         .x_label = what,
                                         .y_label = "% of requests",
                                         .lines = lines + k * n,
                                         .n_lines = n};
    }
    int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    bool ok = length > 0 && (size_t)length < sizeof path &&
              bench_chart_write(path, "Requests within their targets", charts, GOODPUT_SLOS);
    free(lines);
    free(room);
    return ok;
}
