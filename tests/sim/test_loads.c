// SPDX-License-Identifier: Apache-2.0
// Generated loads: the same for a seed, at the rate asked for, sharing what they say they share.
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/sim/engine/engine_model.h"
#include "bench/sim/loads/loads.h"

static struct bench_workload make(const char *name, size_t n, double rate, uint64_t seed) {
    struct bench_workload w;
    const struct sim_load *l = sim_load_find(name);
    cr_assert(l != NULL);
    sim_load_make(l, &w, &(struct sim_load_plan){16, n, rate, seed});
    return w;
}

// Those in closed loop have tests of their own.
static bool is_open(const struct sim_load *l) {
    return l->users[0] == 0;
}

Test(load, the_same_for_a_seed) {
    for (size_t i = 0; i < sim_load_count; i++) {
        if (!is_open(&sim_loads[i])) continue;
        struct bench_workload a = make(sim_loads[i].name, 500, 20, 3),
                              b = make(sim_loads[i].name, 500, 20, 3),
                              c = make(sim_loads[i].name, 500, 20, 4);
        cr_assert(a.n == 500 && b.n == 500 && a.n_hashes == b.n_hashes);
        cr_assert(!memcmp(a.requests, b.requests, a.n * sizeof *a.requests));
        cr_assert(!memcmp(a.hashes, b.hashes, a.n_hashes * sizeof *a.hashes));
        cr_assert(memcmp(a.requests, c.requests, a.n * sizeof *a.requests));
        bench_workload_free(&a);
        bench_workload_free(&b);
        bench_workload_free(&c);
    }
}

Test(load, well_formed_and_at_its_rate) {
    for (size_t i = 0; i < sim_load_count; i++) {
        if (!is_open(&sim_loads[i])) continue;
        struct bench_workload w = make(sim_loads[i].name, 4000, 40, 1);
        for (size_t k = 0; k < w.n; k++) {
            const struct bench_request *r = &w.requests[k];
            cr_assert(k == 0 || r->at >= w.requests[k - 1].at);
            cr_assert(r->isl >= 16 && r->osl >= 16 && r->blocks == r->isl / 16);
            cr_assert(r->known == (r->isl + r->osl) / 16 && r->first + r->known <= w.n_hashes);
        }
        double rate = (double)w.n / (w.requests[w.n - 1].at - w.requests[0].at);
        cr_assert(rate > 30 && rate < 50, "%s: %g a second", sim_loads[i].name, rate);
        bench_workload_free(&w);
    }
}

static int by_value(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

// Share of the blocks that an earlier request has: what an endless cache would hit.
static double shared(const struct bench_workload *w) {
    size_t total = 0, distinct = 0;
    for (size_t i = 0; i < w->n; i++)
        total += w->requests[i].blocks;
    uint64_t *all = malloc(total * sizeof *all), *at = all;
    for (size_t i = 0; i < w->n; i++) {
        memcpy(at, bench_request_hashes(w, i), w->requests[i].blocks * sizeof *at);
        at += w->requests[i].blocks;
    }
    qsort(all, total, sizeof *all, by_value);
    for (size_t i = 0; i < total; i++)
        distinct += i == 0 || all[i] != all[i - 1];
    free(all);
    return 1 - (double)distinct / (double)total;
}

Test(load, shares_what_it_says) {
    static const struct {
        const char *name;
        double least, most;
    } want[] = {
        {"chat", 0.6, 0.95}, {"agents", 0.85, 0.98}, {"alone", 0, 0},
        {"hot", 0.9, 0.97},  {"bursts", 0.7, 0.95},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        struct bench_workload w = make(want[i].name, 3000, 20, 1);
        double s = shared(&w);
        cr_assert(s >= want[i].least && s <= want[i].most, "%s: %g", want[i].name, s);
        bench_workload_free(&w);
    }
}

Test(load, bursts_come_in_waves) {
    struct bench_workload w = make("bursts", 6000, 40, 1);
    size_t high = 0;
    for (size_t i = 0; i < w.n; i++)
        high += fmod(w.requests[i].at, 60) < 15;
    // Of a steady load a quarter; follow-ups come whenever they come.
    cr_assert((double)high / (double)w.n > 0.4);
    bench_workload_free(&w);
}

Test(load, an_engine_takes_them_all) {
    for (size_t i = 0; i < sim_load_count; i++)
        for (size_t m = 0; m < SIM_MODELS && is_open(&sim_loads[i]); m++) {
            struct bench_workload w = make(sim_loads[i].name, 2000, 20, 1);
            for (size_t k = 0; k < w.n; k++)
                cr_assert(w.requests[k].isl + w.requests[k].osl < sim_models[m].capacity / 4);
            cr_assert(sim_loads[i].rate[m] > 0);
            bench_workload_free(&w);
        }
}

// Nobody says whose: a prompt that contains another whole goes on with that one's session.
Test(load, sessions_are_guessed_from_what_prompts_contain) {
    static const uint64_t hashes[][4] = {
        {1, 2},       // a new one; all begin with 1
        {1, 3, 4},    // another
        {1, 2, 5},    // contains the first
        {1, 2, 5, 6}, // and this the third
        {1, 7},       // begins like all
        {1, 3, 8},    // contains only a part of the second
        {1},          // ends with what all begin with
        {1, 9},       // contains that, but it was no one's own
    };
    static const uint32_t blocks[] = {2, 3, 3, 4, 2, 3, 1, 2},
                          sessions[] = {0, 1, 0, 0, 2, 3, 4, 5};
    struct bench_request requests[8];
    uint64_t all[64];
    struct bench_workload w = {.requests = requests, .n = 8, .hashes = all, .block_size = 16};
    for (uint32_t i = 0; i < 8; i++) {
        requests[i] = (struct bench_request){.blocks = 2 * blocks[i], .first = w.n_hashes};
        for (uint32_t k = 0; k < blocks[i]; k++) {
            all[w.n_hashes++] = hashes[i][k] + 100;
            all[w.n_hashes++] = hashes[i][k];
        }
    }
    bench_workload_guess_sessions(&w, 2);
    for (uint32_t i = 0; i < 8; i++)
        cr_assert(requests[i].session == sessions[i], "%u: %u", i, requests[i].session);
    cr_assert(w.sessions == 6);
}
