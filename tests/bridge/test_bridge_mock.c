// SPDX-License-Identifier: Apache-2.0
// The bridge beside mock engines of all kinds: real processes, traffic over HTTP, each of the engine's
// faults. In the end the pool holds what the engines say that they hold (GET /mock/cache), block by
// block, in both tiers.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "btest_fleet.h"
#include "client/common/clock.h"
#include "tests/support/support_home.h"
#include "tests/support/support_port.h"
#include "tests/support/support_process.h"

enum { MOCK_WAIT_MS = 60000 };

// What engines of all versions have in common: a small cache, so that it evicts.
static void every_schema(struct btest_fleet *w) {
    static const struct {
        const char *options, *bridge;
        unsigned ranks;
        bool connects;
    } kinds[] = {
        {"--schema=0.9.0", "", 1, false},
        {"--schema=0.9.1 --topic=kv@a@m", "", 2, false},
        {"--schema=0.10.2 --cpu-blocks=90", "", 1, true},
        {"--schema=0.17 --binary-hashes", "", 1, false},
        {"--schema=0.22 --lora=ad --noise", "", 2, false},
        {"--schema=0.24 --lora=ad --noise --binary-hashes", "", 1, false},
        {"--schema=0.26 --lora=ad --cpu-blocks=90 --topic=kv@b@m", "topic=kv@b", 1, false},
        {"--schema=0.28 --lora=ad --cpu-blocks=90 --noise", "capacity=160", 3, true},
        {"--schema=sglang-0", "kind=sglang copies=count", 1, false},
        {"--schema=sglang", "kind=sglang", 2, false},
        {"--schema=sglang-map --noise", "kind=sglang", 1, true},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char options[200], bridge[160];
        snprintf(options, sizeof options, "--blocks=160 %s", kinds[i].options);
        snprintf(bridge, sizeof bridge, "audit=300 %s", kinds[i].bridge);
        btest_fleet_engine(w, options, bridge, kinds[i].ranks, kinds[i].connects);
    }
}

static const struct mock_fault_case {
    const char *query;
    bool loses; // batches that nothing can bring back
    bool exits;
} fault_cases[] = {
    {"drop&n=3", false, false},
    {"duplicate&n=5", false, false},
    {"reorder&n=4", false, false},
    {"malformed&n=2", false, false},
    {"replay-mute&n=1", false, false},
    {"replay-gap&n=2", false, false},
    {"replay-unended&n=2", false, false},
    {"hang-events&ms=300", false, false},
    {"hang-http&ms=200", false, false},
    {"hang-engine&ms=200", false, false},
    {"unhealthy&ms=300", false, false},
    {"refuse&ms=300", false, false},
    {"fail&n=9", false, false},
    {"reset&n=9", false, false},
    {"cut&n=9&tokens=2", false, false},
    {"restart", false, false},
    {"restart&cleared=1", false, false},
    {"restart&rebind=1", false, false},
    {"exit", false, true},
    {"hole&n=2", true, false},
    {"poison&n=1", true, false},
};

static void under(struct btest_fleet *w, const struct mock_fault_case *f, uint64_t seed) {
    struct btest_load l = {
        .fleet = w, .seed = seed, .requests = 40 * w->n_engines, .families = 6, .longest = 24};
    // A fault of replays needs a reason to ask for one.
    bool of_replays = strncmp(f->query, "replay", 6) == 0;
    btest_load_begin(&l, 3);
    while (atomic_load(&l.begun) < l.requests / 3)
        support_sleep_ms(1);
    for (size_t i = 0; i < w->n_engines; i++) {
        if (f->exits) {
            btest_fleet_restart_engine(w, i);
            continue;
        }
        if (of_replays) btest_fleet_fault(w, i, "drop&n=2");
        btest_fleet_fault(w, i, f->query);
    }
    btest_load_wait(&l);
    for (size_t i = 0; i < w->n_engines; i++)
        btest_fleet_fault(w, i, "clear");
    if (f->loses) {
        btest_fleet_never_wrong(w, MOCK_WAIT_MS, f->query);
        for (size_t i = 0; i < w->n_engines; i++)
            btest_fleet_reset(w, i);
        btest_load_run(w, seed + 1, 10 * w->n_engines);
    }
    btest_fleet_becomes_true(w, MOCK_WAIT_MS, f->query);
}

