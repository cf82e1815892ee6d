// SPDX-License-Identifier: Apache-2.0
// The yardstick; see search.h.
#include "search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/memory.h"

// What `delay` had before it measured them, and three bits.
const struct fixed fixed_default = {4, 8, 1, 1.0 / 128, 256, 3};

static double round_to(double x, double bits) {
    int exponent;
    if (bits >= 53 || x == 0) return x;
    double scale = ldexp(1, (int)bits), m = frexp(x, &exponent);
    return ldexp(nearbyint(m * scale) / scale, exponent);
}

double fixed_cost(const struct fixed *f, double queued, double own, double requests) {
    double later = f->d * (queued + own / 2);
    double cost = f->a * queued + own * (f->b + f->c * requests + later) + f->e * requests;
    return round_to(cost, f->bits);
}

static const double slack = 0.005; // of the share in SLO

struct point {
    struct fixed at;
    struct figures figures;
};

struct search {
    bool (*run)(void *ctx, const struct fixed *f, struct figures *out);
    void (*tried)(void *ctx, const struct fixed *f, const struct figures *x, bool best);
    void *ctx;
    struct point *points;
    size_t n, room, best;
    bool failed;
};

static void judge(struct search *s) {
    double most = 0;
    for (size_t i = 0; i < s->n; i++)
        most = fmax(most, s->points[i].figures.kept);
    size_t best = s->n;
    for (size_t i = 0; i < s->n; i++) {
        const struct figures *x = &s->points[i].figures;
        if (x->kept < most - slack) continue;
        if (best == s->n || x->ttft_mean < s->points[best].figures.ttft_mean) best = i;
    }
    s->best = best;
}

// Whether these constants are the best so far. What was tried isn't run again.
static bool attempt(struct search *s, struct fixed at) {
    for (size_t i = 0; i < s->n; i++)
        if (!memcmp(&s->points[i].at, &at, sizeof at)) return false;
    struct point p = {.at = at};
    if (!s->run(s->ctx, &at, &p.figures)) {
        s->failed = true;
        return false;
    }
    s->points = memory_grow(s->points, &s->room, s->n + 1, sizeof *s->points);
    s->points[s->n++] = p;
    judge(s);
    bool best = s->best == s->n - 1;
    if (s->tried) s->tried(s->ctx, &at, &p.figures, best);
    return best;
}

// Goes on in one direction for as long as that wins.
static bool walk(struct search *s, size_t field, double factor) {
    bool won = false;
    for (;;) {
        struct fixed at = s->points[s->best].at;
        *(double *)((char *)&at + field) *= factor;
        if (!attempt(s, at)) return won;
        won = true;
    }
}

static bool walk_bits(struct search *s, double step) {
    bool won = false;
    for (;;) {
        struct fixed at = s->points[s->best].at;
        at.bits += step;
        if (at.bits < 1 || at.bits > 53 || !attempt(s, at)) return won;
        won = true;
    }
}

static bool round_of(struct search *s, double factor) {
    static const size_t fields[] = {offsetof(struct fixed, b), offsetof(struct fixed, d),
                                    offsetof(struct fixed, e), offsetof(struct fixed, a)};
    bool won = false;
    for (size_t i = 0; i < sizeof fields / sizeof *fields && !s->failed; i++) {
        won |= walk(s, fields[i], factor);
        if (!s->failed) won |= walk(s, fields[i], 1 / factor);
    }
    for (double step = 1; step <= 2 && !s->failed; step++) {
        won |= walk_bits(s, step);
        if (!s->failed) won |= walk_bits(s, -step);
    }
    return won;
}

bool search_constants(bool (*run)(void *ctx, const struct fixed *f, struct figures *out),
                      void (*tried)(void *ctx, const struct fixed *f, const struct figures *x,
                                    bool best),
                      void *ctx, struct fixed *best, struct figures *figures, size_t *runs) {
    static const double factors[] = {4, 2, 1.4142135623730951};
    struct search s = {.run = run, .tried = tried, .ctx = ctx};
    attempt(&s, fixed_default);
    for (size_t i = 0; i < sizeof factors / sizeof *factors && !s.failed; i++)
        while (!s.failed && round_of(&s, factors[i]))
            ;
    if (s.n) {
        *best = s.points[s.best].at;
        *figures = s.points[s.best].figures;
    }
    *runs = s.n;
    free(s.points);
    return !s.failed;
}
