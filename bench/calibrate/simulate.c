// SPDX-License-Identifier: Apache-2.0
// The same script in the simulator; see simulate.h.
#include "simulate.h"

#include <string.h>

#include "module/core/rule/policy.h"

// ---- Where the real ones went --------------------------------------------------------------------
// A kind of router that has no choice: what remains different from the real run is the engines' doing.

static const uint32_t *decisions;

static void *open_given(const struct world *w) {
    return (void *)w->load; // anything that isn't NULL
}

static uint32_t choose_given(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    (void)self, (void)router, (void)avoid;
    return decisions[request];
}

static void ignore_news(void *self, unsigned router, uint32_t request, uint32_t worker,
                        enum news what) {
    (void)self, (void)router, (void)request, (void)worker, (void)what;
}

static void close_given(void *self) {
    (void)self;
}

static const struct router router_given = {
    .name = "given",
    .what = "where the real routers sent it",
    .open = open_given,
    .choose = choose_given,
    .news = ignore_news,
    .close = close_given,
};

bool simulate_run(const struct script *s, const struct simulate_plan *plan, struct stats *out) {
    struct kvr_options pool;
    kvr_options_default(&pool);
    decisions = plan->engines;
    struct run_plan run = {
        .kind = plan->kind ? plan->kind : &router_given,
        .load = &s->load,
        .seen = plan->text ? &s->text : NULL,
        .untold = plan->untold,
        .speed = 1,
        .model = plan->model,
        .blocks = plan->model->capacity / s->load.block_size,
        .workers = plan->workers,
        .routers = 1,
        .hop = plan->hop,
        .delay = plan->delay,
        .notice = 1,
        .sync = plan->delay,
        .age = 1,
        .affinity = 1024,
        .seed = plan->seed,
        .rule = pool.rule,
        .words = "",
        .title = plan->kind ? plan->kind->name : "given",
    };
    run.rule.policy = kvr_policy_find("delay", strlen("delay"));
    return fleet_run(&run, out);
}