// What a router would find for these prompts.
static void scores_are_true(struct btest_fleet *w, uint64_t seed) {
    uint64_t hashes[24];
    for (unsigned family = 0; family < 6; family++) {
        btest_load_hashes(seed, family, hashes, 24);
        cr_expect_eq(bench_compare_scores(support_redis_control(&w->redis), "pool", w->engines,
                                          w->n_engines, hashes, 24),
                     0, "of family %u", family);
    }
}

Test(mock, every_fault_in_every_schema, .timeout = 300) {
    static struct btest_fleet w;
    btest_fleet_open(&w, false);
    every_schema(&w);
    btest_load_run(&w, 1, 100); // before anybody listens
    btest_fleet_bridges(&w, 2, "--ttl 900");
    btest_load_run(&w, 2, 300);
    struct bench_difference d = btest_fleet_becomes_true(&w, MOCK_WAIT_MS, "the beginning");
    cr_assert_gt(d.held, 1000);
    for (size_t i = 0; i < sizeof fault_cases / sizeof *fault_cases; i++)
        under(&w, &fault_cases[i], 10 + 2 * i);
    btest_load_run(&w, 60, 300);
    btest_fleet_becomes_true(&w, MOCK_WAIT_MS, "all of it");
    scores_are_true(&w, 60);
    btest_fleet_close(&w);
}

static void all_anew(struct btest_fleet *w, uint64_t seed) {
    for (size_t i = 0; i < w->n_engines; i++)
        btest_fleet_reset(w, i);
    btest_load_run(w, seed, 60 * w->n_engines);
}

// Bridges that come late: to engines that published before anybody could have subscribed, in both
// directions of connecting; to a replay that is longer than its queue, so that each answer lacks some;
// to a buffer that no longer has the beginning.
Test(mock, late, .timeout = 120) {
    static struct btest_fleet w;
    btest_fleet_open(&w, false);
    btest_fleet_engine(&w, "--publish-at-start=60 --blocks=100", "audit=300", 2, false);
    btest_fleet_engine(&w, "--publish-at-start=60", "audit=300", 1, true);
    btest_fleet_engine(&w, "--replay-hwm=100 --blocks=500", "audit=300", 1, false);
    btest_load_run(&w, 1, 2500);
    btest_fleet_bridges(&w, 1, "--ttl 900");
    btest_fleet_becomes_true(&w, MOCK_WAIT_MS, "coming late");
    for (size_t i = 0; i < w.n_engines; i++) {
        btest_fleet_restart_engine(&w, i); // and each begins before the bridge has noticed
        btest_fleet_becomes_true(&w, MOCK_WAIT_MS, "a new beginning");
    }
    btest_load_run(&w, 2, 100);
    btest_fleet_becomes_true(&w, MOCK_WAIT_MS, "traffic");
    btest_fleet_close(&w);
}

Test(mock, without_the_beginning, .timeout = 120) {
    static struct btest_fleet w;
    btest_fleet_open(&w, false);
    btest_fleet_engine(&w, "--buffer=10 --blocks=200", "audit=300", 1, false);
    btest_fleet_engine(&w, "--no-replay --blocks=200", "audit=300", 1, false);
    btest_load_run(&w, 1, 200);
    btest_fleet_bridges(&w, 1, "--ttl 900");
    btest_fleet_settles(&w);
    for (unsigned round = 0; round < 3; round++) {
        btest_load_run(&w, 2 + 2 * round, 60);
        btest_fleet_settles(&w);
        btest_fleet_never_wrong(&w, MOCK_WAIT_MS, "lost beginnings");
        all_anew(&w, 3 + 2 * round);
        btest_fleet_becomes_true(&w, MOCK_WAIT_MS, "a new beginning");
        btest_fleet_fault(&w, 0, "drop&n=15");
        btest_fleet_fault(&w, 1, "drop&n=2");
    }
    btest_fleet_close(&w);
}
