// SPDX-License-Identifier: Apache-2.0
// Whole runs: every request ends once whatever goes wrong, and a run can be repeated to the last bit.
// fleet_run itself checks that no request is lost or ends twice, and that the engines' counts are right.
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "sim.h"

// One request on one engine, by hand: a hop to the engine, one step for the prompt, two for tokens.
Test(fleet, by_hand) {
    struct small l;
    small_open(&l, 4);
    small_add(&l, 5, 8, 3, 100);
    struct model m = {
        .fixed = 1, .prefill = 0.01, .decode = 0.1, .kv = 0.001, .budget = 8, .running = 4};
    struct run_plan plan = {.kind = router_find("round-robin", 11),
                            .load = &l.load,
                            .speed = 1,
                            .model = &m,
                            .blocks = 9,
                            .workers = 1,
                            .routers = 1,
                            .hop = 0.5,
                            .title = "by hand"};
    struct stats s;
    cr_assert(fleet_run(&plan, &s));
    cr_assert(s.lives[0].arrived == 5);
    cr_assert(fabs(s.lives[0].first - (5 + 0.5 + 1.08)) < 1e-9);
    cr_assert(fabs(s.lives[0].done - (5 + 0.5 + 1.08 + 1.109 + 1.110)) < 1e-9);
    cr_assert(s.tbt.n == 2 && fabs(s.tbt.sum - 2.219) < 1e-9);
    cr_assert(fabs(s.work[0] - (0.08 + 0.109 + 0.110)) < 1e-9);
    stats_close(&s);
}

static const struct {
    const char *kind;
    unsigned routers;
} kinds[] = {
    {"round-robin", 3},  {"random", 3},   {"two-choices", 3}, {"least", 3},
    {"session-hash", 3}, {"affinity", 3}, {"sticky", 3},      {"cache-aware", 3},
    {"vllm-router", 3},  {"smg", 3},      {"smg-no-veto", 3}, {"smg-prefix-hash", 3},
    {"llm-d", 3},        {"dynamo", 3},   {"lmetric", 3},     {"fixed", 1},
    {"own", 3},          {"events", 3},   {"sync", 3},        {"shared", 3},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

Test(fleet, every_kind_twice_the_same) {
    struct setting s;
    setting_open(&s, "chat", 600, 30);
    for (size_t i = 0; i < KINDS; i++) {
        setting_router(&s, kinds[i].kind, kinds[i].routers);
        struct figures a = setting_run(&s), b = setting_run(&s);
        cr_assert(!memcmp(&a, &b, sizeof a), "%s", kinds[i].kind);
        cr_assert(a.requests == 600 && a.retried == 0 && a.imbalance >= 1);
    }
    setting_close(&s);
}

// The same decisions by the module over its socket and by the core in the process, at no distance.
Test(fleet, module_and_core_decide_alike) {
    struct setting s;
    setting_open(&s, "chat", 600, 30);
    s.plan.hop = 0;
    setting_router(&s, "shared", 1);
    struct figures a = setting_run(&s);
    setting_router(&s, "events", 1);
    struct figures b = setting_run(&s);
    cr_assert(!memcmp(&a, &b, sizeof a), "%g %g", a.ttft_mean, b.ttft_mean);
    setting_close(&s);
}

Test(fleet, any_number_of_routers_on_the_pool_is_as_one) {
    struct setting s;
    setting_open(&s, "agents", 600, 15);
    s.plan.hop = 0;
    setting_router(&s, "shared", 1);
    struct figures one = setting_run(&s);
    setting_router(&s, "shared", 8);
    struct figures many = setting_run(&s);
    cr_assert(!memcmp(&one, &many, sizeof one));
    setting_router(&s, "own", 8);
    struct figures apart = setting_run(&s);
    cr_assert(apart.hit < one.hit);
    setting_close(&s);
}

Test(fleet, nothing_is_lost_whatever_goes_wrong) {
    static const struct incident incidents[] = {
        {ROUTER_DIES, 3, 4, 0, true}, {ROUTER_DIES, 5, 6, 1, false},
        {ROUTER_DIES, 6, 2, 2, true}, {WORKER_DIES, 4, 5, 3, true},
        {WORKER_DIES, 8, 0, 2, true}, {WORKERS_JOIN, 6, 0, 2, false},
        {SERVER_DIES, 9, 3, 0, true}, {SERVER_DIES, 14, 2, 0, false},
    };
    struct setting s;
    setting_open(&s, "chat", 600, 30);
    s.plan.incidents = incidents;
    s.plan.n_incidents = sizeof incidents / sizeof *incidents;
    for (size_t i = 0; i < KINDS; i++) {
        setting_router(&s, kinds[i].kind, kinds[i].routers);
        struct figures a = setting_run(&s), b = setting_run(&s);
        cr_assert(!memcmp(&a, &b, sizeof a), "%s", kinds[i].kind);
        cr_assert(a.retried > 0, "%s", kinds[i].kind);
    }
    setting_close(&s);
}

Test(fleet, requests_wait_while_no_router_is_there) {
    static const struct incident gone = {ROUTER_DIES, 2, 5, 0, true};
    struct setting s;
    setting_open(&s, "alone", 300, 30);
    setting_router(&s, "least", 1);
    double before = setting_run(&s).ttft_p99;
    s.plan.incidents = &gone;
    s.plan.n_incidents = 1;
    double after = setting_run(&s).ttft_p99;
    cr_assert(after > before + 3, "%g, then %g", before, after);
    setting_close(&s);
}

Test(fleet, a_request_that_fits_nowhere_is_refused) {
    struct setting s;
    setting_open(&s, "alone", 50, 30);
    setting_router(&s, "least", 1);
    s.plan.blocks = 3;
    struct stats stats;
    cr_assert(!fleet_run(&s.plan, &stats));
    stats_close(&stats);
    setting_close(&s);
}
