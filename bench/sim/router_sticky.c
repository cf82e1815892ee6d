// SPDX-License-Identifier: Apache-2.0
// Sticky sessions: a session's first request goes to the engine with the fewest requests of this router,
// the others follow it (smg's `manual` with assignment min_load).
//
// Each router has a table of its own. What it has assigned it never forgets, unless the engine goes.
#include <stdlib.h>
#include <string.h>

#include "bench/common/memory.h"
#include "routers.h"

struct sticky {
    struct local local;
    uint32_t sessions;
    const struct workload *load;
    uint32_t *home; // by router and session
    unsigned routers;
};

static uint32_t *homes(struct sticky *s, unsigned router) {
    return s->home + (size_t)router * s->sessions;
}

static void *open_sticky(const struct world *w) {
    struct sticky *s = memory_take(1, sizeof *s);
    local_open(&s->local, w);
    s->load = w->load;
    s->sessions = w->load->sessions;
    s->routers = w->routers;
    s->home = memory_take((size_t)w->routers * s->sessions, sizeof *s->home);
    memset(s->home, 0xff, (size_t)w->routers * s->sessions * sizeof *s->home);
    return s;
}

static uint32_t choose(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    struct sticky *s = self;
    uint32_t *home = &homes(s, router)[s->load->requests[request].session];
    if (*home == NOBODY || !local_may(&s->local, *home, avoid))
        *home = local_least(&s->local, router, avoid);
    return local_take(&s->local, router, *home);
}

static void on_news(void *self, unsigned router, uint32_t request, uint32_t worker,
                    enum news what) {
    struct sticky *s = self;
    (void)request;
    local_news(&s->local, router, worker, what);
}

static void on_lost(void *self, unsigned router) {
    struct sticky *s = self;
    local_lost(&s->local, router);
    memset(homes(s, router), 0xff, s->sessions * sizeof *s->home);
}

static void close_sticky(void *self) {
    struct sticky *s = self;
    free(s->home);
    free(s);
}

const struct router router_sticky = {
    .name = "sticky",
    .what = "a session's first to the least busy, the others after it",
    .open = open_sticky,
    .choose = choose,
    .news = on_news,
    .lost = on_lost,
    .close = close_sticky,
};
