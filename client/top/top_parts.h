// SPDX-License-Identifier: Apache-2.0
// What pages are put together from: figures in rows, and tables.
#ifndef TOP_PARTS_H
#define TOP_PARTS_H

#include "top_screen.h"

// Figures, one behind the other, each with its name; one that doesn't fit begins the next row. What comes after the last row isn't
// drawn.
struct top_figures {
    struct top_screen *screen;
    int row, col, end;
};
void top_figure(struct top_figures *f, const char *name, unsigned style, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
// The row behind them.
int top_figures_end(const struct top_figures *f);

// A column of a table.
struct top_column {
    const char *title;
    int least, most; // columns of the screen; where there is room, it grows
    int rank;        // those with a higher one are left out first; 0: never
    bool right;      // its title stands at its right end
};
enum { TOP_MAX_COLUMNS = 16 };
struct top_layout {
    int at[TOP_MAX_COLUMNS], width[TOP_MAX_COLUMNS]; // width 0: left out
};
// Places the columns, with a blank between each two.
struct top_layout top_layout_of(const struct top_column *columns, size_t n, int width);
// Their titles; `marked`: the column that the table is sorted by, or n.
void top_draw_titles(struct top_screen *s, int row, const struct top_column *columns, size_t n,
                     const struct top_layout *l, size_t marked, bool up);

#endif
