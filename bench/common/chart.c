// SPDX-License-Identifier: Apache-2.0
// Line charts as SVG files; see chart.h.
#define _GNU_SOURCE // program_invocation_short_name
#include "chart.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 860, PLOT = 560, HEIGHT = 250, LEFT = 70, TOP = 56, GAP = 78, LEGEND = 18 };

// Okabe and Ito's colours, told apart by everybody; a second round is dashed.
static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                      "#e69f00", "#56b4e9", "#000000", "#999999"};
enum { COLOURS = sizeof colours / sizeof *colours };

struct axis {
    double from, to; // of the values, logarithms if log
    bool log;
};

static double on(const struct axis *a, double v, double length) {
    if (a->log) v = log10(v);
    return (v - a->from) / (a->to - a->from) * length;
}

static void widen(struct axis *a, double v) {
    if (isnan(v) || (a->log && v <= 0)) return;
    if (a->log) v = log10(v);
    if (v < a->from) a->from = v;
    if (v > a->to) a->to = v;
}

static void span(const struct chart *c, struct axis *x, struct axis *y) {
    *x = (struct axis){INFINITY, -INFINITY, c->log_x};
    *y = (struct axis){INFINITY, -INFINITY, c->log_y};
    for (size_t i = 0; i < c->n_lines; i++)
        for (size_t k = 0; k < c->lines[i].n; k++) {
            widen(x, c->lines[i].x[k]);
            widen(y, c->lines[i].y[k]);
        }
    if (!c->log_y && y->from > 0 && y->from < y->to * 0.6) y->from = 0;
    for (struct axis *a = x;; a = y) {
        if (!(a->from <= a->to)) a->from = 0, a->to = 1;
        if (a->to - a->from < 1e-9) a->from -= 0.5, a->to += 0.5;
        if (a == y) break;
    }
    double room = (y->to - y->from) * 0.05;
    y->to += room;
    if (y->from != 0 || y->log) y->from -= room;
}

static void text(FILE *f, double x, double y, const char *how, const char *s) {
    fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, how);
    for (; *s; s++) {
        if (*s == '<')
            fputs("&lt;", f);
        else if (*s == '&')
            fputs("&amp;", f);
        else
            fputc(*s, f);
    }
    fputs("</text>\n", f);
}

static void tick_label(char out[32], double v) {
    if (fabs(v) >= 1e6)
        snprintf(out, 32, "%.4g M", v / 1e6);
    else if (fabs(v) >= 1e4)
        snprintf(out, 32, "%.4g k", v / 1e3);
    else
        snprintf(out, 32, "%.4g", v);
}

// Where an axis is ticked: decades and their 2 and 5, or round steps.
static size_t ticks(const struct axis *a, double out[64]) {
    static const double steps[] = {1, 2, 5};
    size_t n = 0;
    if (a->log) {
        for (int d = (int)floor(a->from); d <= (int)ceil(a->to); d++)
            for (size_t i = 0; i < 3 && n < 64; i++) {
                double v = log10(steps[i]) + d;
                if (v >= a->from - 1e-9 && v <= a->to + 1e-9) out[n++] = pow(10, v);
            }
        return n;
    }
    double step = pow(10, floor(log10((a->to - a->from) / 4)));
    while ((a->to - a->from) / step > 7)
        step *= (a->to - a->from) / step > 14 ? 5 : 2;
    for (double v = ceil(a->from / step) * step; v <= a->to + step / 1e6 && n < 64; v += step)
        out[n++] = fabs(v) < step / 1e6 ? 0 : v;
    return n;
}

static void draw_axes(FILE *f, const struct chart *c, const struct axis *x, const struct axis *y,
                      double top) {
    double at[64];
    char label[32];
    size_t n = ticks(y, at);
    for (size_t i = 0; i < n; i++) {
        double v = top + HEIGHT - on(y, at[i], HEIGHT);
        fprintf(f, "<path class=\"g\" d=\"M%d %.1fh%d\"/>\n", LEFT, v, PLOT);
        tick_label(label, at[i]);
        text(f, LEFT - 6, v + 4, "text-anchor=\"end\"", label);
    }
    // A few points on a logarithmic axis are ticked themselves.
    bool own = c->log_x && c->n_lines && c->lines->n <= 12;
    n = own ? c->lines->n : ticks(x, at);
    for (size_t i = 0; i < n; i++) {
        if (own) at[i] = c->lines->x[i];
        double v = LEFT + on(x, at[i], PLOT);
        fprintf(f, "<path class=\"g\" d=\"M%.1f %.1fv%d\"/>\n", v, top, HEIGHT);
        tick_label(label, at[i]);
        text(f, v, top + HEIGHT + 15, "text-anchor=\"middle\"", label);
    }
    fprintf(f, "<path class=\"a\" d=\"M%d %.1fv%dh%d\"/>\n", LEFT, top, HEIGHT, PLOT);
    text(f, LEFT, top - 8, "class=\"b\"", c->title);
    text(f, LEFT + PLOT / 2.0, top + HEIGHT + 32, "text-anchor=\"middle\"", c->x_label);
    fprintf(f, "<g transform=\"translate(16 %.1f) rotate(-90)\">", top + HEIGHT / 2.0);
    text(f, 0, 0, "text-anchor=\"middle\"", c->y_label);
    fputs("</g>\n", f);
}

