// SPDX-License-Identifier: Apache-2.0
// The same load in the simulator; see calib_simulate.h.
#include "calib_simulate.h"

#include <string.h>

#include "module/core/rule/policy.h"

// ---- Where the real ones went --------------------------------------------------------------------
// A kind of router that has no choice: what remains different from the real run is the engines' doing.

static const uint32_t *decisions;

static void *open_given(const struct sim_world *w) {
    return (void *)w->load; // anything that isn't NULL
}

static uint32_t choose_given(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    (void)self, (void)router, (void)avoid;
    return decisions[request];
}

static void close_given(void *self) {
    (void)self;
}

static const struct sim_router_events given_events = {.close = close_given};
static const struct sim_router router_given = {.name = "given",
                                               .what = "where the real routers sent it",
                                               .open = open_given,
                                               .choose = choose_given,
                                               .on = &given_events};

bool calib_simulate(const struct bench_script *s, const struct calib_simulation *plan,
                    struct sim_stats *out) {
    struct kvr_options pool;
    kvr_options_default(&pool);
    decisions = plan->engines;
    struct sim_plan run = {
        .kind = plan->kind ? plan->kind : &router_given,
        .load = &s->load,
        .seen = plan->text ? &s->text : NULL,
        .unknown_blocks = plan->unknown_blocks,
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
    return sim_run(&run, out);
}
