// SPDX-License-Identifier: Apache-2.0
// Line charts as SVG files, one above the other with one legend, for the documentation and for a
// browser.
#ifndef COMMON_CHART_H
#define COMMON_CHART_H

#include <stdbool.h>
#include <stddef.h>

struct chart_line {
    const char *name;
    const double *x, *y; // NaN in y: a gap
    size_t n;
    bool dashed;
};

struct chart {
    const char *title, *x_label, *y_label;
    bool log_x, log_y;
    const struct chart_line *lines;
    size_t n_lines;
    double mark_from, mark_to; // a stretch of x that is shaded; equal: none
};

// Writes the file; title stands above all charts, and their lines are named as in the first. False, with
// a message on stderr: it can't be written.
bool chart_write(const char *path, const char *title, const struct chart *charts, size_t n);

#endif