static const char *dashes(const struct chart_line *l, size_t which) {
    return l->dashed || which / COLOURS ? " stroke-dasharray=\"6 3\"" : "";
}

static void draw_line(FILE *f, const struct chart_line *l, size_t which, const struct axis *x,
                      const struct axis *y, double top) {
    bool pen = false;
    fprintf(f, "<path class=\"l\" stroke=\"%s\"%s d=\"", colours[which % COLOURS],
            dashes(l, which));
    for (size_t i = 0; i < l->n; i++) {
        bool gap = isnan(l->y[i]) || (y->log && l->y[i] <= 0);
        if (!gap)
            fprintf(f, "%c%.1f %.1f", pen ? 'L' : 'M', LEFT + on(x, l->x[i], PLOT),
                    top + HEIGHT - on(y, l->y[i], HEIGHT));
        pen = !gap;
    }
    fputs("\"/>\n", f);
    for (size_t i = 0; i < l->n && l->n <= 24; i++)
        if (!isnan(l->y[i]) && !(y->log && l->y[i] <= 0))
            fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\" fill=\"%s\"/>\n",
                    LEFT + on(x, l->x[i], PLOT), top + HEIGHT - on(y, l->y[i], HEIGHT),
                    colours[which % COLOURS]);
}

static void draw_chart(FILE *f, const struct chart *c, double top) {
    struct axis x, y;
    span(c, &x, &y);
    if (c->mark_to > c->mark_from)
        fprintf(f, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" fill=\"#f4d9d0\"/>\n",
                LEFT + on(&x, c->mark_from, PLOT), top,
                fmax(on(&x, c->mark_to, PLOT) - on(&x, c->mark_from, PLOT), 1), HEIGHT);
    draw_axes(f, c, &x, &y, top);
    for (size_t i = 0; i < c->n_lines; i++)
        draw_line(f, &c->lines[i], i, &x, &y, top);
}

bool chart_write(const char *path, const char *title, const struct chart *charts, size_t n) {
    FILE *f = fopen(path, "w");
    if (!f) {
        fprintf(stderr, "%s: can't write %s: %s\n", program_invocation_short_name, path,
                strerror(errno));
        return false;
    }
    int height = TOP + (int)n * (HEIGHT + GAP);
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
            "height=\"%d\">\n"
            "<!-- SPDX-License-Identifier: Apache-2.0 -->\n"
            "<style>text{font:12px sans-serif;fill:#222}.b{font-weight:bold}.t{font:bold 15px "
            "sans-serif}\n"
            ".g{stroke:#e4e4e4;fill:none}.a{stroke:#444;fill:none}.l{fill:none;stroke-width:1.8}"
            "</style>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
            WIDTH, height, WIDTH, height);
    text(f, LEFT, 22, "class=\"t\"", title);
    for (size_t i = 0; i < n; i++)
        draw_chart(f, &charts[i], TOP + (double)i * (HEIGHT + GAP));
    for (size_t i = 0; n && i < charts[0].n_lines; i++) {
        double y = TOP + 8 + (double)i * LEGEND;
        fprintf(f, "<path class=\"l\" stroke=\"%s\"%s d=\"M%d %.1fh24\"/>\n", colours[i % COLOURS],
                dashes(&charts[0].lines[i], i), LEFT + PLOT + 16, y);
        text(f, LEFT + PLOT + 46, y + 4, "", charts[0].lines[i].name);
    }
    fputs("</svg>\n", f);
    bool ok = !ferror(f);
    if (fclose(f) || !ok) {
        fprintf(stderr, "%s: can't write %s: %s\n", program_invocation_short_name, path,
                strerror(errno));
        return false;
    }
    return true;
}
