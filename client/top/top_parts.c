// SPDX-License-Identifier: Apache-2.0
#include "top_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void top_figure(struct top_figures *f, const char *name, unsigned style, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    int need = (int)(strlen(name) + (*name ? 1 : 0) + strlen(text));
    if (f->col && f->col + need > f->screen->cols) {
        f->row++;
        f->col = 0;
    }
    if (f->row >= f->end) return;
    if (*name)
        f->col += 1 + top_screen_put(f->screen, f->row, f->col, f->screen->cols, TOP_DIM, name);
    f->col += 2 + top_screen_put(f->screen, f->row, f->col, f->screen->cols, style, text);
}

int top_figures_end(const struct top_figures *f) {
    return f->row >= f->end ? f->end : f->row + (f->col > 0);
}

// ---- Tables --------------------------------------------------------------------------------------

static int total_width(const struct top_layout *l, size_t n) {
    int all = 0;
    for (size_t i = 0; i < n; i++)
        if (l->width[i]) all += l->width[i] + (all ? 1 : 0);
    return all;
}

static int highest_rank(const struct top_column *columns, size_t n, const struct top_layout *l,
                        size_t *which) {
    int rank = 0;
    for (size_t i = 0; i < n; i++) {
        if (!l->width[i] || columns[i].rank < rank || !columns[i].rank) continue;
        rank = columns[i].rank;
        *which = i;
    }
    return rank;
}

struct top_layout top_layout_of(const struct top_column *columns, size_t n, int width) {
    struct top_layout l = {{0}, {0}};
    size_t out = 0;
    for (size_t i = 0; i < n; i++)
        l.width[i] = columns[i].least;
    while (total_width(&l, n) > width && highest_rank(columns, n, &l, &out))
        l.width[out] = 0;
    int left = width - total_width(&l, n), at = 0;
    for (size_t i = 0; i < n; i++) {
        if (!l.width[i]) continue;
        int more = columns[i].most - columns[i].least;
        more = more < left ? more : left;
        if (more > 0) l.width[i] += more, left -= more;
        l.at[i] = at;
        at += l.width[i] + 1;
    }
    return l;
}

void top_draw_titles(struct top_screen *s, int row, const struct top_column *columns, size_t n,
                     const struct top_layout *l, size_t marked, bool up) {
    for (int col = 0; col < s->cols; col++)
        top_screen_put(s, row, col, 1, TOP_HEAD, " ");
    for (size_t i = 0; i < n; i++) {
        char title[40];
        if (!l->width[i]) continue;
        const char *mark = i != marked ? "" : up ? "^" : "v";
        snprintf(title, sizeof title, "%s%s", columns[i].title, mark);
        unsigned style = i == marked ? TOP_HEAD | TOP_REVERSED : TOP_HEAD;
        if (columns[i].right)
            top_screen_right(s, row, l->at[i], l->width[i], style, title);
        else
            top_screen_put(s, row, l->at[i], l->width[i], style, title);
    }
}
