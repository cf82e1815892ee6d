// SPDX-License-Identifier: Apache-2.0
#include "stest.h"

#include <criterion/criterion.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/random.h"

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

const struct sim_model stest_model = {
    .fixed = 1, .prefill = 0.01, .decode = 0.1, .kv = 0.001, .budget = 8, .running = 4};

struct sim_step stest_step(struct sim_engine *e, double seconds) {
    const struct sim_begun *begun;
    size_t n;
    double took;
    struct sim_step s;
    cr_assert(sim_engine_begin(e, &took, &begun, &n));
    cr_assert(fabs(took - seconds) < 1e-9, "%g instead of %g", took, seconds);
    sim_engine_end(e, &s);
    cr_assert(sim_engine_validate(e) == NULL, "%s", sim_engine_validate(e));
    return s;
}

uint64_t stest_engine_run(const struct bench_workload *load, const struct sim_model *m,
                          size_t blocks, size_t host, size_t *preempted, uint64_t *hits) {
    struct sim_engine *e = sim_engine_new(m, load, blocks, host);
    uint64_t rng = 9, tokens = 0, found = 0;
    uint32_t *first = calloc(load->n, sizeof *first), *done = calloc(load->n, sizeof *done);
    size_t added = 0, over = 0;
    *preempted = 0;
    while (over < load->n) {
        const struct sim_begun *begun;
        size_t n;
        double seconds;
        struct sim_step s;
        if (added < load->n && (added - over < 3 || kvr_random(&rng) % 4 == 0)) {
            cr_assert(sim_engine_fits(load, (uint32_t)added, blocks));
            sim_engine_add(e, (uint32_t)added++, SIM_ALL);
            continue;
        }
        cr_assert(sim_engine_begin(e, &seconds, &begun, &n) && seconds > 0);
        for (size_t i = 0; i < n; i++)
            found += begun[i].hits;
        sim_engine_end(e, &s);
        cr_assert(s.prefill + s.decoding <= m->budget && s.decoding <= m->running);
        tokens += s.prefill;
        *preempted += s.n_preempted;
        for (size_t i = 0; i < s.n_first; i++)
            first[s.first[i]]++;
        for (size_t i = 0; i < s.n_done; i++, over++)
            cr_assert(first[s.done[i]] == 1 && ++done[s.done[i]] == 1);
        const struct sim_kv *k = sim_engine_kv(e);
        cr_assert(sim_blocks_count(&k->cached) + k->held <= blocks && sim_kv_has_room(k, 0));
        if (kvr_random(&rng) % 8 == 0)
            cr_assert(sim_engine_validate(e) == NULL, "%s", sim_engine_validate(e));
    }
    cr_assert(sim_engine_requests(e, NULL) == 0 && sim_engine_validate(e) == NULL);
    cr_assert(sim_engine_kv(e)->cached.used == 0 && sim_engine_kv(e)->reserved == 0);
    if (hits) *hits = found;
    free(first);
    free(done);
    sim_engine_free(e);
    return tokens;
}

int stest_parse(struct sim_options *o, const char *a, const char *b, const char *c, const char *d) {
    const char *given[] = {"kvroute-sim", a, b, c, d, NULL};
    char *argv[6] = {0};
    static char room[5][64];
    int n = 0;
    for (; given[n]; n++) {
        strcpy(room[n], given[n]);
        argv[n] = room[n];
    }
    optind = 0; // begins anew
    memset(o, 0, sizeof *o);
    return sim_options_parse(o, n, argv);
}
