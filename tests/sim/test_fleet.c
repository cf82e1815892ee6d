// SPDX-License-Identifier: Apache-2.0
// Whole runs: every request ends once whatever goes wrong, and a run can be repeated to the last bit.
// fleet_run itself checks that no request is lost or ends twice, and that the engines' counts are right.
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/sim/terms.h"
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

static long long server_ms(struct setting *s) {
    redisReply *r = server_command(&s->shared.server, "TIME");
    cr_assert(r && r->elements == 2);
    long long ms = atoll(r->element[0]->str) * 1000 + atoll(r->element[1]->str) / 1000;
    freeReplyObject(r);
    return ms;
}

// A run's time is its own, but the server's never goes back.
Test(fleet, the_server_lives_in_virtual_time) {
    struct setting s;
    setting_open(&s, "chat", 10, 30);
    cr_assert(shared_start(&s.shared, 5000000));
    cr_assert(server_ms(&s) == 5000000);
    shared_sendf(&s.shared, "INCR before");
    shared_at(&s.shared, 5000123);
    cr_assert(s.shared.unanswered == 0, "what was sent before has been answered");
    cr_assert(server_ms(&s) == 5000123);
    shared_sendf(&s.shared, "INCR before");
    shared_at(&s.shared, 5000123);
    cr_assert(s.shared.unanswered == 1, "at the same time nothing need be waited for");
    shared_settle(&s.shared);
    cr_assert(shared_start(&s.shared, 1000));
    shared_at(&s.shared, 1077);
    cr_assert(server_ms(&s) == 5000200);
    setting_close(&s);
}

Test(fleet, a_server_that_has_a_time_of_its_own_is_refused) {
    struct setting s;
    setting_open(&s, "chat", 10, 30);
    s.shared.server.plan.clock = "/nowhere/clock.so";
    cr_assert(!shared_start(&s.shared, 5000000));
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

// Also what they are told of sessions, which the pool remembers then.
Test(fleet, sessions_are_named_if_asked_for) {
    struct setting s;
    setting_open(&s, "chat", 600, 30);
    s.plan.hop = 0;
    for (int named = 0; named < 2; named++) {
        s.plan.named = named;
        setting_router(&s, "shared", 1);
        struct figures a = setting_run(&s);
        redisReply *r = server_command(&s.shared.server, "KVROUTE.SESSION LIST " POOL " 0");
        cr_assert(r && r->elements == 2 && (r->element[1]->elements > 0) == named);
        freeReplyObject(r);
        setting_router(&s, "events", 1);
        struct figures b = setting_run(&s);
        cr_assert(!memcmp(&a, &b, sizeof a), "%g %g", a.ttft_mean, b.ttft_mean);
    }
    setting_close(&s);
}

Test(fleet, who_asks_the_core_predicts) {
    struct setting s;
    setting_open(&s, "chat", 600, 30);
    for (size_t i = 0; i < KINDS; i++) {
        static const char *const cores[] = {"dynamo", "lmetric", "fixed", "own",
                                            "events", "sync",    "shared"};
        bool core = false;
        for (size_t k = 0; k < sizeof cores / sizeof *cores; k++)
            core |= !strcmp(cores[k], kinds[i].kind);
        setting_router(&s, kinds[i].kind, 1);
        double error = setting_run(&s).error;
        cr_assert(core ? error > 0 && error < 0.5 : isnan(error), "%s: %g", kinds[i].kind, error);
    }
    setting_close(&s);
}

Test(fleet, a_rule_without_its_terms_is_another) {
    struct setting s;
    setting_open(&s, "agents", 1500, 40);
    setting_router(&s, "events", 1);
    struct figures whole = setting_run(&s);
    s.plan.rule.without = 0;
    struct figures again = setting_run(&s);
    cr_assert(!memcmp(&whole, &again, sizeof whole));
    s.plan.rule.without = TERMS_ALL;
    struct figures bare = setting_run(&s);
    cr_assert(bare.ttft_mean != whole.ttft_mean);
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
