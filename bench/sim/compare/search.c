// SPDX-License-Identifier: Apache-2.0
// The yardstick; see search.h.
#include "search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_memory.h"

static const double slack = 0.005; // of the share in SLO

struct tried_constants {
    struct sim_fixed at;
    struct sim_figures figures;
};

struct search_state {
    bool (*run)(void *ctx, const struct sim_fixed *f, struct sim_figures *out);
    void (*tried)(void *ctx, const struct sim_fixed *f, const struct sim_figures *x, bool best);
    void *ctx;
    struct tried_constants *points;
    size_t n, room, best;
    bool failed;
};

static void judge(struct search_state *s) {
    double best_share = 0;
    for (size_t i = 0; i < s->n; i++)
        best_share = fmax(best_share, s->points[i].figures.kept);
    size_t best = s->n;
    for (size_t i = 0; i < s->n; i++) {
        const struct sim_figures *x = &s->points[i].figures;
        if (x->kept < best_share - slack) continue;
        if (best == s->n || x->ttft_mean < s->points[best].figures.ttft_mean) best = i;
    }
    s->best = best;
}

// Whether these constants are the best so far. What was tried isn't run again.
static bool attempt(struct search_state *s, struct sim_fixed at) {
    for (size_t i = 0; i < s->n; i++)
        if (!memcmp(&s->points[i].at, &at, sizeof at)) return false;
    struct tried_constants p = {.at = at};
    if (!s->run(s->ctx, &at, &p.figures)) {
        s->failed = true;
        return false;
    }
    s->points = bench_grow(s->points, &s->room, s->n + 1, sizeof *s->points);
    s->points[s->n++] = p;
    judge(s);
    bool best = s->best == s->n - 1;
    if (s->tried) s->tried(s->ctx, &at, &p.figures, best);
    return best;
}

// Goes on in one direction for as long as that wins.
static bool walk(struct search_state *s, size_t field, double factor) {
    bool won = false;
    for (;;) {
        struct sim_fixed at = s->points[s->best].at;
        *(double *)((char *)&at + field) *= factor;
        if (!attempt(s, at)) return won;
        won = true;
    }
}

static bool walk_bits(struct search_state *s, double step) {
    bool won = false;
    for (;;) {
        struct sim_fixed at = s->points[s->best].at;
        at.bits += step;
        if (at.bits < 1 || at.bits > 53 || !attempt(s, at)) return won;
        won = true;
    }
}

static bool round_of(struct search_state *s, double factor) {
    static const size_t fields[] = {offsetof(struct sim_fixed, b), offsetof(struct sim_fixed, d),
                                    offsetof(struct sim_fixed, e), offsetof(struct sim_fixed, a)};
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

bool sim_search(bool (*run)(void *ctx, const struct sim_fixed *f, struct sim_figures *out),
                void (*tried)(void *ctx, const struct sim_fixed *f, const struct sim_figures *x,
                              bool best),
                void *ctx, struct sim_fixed *best, struct sim_figures *figures, size_t *runs) {
    static const double factors[] = {4, 2, 1.4142135623730951};
    struct search_state s = {.run = run, .tried = tried, .ctx = ctx};
    attempt(&s, sim_fixed_default);
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
