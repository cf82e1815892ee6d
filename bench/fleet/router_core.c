// SPDX-License-Identifier: Apache-2.0
// Stateful routers: each has a pool of its own in its own process, which it asks and books in as the
// module does. Four kinds, by what reaches the other routers:
//
//   own      nothing. A router knows its own decisions alone; what they put into caches it guesses
//            (PREDICT), since no engine tells it.
//   events   every router hears what engines cache, and knows the loads of its own requests only.
//   both     events and guesses: what was sent to an engine counts as held before it says so.
//   sync     events, and each decision and its end reach the other routers some time later.
#include <stdlib.h>

#include "core.h"
#include "memory.h"
#include "random.h"
#include "routers.h"

enum { OWN_PREDICT = 600000 }; // ms: longer than blocks stay, the engine's capacity bounds it

struct cores {
    struct world world;
    struct core core[MAX_ROUTERS];
    uint64_t rng[MAX_ROUTERS];
    uint32_t *cached; // tokens, by request, as its router thought
    int64_t predict;
    bool sync;
};

static struct cores *open_cores(const struct world *w, int64_t predict, bool sync) {
    struct cores *c = memory_take(1, sizeof *c);
    c->world = *w;
    c->predict = predict;
    c->sync = sync;
    c->cached = memory_take(w->load->n, sizeof *c->cached);
    for (unsigned r = 0; r < w->routers; r++) {
        core_open(&c->core[r], w, predict);
        c->rng[r] = random_mix(w->seed * MAX_ROUTERS + r);
    }
    return c;
}

static void *open_own(const struct world *w) {
    return open_cores(w, OWN_PREDICT, false);
}

static void *open_events(const struct world *w) {
    return open_cores(w, 0, false);
}

static void *open_sync(const struct world *w) {
    return open_cores(w, 0, true);
}

// ---- What other routers hear ---------------------------------------------------------------------

enum heard { HEARD_CHOSEN, HEARD_PREFILLED, HEARD_ENDED };

static void hear(void *self, uint32_t request, uint32_t packed) {
    struct cores *c = self;
    uint32_t from = packed >> 16, worker = packed >> 4 & 0xfff;
    const struct request *q = &c->world.load->requests[request];
    int64_t now = core_ms(*c->world.now);
    for (uint32_t r = 0; r < c->world.routers; r++) {
        struct kvr_pool *pool = c->core[r].pool;
        struct kvr_bytes id = core_id(&request);
        char room[CORE_NAME];
        int done;
        if (r == from) continue;
        switch ((enum heard)(packed & 0xf)) {
        case HEARD_CHOSEN: // refused when the engine has gone meanwhile: nothing is lost by that
            kvr_claim(pool, id, core_name(worker, room), 0,
                      &(struct kvr_booking){.hashes = request_hashes(c->world.load, request),
                                            .n = q->blocks,
                                            .isl = q->isl,
                                            .cached = c->cached[request],
                                            .created = now,
                                            .renewed = now},
                      &done);
            break;
        case HEARD_PREFILLED:
            kvr_update(pool, now, id, true, -1, -1, &done);
            break;
        case HEARD_ENDED:
            kvr_update(pool, now, id, false, q->osl, -1, &done);
            kvr_release(pool, now, &id, 1, KVR_RELEASED);
            break;
        }
    }
}

static void spread(struct cores *c, unsigned router, uint32_t request, uint32_t worker,
                   enum heard what) {
    if (c->sync && c->world.routers > 1)
        fleet_later(c->world.fleet, c->world.sync, hear, c, request,
                    router << 16 | worker << 4 | (uint32_t)what);
}

// ---- A router ------------------------------------------------------------------------------------

static uint32_t choose(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    struct cores *c = self;
    struct kvr_pool *pool = c->core[router].pool;
    const struct request *q = &c->world.load->requests[request];
    int64_t now = core_ms(*c->world.now);
    while (kvr_due_prediction(pool, now))
        kvr_forget(pool, now, 1000);
    char room[CORE_NAME];
    struct kvr_bytes not_this = core_name(avoid, room);
    struct kvr_query query = {
        .hashes = request_hashes(c->world.load, request),
        .n = q->blocks,
        .isl = q->isl,
        .rule = c->world.rule,
        .exclude = &not_this,
        .n_exclude = avoid != NOBODY,
    };
    struct kvr_choice choice;
    struct kvr_booking booked;
    double draw = c->world.rule.temperature > 0 ? random_unit(&c->rng[router]) : 0;
    if (kvr_select(pool, now, core_id(&request), &query, 0, draw, &choice, &booked)) return NOBODY;
    c->cached[request] = (uint32_t)choice.score.cached;
    uint32_t worker = core_number(choice.score.worker.p, choice.score.worker.n);
    spread(c, router, request, worker, HEARD_CHOSEN);
    return worker;
}

static void on_news(void *self, unsigned router, uint32_t request, uint32_t worker,
                    enum news what) {
    struct cores *c = self;
    struct kvr_bytes id = core_id(&request);
    struct kvr_pool *pool = c->core[router].pool;
    int64_t now = core_ms(*c->world.now);
    int live;
    if (what == PREFILLED) {
        kvr_update(pool, now, id, true, -1, -1, &live);
    } else {
        if (what == DONE)
            kvr_update(pool, now, id, false, c->world.load->requests[request].osl, -1, &live);
        kvr_release(pool, now, &id, 1, what == DONE ? KVR_RELEASED : KVR_LAPSED);
    }
    spread(c, router, request, worker, what == PREFILLED ? HEARD_PREFILLED : HEARD_ENDED);
}

static void on_changed(void *self, const struct change *x) {
    struct cores *c = self;
    for (unsigned r = 0; r < c->world.routers; r++)
        core_changed(&c->core[r], &c->world, x);
}

static void on_worker(void *self, uint32_t worker, bool there) {
    struct cores *c = self;
    for (unsigned r = 0; r < c->world.routers; r++)
        core_worker(&c->core[r], &c->world, worker, there);
}

static void on_lost(void *self, unsigned router) {
    struct cores *c = self;
    core_close(&c->core[router]);
    core_open(&c->core[router], &c->world, c->predict);
}

static void close_cores(void *self) {
    struct cores *c = self;
    for (unsigned r = 0; r < c->world.routers; r++)
        core_close(&c->core[r]);
    free(c->cached);
    free(c);
}

const struct router router_own = {
    .name = "own",
    .what = "state of its own: its decisions",
    .scores = true,
    .open = open_own,
    .choose = choose,
    .news = on_news,
    .worker = on_worker,
    .lost = on_lost,
    .close = close_cores,
};
const struct router router_events = {
    .name = "events",
    .what = "state of its own: its decisions, and all caches",
    .cached = true,
    .scores = true,
    .open = open_events,
    .choose = choose,
    .news = on_news,
    .changed = on_changed,
    .worker = on_worker,
    .lost = on_lost,
    .close = close_cores,
};
const struct router router_both = {
    .name = "both",
    .what = "state of its own: its decisions and what they will cache, and all caches",
    .cached = true,
    .scores = true,
    .open = open_own,
    .choose = choose,
    .news = on_news,
    .changed = on_changed,
    .worker = on_worker,
    .lost = on_lost,
    .close = close_cores,
};
const struct router router_sync = {
    .name = "sync",
    .what = "state of its own: all caches, all decisions, those of others late",
    .cached = true,
    .scores = true,
    .open = open_sync,
    .choose = choose,
    .news = on_news,
    .changed = on_changed,
    .worker = on_worker,
    .lost = on_lost,
    .close = close_cores,
};
