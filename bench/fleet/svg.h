// SPDX-License-Identifier: Apache-2.0
// Charts of lines as SVG, one above the other in one file, with one legend.
#ifndef FLEET_SVG_H
#define FLEET_SVG_H

#include <stdbool.h>
#include <stddef.h>

struct svg_line {
    const char *name;
    const double *x, *y; // NaN in y: a gap
    size_t n;
};

struct svg_chart {
    const char *title, *x_label, *y_label;
    bool log_x, log_y;
    const struct svg_line *lines;
    size_t n_lines;
    double mark_from, mark_to; // a stretch of x that is shaded; equal: none
};

// Writes the file. The lines of all charts are named as in the first; false, with a message: it can't.
bool svg_write(const char *path, const char *title, const struct svg_chart *charts, size_t n);

#endif
