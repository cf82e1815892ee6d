// SPDX-License-Identifier: Apache-2.0
#include "sim.h"

#include <criterion/criterion.h>
#include <string.h>

void small_open(struct small *s, unsigned block_size) {
    memset(s, 0, sizeof *s);
    s->load =
        (struct workload){.requests = s->requests, .hashes = s->hashes, .block_size = block_size};
}

void small_add(struct small *s, double at, uint32_t isl, uint32_t osl, uint64_t first) {
    struct request *r = &s->requests[s->load.n++];
    *r = (struct request){
        .at = at,
        .after = NO_REQUEST,
        .session = s->load.sessions++,
        .isl = isl,
        .osl = osl,
        .blocks = isl / s->load.block_size,
        .known = (isl + osl) / s->load.block_size,
        .first = s->load.n_hashes,
    };
    cr_assert(s->load.n <= SMALL_REQUESTS && s->load.n_hashes + r->known <= SMALL_HASHES);
    for (uint32_t i = 0; i < r->known; i++)
        s->hashes[s->load.n_hashes++] = first + i;
}

void small_fork(struct small *s, double at, uint32_t isl, uint32_t osl, uint64_t first,
                uint32_t other, uint32_t blocks) {
    small_add(s, at, isl, osl, first);
    size_t place = s->requests[s->load.n - 1].first;
    memcpy(s->hashes + place, s->hashes + s->requests[other].first, blocks * sizeof *s->hashes);
}

void setting_open(struct setting *s, const char *load, size_t requests, double rate) {
    char *argv[] = {"kvroute-sim", NULL};
    *s = (struct setting){0};
    cr_assert(options_parse(&s->o, 1, argv) == -1);
    load_make(load_find(load), &s->load, &(struct load_plan){64, requests, rate, 7});
    s->shared.server.plan =
        (struct server_plan){.module = s->o.module, .server = s->o.server, .clock = s->o.clock};
    s->plan = (struct run_plan){
        .load = &s->load,
        .speed = 1,
        .model = &s->o.model,
        .blocks = s->o.blocks,
        .workers = 8,
        .hop = s->o.hop,
        .delay = s->o.delay,
        .notice = s->o.notice,
        .sync = s->o.sync,
        .age = s->o.age,
        .seed = 1,
        .rule = s->o.rule,
        .words = "",
        .shared = &s->shared,
        .title = load,
    };
}

void setting_router(struct setting *s, const char *kind, unsigned n) {
    s->plan.kind = router_find(kind, strlen(kind));
    cr_assert(s->plan.kind != NULL, "%s", kind);
    s->plan.routers = n;
}

void setting_close(struct setting *s) {
    shared_stop(&s->shared);
    workload_free(&s->load);
}

struct figures setting_run(struct setting *s) {
    struct stats stats;
    struct figures f;
    cr_assert(fleet_run(&s->plan, &stats), "%s", s->plan.kind->name);
    stats_figures(&stats, &s->load, &s->o.slo, &f);
    stats_close(&stats);
    return f;
}
