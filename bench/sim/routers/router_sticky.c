// SPDX-License-Identifier: Apache-2.0
// Sticky sessions: a session's first request goes to the engine with the fewest requests of this router,
// the others follow it (smg's `manual` with assignment min_load).
//
// Each router has a table of its own. What it has assigned it never forgets, unless the engine goes.
#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_memory.h"
#include "open_requests.h"
#include "routers.h"

struct sticky {
    struct sim_local local;
    uint32_t *home[SIM_MAX_ROUTERS]; // by session
};

static void forget(void *self, unsigned router) {
    struct sticky *s = self;
    sim_local_lost(self, router);
    memset(s->home[router], 0xff, s->local.world.load->sessions * sizeof **s->home);
}

static void *open_sticky(const struct sim_world *w) {
    struct sticky *s = bench_calloc(1, sizeof *s);
    sim_local_open(&s->local, w);
    for (unsigned r = 0; r < w->plan->routers; r++) {
        s->home[r] = bench_calloc(w->load->sessions, sizeof **s->home);
        forget(s, r);
    }
    return s;
}

static uint32_t choose(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    struct sticky *s = self;
    uint32_t *home = &s->home[router][s->local.world.load->requests[request].session];
    if (*home == SIM_NOBODY || !sim_local_may(&s->local, *home, avoid))
        *home = sim_local_least(&s->local, router, avoid);
    return sim_local_take(&s->local, router, *home);
}

static void close_sticky(void *self) {
    struct sticky *s = self;
    for (unsigned r = 0; r < s->local.world.plan->routers; r++)
        free(s->home[r]);
    free(s);
}

static const struct sim_router_events events = {
    .news = sim_local_news, .lost = forget, .close = close_sticky};
const struct sim_router sim_sticky_routers[] = {
    {"sticky", "a session's first to the least busy, the others after it", open_sticky, choose,
     &events, .cached = false},
};
