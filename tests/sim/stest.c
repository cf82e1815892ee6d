// SPDX-License-Identifier: Apache-2.0
#include "stest.h"

#include <criterion/criterion.h>
#include <string.h>

void stest_load_open(struct stest_load *s, unsigned block_size) {
    memset(s, 0, sizeof *s);
    s->load = (struct bench_workload){
        .requests = s->requests, .hashes = s->hashes, .block_size = block_size};
}

void stest_load_add(struct stest_load *s, double at, uint32_t isl, uint32_t osl, uint64_t first) {
    struct bench_request *r = &s->requests[s->load.n++];
    *r = (struct bench_request){
        .at = at,
        .after = BENCH_NO_REQUEST,
        .session = s->load.sessions++,
        .isl = isl,
        .osl = osl,
        .blocks = isl / s->load.block_size,
        .known = (isl + osl) / s->load.block_size,
        .first = s->load.n_hashes,
    };
    cr_assert(s->load.n <= STEST_REQUESTS && s->load.n_hashes + r->known <= STEST_HASHES);
    for (uint32_t i = 0; i < r->known; i++)
        s->hashes[s->load.n_hashes++] = first + i;
}

void stest_load_fork(struct stest_load *s, double at, uint32_t isl, uint32_t osl, uint64_t first,
                     uint32_t other, uint32_t blocks) {
    stest_load_add(s, at, isl, osl, first);
    size_t place = s->requests[s->load.n - 1].first;
    memcpy(s->hashes + place, s->hashes + s->requests[other].first, blocks * sizeof *s->hashes);
}

void stest_open(struct stest_fleet *s, const char *load, size_t requests, double rate) {
    char *argv[] = {"kvroute-sim", NULL};
    *s = (struct stest_fleet){0};
    cr_assert(sim_options_parse(&s->o, 1, argv) == -1);
    sim_load_make(sim_load_find(load), &s->load, &(struct sim_load_plan){64, requests, rate, 7});
    s->server.redis.module = s->o.module;
    s->server.redis.program = s->o.server;
    s->server.clock = s->o.clock;
    s->plan = s->o.plan;
    s->plan.load = &s->load;
    s->plan.speed = 1;
    s->plan.seed = 1;
    s->plan.workers = 8;
    s->plan.n_engines = 0;
    s->plan.server = &s->server;
    s->plan.title = load;
}

void stest_router(struct stest_fleet *s, const char *kind, unsigned n) {
    s->plan.kind = sim_router_find(kind);
    cr_assert(s->plan.kind != NULL, "%s", kind);
    s->plan.routers = n;
}

void stest_close(struct stest_fleet *s) {
    sim_server_stop(&s->server);
    bench_workload_free(&s->load);
}

struct sim_figures stest_run(struct stest_fleet *s) {
    struct sim_stats stats;
    struct sim_figures f;
    cr_assert(sim_run(&s->plan, &stats), "%s", s->plan.kind->name);
    sim_stats_figures(&stats, &s->load, &s->o.slo, &f);
    sim_stats_close(&stats);
    return f;
}
