// SPDX-License-Identifier: Apache-2.0
// Stateful routers: each has a pool of its own in its own process, which it asks and books in as the
// module does. Four kinds, by what reaches the other routers:
//
//   own      nothing. A router knows its own decisions alone; what they put into caches it guesses
//            (PREDICT), since no engine tells it.
//   events   every router hears what engines cache, and knows the loads of its own requests only.
//   both     events and guesses: what was sent to an engine counts as held before it says so.
//   sync     events, and each decision and its end reach the other routers some time later.
#include "bench/common/memory.h"
#include "bench/common/random.h"
#include "cores.h"
#include "routers.h"

enum { OWN_PREDICT = 600000 }; // ms: longer than blocks stay, the engine's capacity bounds it

static struct cores *open_cores(const struct world *w, int64_t predict, bool talk) {
    struct cores *c = memory_take(1, sizeof *c);
    cores_open(c, w, predict, talk);
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

static uint32_t choose(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    struct cores *c = self;
    struct kvr_pool *pool = c->core[router].pool;
    const struct request *q = &c->world.load->requests[request];
    int64_t now = core_ms(*c->world.now);
    while (kvr_due_prediction(pool, now))
        kvr_forget(pool, now, 1000);
    char room[CORE_NAME], name[CORE_SESSION];
    struct kvr_bytes not_this = core_name(avoid, room);
    struct kvr_query query = {
        .hashes = request_hashes(c->world.load, request),
        .n = q->blocks,
        .isl = q->isl,
        .rule = c->world.rule,
        .exclude = &not_this,
        .n_exclude = avoid != NOBODY,
        .session = core_session(&c->world, request, name),
    };
    struct kvr_pool_choice choice;
    struct kvr_booking booked;
    double draw = c->world.rule.temperature > 0 ? random_unit(&c->rng[router]) : 0;
    if (kvr_select(pool, now, core_id(&request), &query, 0, draw, &choice, &booked)) return NOBODY;
    uint32_t worker = core_number(choice.score.worker.p, choice.score.worker.n);
    fleet_predicted(c->world.fleet, request, choice.score.ttft);
    cores_chosen(c, router, request, worker, choice.score.cached);
    return worker;
}

const struct router router_own = {
    .name = "own",
    .what = "state of its own: its decisions",
    .scores = true,
    .open = open_own,
    .choose = choose,
    .news = cores_news,
    .worker = cores_worker,
    .lost = cores_lost,
    .close = cores_close,
};
const struct router router_events = {
    .name = "events",
    .what = "state of its own: its decisions, and all caches",
    .cached = true,
    .scores = true,
    .open = open_events,
    .choose = choose,
    .news = cores_news,
    .changed = cores_changed,
    .worker = cores_worker,
    .lost = cores_lost,
    .close = cores_close,
};
const struct router router_both = {
    .name = "both",
    .what = "state of its own: its decisions and what they will cache, and all caches",
    .cached = true,
    .scores = true,
    .open = open_own,
    .choose = choose,
    .news = cores_news,
    .changed = cores_changed,
    .worker = cores_worker,
    .lost = cores_lost,
    .close = cores_close,
};
const struct router router_sync = {
    .name = "sync",
    .what = "state of its own: all caches, all decisions, those of others late",
    .cached = true,
    .scores = true,
    .open = open_sync,
    .choose = choose,
    .news = cores_news,
    .changed = cores_changed,
    .worker = cores_worker,
    .lost = cores_lost,
    .close = cores_close,
};
