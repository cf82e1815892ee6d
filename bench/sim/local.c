// SPDX-License-Identifier: Apache-2.0
// A router's own requests; see local.h.
#include "local.h"

#include <string.h>

#include "bench/common/random.h"

void local_open(struct local *l, const struct world *w) {
    *l = (struct local){.there = w->there, .workers = w->workers};
    for (unsigned r = 0; r < w->routers; r++) {
        l->router[r].rng = random_mix(w->seed * MAX_ROUTERS + r);
        l->router[r].turn = (uint32_t)(random_next(&l->router[r].rng) % w->workers);
    }
}

bool local_may(const struct local *l, uint32_t worker, uint32_t avoid) {
    return l->there[worker] && worker != avoid;
}

uint32_t local_turn(struct local *l, unsigned router, uint32_t avoid) {
    struct local_router *r = &l->router[router];
    for (unsigned i = 0; i < l->workers; i++) {
        uint32_t w = r->turn;
        r->turn = (w + 1) % l->workers;
        if (local_may(l, w, avoid)) return w;
    }
    return NOBODY;
}

uint32_t local_random(struct local *l, unsigned router, uint32_t avoid) {
    unsigned may = 0;
    for (uint32_t w = 0; w < l->workers; w++)
        may += local_may(l, w, avoid);
    if (!may) return NOBODY;
    uint64_t left = random_next(&l->router[router].rng) % may;
    for (uint32_t w = 0;; w++)
        if (local_may(l, w, avoid) && left-- == 0) return w;
}

uint32_t local_least(struct local *l, unsigned router, uint32_t avoid) {
    struct local_router *r = &l->router[router];
    uint32_t best = NOBODY;
    for (unsigned i = 0; i < l->workers; i++) {
        uint32_t w = (r->turn + i) % l->workers;
        if (local_may(l, w, avoid) && (best == NOBODY || r->open[w] < r->open[best])) best = w;
    }
    if (best != NOBODY) r->turn = (best + 1) % l->workers;
    return best;
}

uint32_t local_take(struct local *l, unsigned router, uint32_t worker) {
    if (worker == NOBODY) return worker;
    l->router[router].open[worker]++;
    l->router[router].total++;
    return worker;
}

void local_news(struct local *l, unsigned router, uint32_t worker, enum news what) {
    if (what == PREFILLED) return;
    l->router[router].open[worker]--;
    l->router[router].total--;
}

void local_lost(struct local *l, unsigned router) {
    struct local_router *r = &l->router[router];
    memset(r->open, 0, sizeof r->open);
    r->total = 0;
}
