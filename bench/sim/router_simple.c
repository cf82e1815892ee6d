// SPDX-License-Identifier: Apache-2.0
// Routers that know nothing of caches: in turn, by chance, the better of two, the least busy. Each of
// the R routers counts its own requests only.
#include <stdlib.h>

#include "bench/common/memory.h"
#include "routers.h"

static void *open_local(const struct world *w) {
    struct local *l = memory_take(1, sizeof *l);
    local_open(l, w);
    return l;
}

static void on_news(void *self, unsigned router, uint32_t request, uint32_t worker,
                    enum news what) {
    (void)request;
    local_news(self, router, worker, what);
}

static void on_lost(void *self, unsigned router) {
    local_lost(self, router);
}

static uint32_t in_turn(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    (void)request;
    return local_take(self, router, local_turn(self, router, avoid));
}

static uint32_t by_chance(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    (void)request;
    return local_take(self, router, local_random(self, router, avoid));
}

static uint32_t better_of_two(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    (void)request;
    struct local *l = self;
    uint32_t a = local_random(l, router, avoid), b = local_random(l, router, avoid);
    const uint32_t *open = l->router[router].open;
    return local_take(l, router, a == NOBODY || open[a] <= open[b] ? a : b);
}

static uint32_t least_busy(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    (void)request;
    return local_take(self, router, local_least(self, router, avoid));
}

const struct router router_round_robin = {
    .name = "round-robin",
    .what = "in turn",
    .open = open_local,
    .choose = in_turn,
    .news = on_news,
    .lost = on_lost,
    .close = free,
};
const struct router router_random = {
    .name = "random",
    .what = "by chance",
    .open = open_local,
    .choose = by_chance,
    .news = on_news,
    .lost = on_lost,
    .close = free,
};
const struct router router_two = {
    .name = "two-choices",
    .what = "of two by chance the one with fewer requests",
    .open = open_local,
    .choose = better_of_two,
    .news = on_news,
    .lost = on_lost,
    .close = free,
};
const struct router router_least = {
    .name = "least",
    .what = "the one with the fewest requests",
    .open = open_local,
    .choose = least_busy,
    .news = on_news,
    .lost = on_lost,
    .close = free,
};
