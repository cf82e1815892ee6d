// SPDX-License-Identifier: Apache-2.0
// Line charts as SVG files; see chart.h.
#define _GNU_SOURCE // program_invocation_short_name
#include "chart.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 860, HEIGHT = 440, LEFT = 78, RIGHT = 200, TOP = 62, BOTTOM = 56 };
static const double plot_width = WIDTH - LEFT - RIGHT, plot_height = HEIGHT - TOP - BOTTOM;

// Told apart by lightness too, for those who don't see the colours.
static const char *const colours[CHART_LINES] = {"#1b5fa8", "#d1622b", "#3a8a4d", "#8250a8",
                                                 "#b8860b", "#c03a5b", "#3f9aa6", "#5d6470",
                                                 "#8a5a3c", "#6a7fd0", "#a0a832", "#222222"};

// One axis: a range, and where a value lies in it.
struct axis {
    double min, max, step; // step: between labels of a linear axis
    bool log;
};

static double share(const struct axis *a, double v) {
    if (a->log) return log(v / a->min) / log(a->max / a->min);
    return (v - a->min) / (a->max - a->min);
}

static double across(const struct axis *a, double v) {
    return LEFT + share(a, v) * plot_width;
}

static double up(const struct axis *a, double v) {
    return TOP + (1 - share(a, v)) * plot_height;
}

static bool drawn(const struct axis *a, double v) {
    return isfinite(v) && (!a->log || v > 0);
}

// The least of 1, 2 and 5 times a power of ten that isn't less.
static double round_up(double v) {
    double ten = pow(10, floor(log10(v)));
    double times = v / ten;
    return ten * (times <= 1 ? 1 : times <= 2 ? 2 : times <= 5 ? 5 : 10);
}

static double round_down(double v) {
    double ten = pow(10, floor(log10(v)));
    double times = v / ten;
    return ten * (times < 2 ? 1 : times < 5 ? 2 : 5);
}

static struct axis axis_of(const struct chart *c, bool y) {
    struct axis a = {.min = INFINITY, .max = -INFINITY, .log = y ? c->y_log : c->x_log};
    for (size_t i = 0; i < c->n; i++)
        for (size_t k = 0; k < c->lines[i].n; k++) {
            double v = y ? c->lines[i].y[k] : c->lines[i].x[k];
            if (!drawn(&a, v)) continue;
            a.min = v < a.min ? v : a.min;
            a.max = v > a.max ? v : a.max;
        }
    if (a.max < a.min) a.min = a.max = 1;
    if (a.log) {
        a.min = round_down(a.min);
        a.max = round_up(a.max > a.min ? a.max : a.min * 10);
    } else {
        a.min = a.min < 0 ? a.min : 0;
        a.step = round_up((a.max > a.min ? a.max - a.min : 1) / 6);
        a.max = ceil((a.max > a.min ? a.max : a.min + 1) / a.step) * a.step;
    }
    return a;
}

static void text(FILE *f, const char *s) {
    for (; *s; s++)
        if (*s == '<')
            fputs("&lt;", f);
        else if (*s == '&')
            fputs("&amp;", f);
        else
            fputc(*s, f);
}

static void label(FILE *f, double x, double y, const char *style, const char *s) {
    fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, style);
    text(f, s);
    fputs("</text>\n", f);
}

static void number(char out[32], double v) {
    if (fabs(v) >= 1e6)
        snprintf(out, 32, "%.4g M", v / 1e6);
    else if (fabs(v) >= 1e4)
        snprintf(out, 32, "%.4g k", v / 1e3);
    else
        snprintf(out, 32, "%.4g", v);
}

static void tick(FILE *f, const struct axis *a, double v, bool y) {
    char s[32];
    number(s, v);
    if (y) {
        fprintf(f, "<path d=\"M%d %.1fh%.1f\" stroke=\"#dde3ea\"/>\n", LEFT, up(a, v), plot_width);
        label(f, LEFT - 8, up(a, v) + 4, "text-anchor=\"end\"", s);
    } else {
        fprintf(f, "<path d=\"M%.1f %dv%.1f\" stroke=\"#eef1f5\"/>\n", across(a, v), TOP,
                plot_height);
        label(f, across(a, v), TOP + plot_height + 18, "text-anchor=\"middle\"", s);
    }
}

