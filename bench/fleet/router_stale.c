// SPDX-License-Identifier: Apache-2.0
// Stateless routers on the engines' metrics: they hear what engines cache, and read the engines' loads
// from time to time. Between two readings all of them see the same loads, and none sees what any of
// them has decided since.
#include <stdlib.h>
#include <string.h>

#include "core.h"
#include "memory.h"
#include "routers.h"

struct stale {
    struct world world;
    struct local local; // for its turns only
    struct core core;   // what is cached; nothing is ever booked
    double prompt_tokens[MAX_WORKERS], blocks[MAX_WORKERS], requests[MAX_WORKERS];
};

static void read_metrics(void *self, uint32_t a, uint32_t b) {
    struct stale *s = self;
    for (uint32_t w = 0; w < s->world.workers; w++) {
        struct engine_load l = fleet_load(s->world.fleet, w);
        s->prompt_tokens[w] = (double)l.prompt_tokens;
        s->blocks[w] = (double)l.blocks;
        s->requests[w] = l.requests;
    }
    fleet_later(s->world.fleet, s->world.age, read_metrics, s, a, b);
}

static void *open_stale(const struct world *w) {
    struct stale *s = memory_take(1, sizeof *s);
    s->world = *w;
    local_open(&s->local, w);
    core_open(&s->core, w, 0);
    read_metrics(s, 0, 0);
    return s;
}

static uint32_t choose(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    struct stale *s = self;
    const struct request *q = &s->world.load->requests[request];
    const struct kvr_score *scores;
    size_t n;
    struct kvr_query query = {
        .hashes = request_hashes(s->world.load, request),
        .n = q->blocks,
        .isl = q->isl,
        .rule = s->world.rule,
    };
    if (kvr_scores(s->core.pool, core_ms(*s->world.now), &query, &scores, &n)) return NOBODY;
    double credit[MAX_WORKERS] = {0}, nothing[MAX_WORKERS] = {0}, cost[MAX_WORKERS];
    for (size_t i = 0; i < n; i++)
        credit[core_number(scores[i].worker.p, scores[i].worker.n) % MAX_WORKERS] =
            scores[i].overlap;
    struct policy_in in = {
        .n = s->world.workers,
        .credit = credit,
        .prefill_tokens = s->prompt_tokens,
        .decode_blocks = s->blocks,
        .live_prefix = nothing,
        .requests = s->requests,
        .blocks = q->blocks,
        .isl = q->isl,
        .block_size = s->world.load->block_size,
        .overlap_weight = query.rule.overlap,
        .prefill_weight = query.rule.prefill,
        .requests_weight = query.rule.requests,
    };
    kvr_policies[query.rule.policy].cost(&in, cost);
    uint32_t best = NOBODY;
    for (unsigned i = 0; i < s->world.workers; i++) {
        uint32_t w = local_turn(&s->local, router, avoid);
        if (w == NOBODY) break;
        if (best == NOBODY || cost[w] < cost[best]) best = w;
    }
    local_turn(&s->local, router, avoid); // equal ones take turns
    return best;
}

static void on_news(void *self, unsigned router, uint32_t request, uint32_t worker,
                    enum news what) {
    (void)self, (void)router, (void)request, (void)worker, (void)what;
}

static void on_changed(void *self, const struct change *x) {
    struct stale *s = self;
    core_changed(&s->core, &s->world, x);
}

static void on_worker(void *self, uint32_t worker, bool there) {
    struct stale *s = self;
    core_worker(&s->core, &s->world, worker, there);
}

static void close_stale(void *self) {
    struct stale *s = self;
    core_close(&s->core);
    free(s);
}

const struct router router_stale = {
    .name = "stale",
    .what = "no state: all caches, loads from metrics",
    .cached = true,
    .scores = true,
    .open = open_stale,
    .choose = choose,
    .news = on_news,
    .changed = on_changed,
    .worker = on_worker,
    .close = close_stale,
};
