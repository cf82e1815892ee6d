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

// A heading ends above the end of its column.
// clang-format off
static const struct unit_profile profiles[] = {
    //             nodes   workers requests  selects       holes predict   reloads   check_every
    //               straight    ranks    events workers_ops   tiers  capacity odd_weights
    //                                      requests_ops                 queue   registered
    //                                                                     pairs
    {"branches",      60,  40,   5,  2,  20,  60, 25, 20,  4, 30,  1,  0,   40,  5,  0,  0,  0,  0,   10},
    {"tiers",         80,  70,   4,  2,  20,  60, 25, 20,  2, 50,  3,  0,   40,  5,  0,  0,  0,  1,   10},
    {"holes",        400,  97,   3,  1,  10,  80, 10, 10,  1, 90,  3,  0,   40,  5,  0,  0,  0,  0,   20},
    {"long",        3000, 100,   4,  1,   8,  50, 10, 10,  2, 50,  1,  0, 2000, 20,  0,  0,  0,  0,   25},
    {"chains",      4000,  99,   6,  1,  16,  50, 20, 20,  2, 30,  3,  0, 2000, 20,  0,  0,  0,  0,   25},
    {"predictions",   60,  70,   4,  2,  20,  30, 60, 30,  4, 30,  3, 90,   30,  5,  0,  0,  0,  0,   10},
    {"churn",        120,  80,   8,  6,  30,  60, 20, 20, 30, 30,  3, 30,   60, 10,  0,  0,  0,  0,   10},
    {"requests",     100,  80,   4,  2, 200,  10, 80, 60,  1, 30,  1,  0,   60,  5,  0,  0,  0,  0,   20},
    {"fleet",         60,  80, 250,  4,  60, 200, 10, 10,  4, 30,  3,  0,   60,  2,  0,  0,  1,  0, 1000},
    {"queue",         40,  70,   4,  2,  40,  20, 80, 40,  6, 30,  3, 20,   40,  5, 30,  0,  0,  0,   10},
    {"pairs",         40,  70,   6,  2,  60,  20, 90, 50,  8, 30,  3, 30,   40, 10,  0, 70,  0,  0,   10},
    {"fewpairs",      30,  70,   3,  3,  40,  20, 80, 60, 20, 30,  1, 60,   30, 10,  0, 80,  0,  0,   10},
    {"pairqueue",     40,  70,   5,  2,  60,  10, 90, 50,  6, 30,  1, 20,   40,  8, 32, 60,  0,  0,   10},
    {"waiting",       40,  70,   2,  2, 120,  10, 90, 30,  3, 30,  1,  0,   60,  5, 20,  0,  0,  0,   20},
};
// clang-format on

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
Test(pool_random, queue) {
    run_named("queue", 0);
}
Test(pool_random, pairs) {
    run_named("pairs", 0);
}
Test(pool_random, few_pairs) {
    run_named("fewpairs", 0);
}
Test(pool_random, pairs_that_wait) {
    run_named("pairqueue", 0);
}
Test(pool_random, waiting) {
    run_named("waiting", 0);
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
Test(pool_random, queue_without_memory) {
    run_named("queue", 3);
}
Test(pool_random, pairs_without_memory) {
    run_named("pairs", 3);
}
Test(pool_random, few_pairs_without_memory) {
    run_named("fewpairs", 3);
}
Test(pool_random, pairs_that_wait_without_memory) {
    run_named("pairqueue", 3);
}
Test(pool_random, waiting_without_memory) {
    run_named("waiting", 3);
}