// Labels of a log axis: 1, 2 and 5 of each power of ten, or only the powers if these are many.
static void ticks(FILE *f, const struct axis *a, bool y) {
    if (!a->log) {
        for (double v = ceil(a->min / a->step) * a->step; v <= a->max * 1.0001; v += a->step)
            tick(f, a, fabs(v) < a->step / 2 ? 0 : v, y);
        return;
    }
    static const double times[] = {1, 2, 5};
    bool all = a->max / a->min < 2e3;
    for (double ten = pow(10, floor(log10(a->min))); ten <= a->max; ten *= 10)
        for (size_t i = 0; i < (all ? 3 : 1); i++)
            if (times[i] * ten >= a->min * 0.999 && times[i] * ten <= a->max * 1.001)
                tick(f, a, times[i] * ten, y);
}

static void line(FILE *f, const struct chart *c, const struct axis *x, const struct axis *y,
                 size_t i) {
    const struct chart_line *l = &c->lines[i];
    fprintf(f, "<g stroke=\"%s\" fill=\"none\" stroke-width=\"2\"><path%s d=\"", colours[i],
            l->dashed ? " stroke-dasharray=\"6 4\"" : "");
    bool begun = false;
    for (size_t k = 0; k < l->n; k++) {
        if (!drawn(x, l->x[k]) || !drawn(y, l->y[k])) continue;
        fprintf(f, "%c%.1f %.1f", begun ? 'L' : 'M', across(x, l->x[k]), up(y, l->y[k]));
        begun = true;
    }
    fputs("\"/></g>\n", f);
    if (l->n <= 40)
        for (size_t k = 0; k < l->n; k++)
            if (drawn(x, l->x[k]) && drawn(y, l->y[k]))
                fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n",
                        across(x, l->x[k]), up(y, l->y[k]), colours[i]);
    double at = TOP + 8 + 20 * (double)i;
    fprintf(f, "<path d=\"M%.1f %.1fh22\" stroke=\"%s\" stroke-width=\"3\"%s/>\n",
            LEFT + plot_width + 14, at, colours[i], l->dashed ? " stroke-dasharray=\"6 4\"" : "");
    label(f, LEFT + plot_width + 42, at + 4, "", l->name);
}

bool chart_write(const char *path, const struct chart *c) {
    FILE *f = fopen(path, "w");
    if (!f) {
        fprintf(stderr, "%s: can't write %s: %s\n", program_invocation_short_name, path,
                strerror(errno));
        return false;
    }
    struct axis x = axis_of(c, false), y = axis_of(c, true);
    char style[120];
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
            "height=\"%d\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\" "
            "fill=\"#1b2733\" role=\"img\">\n"
            "<!-- SPDX-License-Identifier: Apache-2.0 -->\n"
            "<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n",
            WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT);
    label(f, LEFT, 26, "font-size=\"16\" font-weight=\"bold\"", c->title);
    if (c->note) label(f, LEFT, 46, "fill=\"#5a6b7d\"", c->note);
    ticks(f, &x, false);
    ticks(f, &y, true);
    fprintf(f, "<path d=\"M%d %dv%.1fh%.1f\" stroke=\"#44566c\" fill=\"none\"/>\n", LEFT, TOP,
            plot_height, plot_width);
    label(f, LEFT + plot_width / 2, HEIGHT - 14, "text-anchor=\"middle\"", c->x_name);
    snprintf(style, sizeof style, "text-anchor=\"middle\" transform=\"rotate(-90 18 %.1f)\"",
             TOP + plot_height / 2);
    label(f, 18, TOP + plot_height / 2, style, c->y_name);
    for (size_t i = 0; i < c->n && i < CHART_LINES; i++)
        line(f, c, &x, &y, i);
    fputs("</svg>\n", f);
    bool ok = !ferror(f);
    ok = !fclose(f) && ok;
    if (!ok) fprintf(stderr, "%s: can't write %s\n", program_invocation_short_name, path);
    return ok;
}
