// SPDX-License-Identifier: Apache-2.0
// The search for the highest load that is borne; see goodput.h.
#include "goodput.h"

#include <math.h>
#include <string.h>

static const double enough = 0.9;
// Loads are tried upwards by this factor until too few keep any of the targets, then halfway between the last that is
// borne and the next.
static const double first_factor = 0.15, last_factor = 12, stride = 1.4, close = 1.05;
enum { HALVINGS = 3 };

static bool add_point(goodput_run *run, void *ctx, double factor, struct goodput *g) {
    struct goodput_point p = {.factor = factor};
    size_t at = g->n;
    if (g->n == GOODPUT_MAX_POINTS || !run(ctx, &p)) return false;
    while (at > 0 && g->points[at - 1].factor > factor)
        at--;
    memmove(&g->points[at + 1], &g->points[at], (g->n - at) * sizeof p);
    g->points[at] = p;
    g->n++;
    return true;
}

// How many of the first points are borne.
static size_t borne(const struct goodput *g, size_t k) {
    size_t n = 0;
    while (n < g->n && g->points[n].kept[k] >= enough)
        n++;
    return n;
}

const struct goodput_point *sim_goodput_at(const struct goodput *g, size_t k) {
    size_t n = borne(g, k);
    return n ? &g->points[n - 1] : NULL;
}

static double between(const struct goodput *g, size_t k) {
    size_t n = borne(g, k);
    if (!n || n == g->n) return n ? g->points[n - 1].factor : 0;
    const struct goodput_point *a = &g->points[n - 1], *b = &g->points[n];
    double part = (a->kept[k] - enough) / (a->kept[k] - b->kept[k]);
    return a->factor + part * (b->factor - a->factor);
}

bool sim_goodput_search(goodput_run *run, void *ctx, struct goodput *out) {
    bool any = true;
    *out = (struct goodput){0};
    for (double factor = first_factor; any && factor < last_factor; factor *= stride) {
        if (!add_point(run, ctx, factor, out)) return false;
        any = false;
        for (size_t k = 0; k < GOODPUT_SLOS; k++)
            any |= borne(out, k) == out->n;
    }
    for (size_t k = 0; k < GOODPUT_SLOS; k++) {
        for (int i = 0; i < HALVINGS; i++) {
            size_t n = borne(out, k);
            if (!n || n == out->n) break;
            double low = out->points[n - 1].factor, high = out->points[n].factor;
            if (high < low * close) break;
            if (!add_point(run, ctx, sqrt(low * high), out)) return false;
        }
        out->factor[k] = between(out, k);
    }
    return true;
}
