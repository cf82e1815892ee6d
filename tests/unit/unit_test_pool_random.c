// SPDX-License-Identifier: Apache-2.0
// Random traffic of several kinds through the pool and the model, compared after each step.
//
// A failure prints the seed; KVROUTE_SEED and KVROUTE_STEPS run it again or longer.
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit_traffic.h"

static const struct unit_profile profiles[] = {
    {.name = "branches",
     .nodes = 60,
     .straight = 40,
     .workers = 5,
     .ranks = 2,
     .requests = 20,
     .events = 60,
     .selects = 25,
     .requests_ops = 20,
     .workers_ops = 4,
     .holes = 30,
     .tiers = 1,
     .capacity = 40,
     .reloads = 5,
     .check_every = 10},
    {.name = "tiers",
     .nodes = 80,
     .straight = 70,
     .workers = 4,
     .ranks = 2,
     .requests = 20,
     .events = 60,
     .selects = 25,
     .requests_ops = 20,
     .workers_ops = 2,
     .holes = 50,
     .tiers = 3,
     .capacity = 40,
     .reloads = 5,
     .odd_weights = true,
     .check_every = 10},
    {.name = "holes",
     .nodes = 400,
     .straight = 97,
     .workers = 3,
     .ranks = 1,
     .requests = 10,
     .events = 80,
     .selects = 10,
     .requests_ops = 10,
     .workers_ops = 1,
     .holes = 90,
     .tiers = 3,
     .capacity = 40,
     .reloads = 5,
     .check_every = 20},
    {.name = "long",
     .nodes = 3000,
     .straight = 100,
     .workers = 4,
     .ranks = 1,
     .requests = 8,
     .events = 50,
     .selects = 10,
     .requests_ops = 10,
     .workers_ops = 2,
     .holes = 50,
     .tiers = 1,
     .capacity = 2000,
     .reloads = 20,
     .check_every = 25},
    {.name = "chains",
     .nodes = 4000,
     .straight = 99,
     .workers = 6,
     .ranks = 1,
     .requests = 16,
     .events = 50,
     .selects = 20,
     .requests_ops = 20,
     .workers_ops = 2,
     .holes = 30,
     .tiers = 3,
     .capacity = 2000,
     .reloads = 20,
     .check_every = 25},
    {.name = "predictions",
     .nodes = 60,
     .straight = 70,
     .workers = 4,
     .ranks = 2,
     .requests = 20,
     .events = 30,
     .selects = 60,
     .requests_ops = 30,
     .workers_ops = 4,
     .holes = 30,
     .tiers = 3,
     .predict = 90,
     .capacity = 30,
     .reloads = 5,
     .check_every = 10},
    {.name = "churn",
     .nodes = 120,
     .straight = 80,
     .workers = 8,
     .ranks = 6,
     .requests = 30,
     .events = 60,
     .selects = 20,
     .requests_ops = 20,
     .workers_ops = 30,
     .holes = 30,
     .tiers = 3,
     .predict = 30,
     .capacity = 60,
     .reloads = 10,
     .check_every = 10},
    {.name = "requests",
     .nodes = 100,
     .straight = 80,
     .workers = 4,
     .ranks = 2,
     .requests = 200,
     .events = 10,
     .selects = 80,
     .requests_ops = 60,
     .workers_ops = 1,
     .holes = 30,
     .tiers = 1,
     .capacity = 60,
     .reloads = 5,
     .check_every = 20},
    {.name = "fleet",
     .nodes = 60,
     .straight = 80,
     .workers = 250,
     .ranks = 4,
     .requests = 60,
     .events = 200,
     .selects = 10,
     .requests_ops = 10,
     .workers_ops = 4,
     .holes = 30,
     .tiers = 3,
     .capacity = 60,
     .reloads = 2,
     .registered = true,
     .check_every = 1000},
};

static uint64_t number(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static void run(const struct unit_profile *f, uint64_t seed, uint64_t steps, unsigned one_in) {
    static struct unit_pair pair;
    struct unit_traffic t;
    char label[UNIT_PAIR_LINE];
    snprintf(label, sizeof label,
             "profile %s, KVROUTE_SEED=%" PRIu64 " KVROUTE_STEPS=%" PRIu64
             ", one allocation in %u fails",
             f->name, seed, steps, one_in);
    unit_traffic_init(&t, f, (struct unit_source){.state = seed}, &pair, label);
    pair.mem.one_in = one_in;
    pair.mem.random = seed;
    for (uint64_t i = 0; i < steps; i++) {
        unit_traffic_step(&t);
        if (i % f->check_every == f->check_every - 1) unit_traffic_check(&t);
    }
    unit_traffic_check(&t);
    unit_traffic_free(&t);
}

static void run_named(const char *name, unsigned one_in) {
    const struct unit_profile *f = profiles;
    while (strcmp(f->name, name) != 0)
        f++;
    uint64_t seed = number("KVROUTE_SEED", 1), steps = number("KVROUTE_STEPS", 3000);
    unsigned rounds = getenv("KVROUTE_SEED") ? 1 : 3;
    for (unsigned i = 0; i < rounds; i++)
        run(f, seed + i, steps, one_in);
}

Test(pool_random, branches) {
    run_named("branches", 0);
}
Test(pool_random, tiers) {
    run_named("tiers", 0);
}
Test(pool_random, holes) {
    run_named("holes", 0);
}
Test(pool_random, long_prompts) {
    run_named("long", 0);
}
Test(pool_random, chains) {
    run_named("chains", 0);
}
Test(pool_random, predictions) {
    run_named("predictions", 0);
}
Test(pool_random, churn) {
    run_named("churn", 0);
}
Test(pool_random, requests) {
    run_named("requests", 0);
}
Test(pool_random, fleet) {
    run_named("fleet", 0);
}

// The same with an allocator that fails one call in three: what ran out of memory changed nothing.
Test(pool_random, branches_without_memory) {
    run_named("branches", 3);
}
Test(pool_random, holes_without_memory) {
    run_named("holes", 3);
}
Test(pool_random, chains_without_memory) {
    run_named("chains", 3);
}
Test(pool_random, predictions_without_memory) {
    run_named("predictions", 3);
}
Test(pool_random, churn_without_memory) {
    run_named("churn", 3);
}
