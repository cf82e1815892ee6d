// SPDX-License-Identifier: Apache-2.0
// Line charts, one above the other with one legend, for the documentation and for a browser. gnuplot draws
// them; without it the script with the data is there and can be drawn elsewhere.
#ifndef BENCH_CHART_H
#define BENCH_CHART_H

#include <stdbool.h>
#include <stddef.h>

struct bench_chart_line {
    const char *name;
    const double *x, *y; // NaN in y: a gap
    size_t n;
    bool dashed;
};

struct bench_chart {
    const char *title, *x_label, *y_label;
    bool log_x, log_y;
    const struct bench_chart_line *lines;
    size_t n_lines;
    double mark_from, mark_to; // a stretch of x that is shaded; equal: none
};

// Writes path.gp and has path.svg drawn; title stands above all charts, and their lines are named as in the
// first. False, with a message on stderr: it can't.
bool bench_chart_write(const char *path, const char *title, const struct bench_chart *charts,
                       size_t n);

#endif
