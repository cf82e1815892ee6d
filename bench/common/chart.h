// SPDX-License-Identifier: Apache-2.0
// Line charts as SVG files, for the documentation and for a browser.
#ifndef COMMON_CHART_H
#define COMMON_CHART_H

#include <stdbool.h>
#include <stddef.h>

enum { CHART_LINES = 12 };

struct chart_line {
    const char *name;
    const double *x, *y; // n points each, in order of x; on a log axis points <= 0 are left out
    size_t n;
    bool dashed;
};

struct chart {
    const char *title, *note; // note: a second line under the title, may be NULL
    const char *x_name, *y_name;
    bool x_log, y_log; // a linear axis begins at 0
    const struct chart_line *lines;
    size_t n; // up to CHART_LINES
};

// Writes the chart to a file. False, with a message on stderr: it can't be written.
bool chart_write(const char *path, const struct chart *c);

#endif
