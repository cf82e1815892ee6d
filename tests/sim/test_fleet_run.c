// SPDX-License-Identifier: Apache-2.0
// Whole runs: every request ends once whatever goes wrong, and a run can be repeated to the last bit.
// sim_run itself checks that no request is lost or ends twice, and that the engines' counts are right.
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/sim/compare/sim_options.h"
#include "stest.h"

// One request on one engine, by hand: a hop to the engine, one step for the prompt, two for tokens.
Test(fleet, by_hand) {
    struct stest_load l;
    stest_load_open(&l, 4);
    stest_load_add(&l, 5, 8, 3, 100);
    struct sim_model m = {
        .fixed = 1, .prefill = 0.01, .decode = 0.1, .kv = 0.001, .budget = 8, .running = 4};
    struct sim_plan plan = {.kind = sim_router_find("round-robin"),
                            .load = &l.load,
                            .speed = 1,
                            .model = &m,
                            .blocks = 9,
                            .workers = 1,
                            .routers = 1,
                            .hop = 0.5,
                            .title = "by hand"};
    struct sim_stats s;
    cr_assert(sim_run(&plan, &s));
    cr_assert(s.outcomes[0].arrived == 5);
    cr_assert(fabs(s.outcomes[0].first - (5 + 0.5 + 1.08)) < 1e-9);
    cr_assert(fabs(s.outcomes[0].done - (5 + 0.5 + 1.08 + 1.109 + 1.110)) < 1e-9);
    cr_assert(s.tbt.n == 2 && fabs(s.tbt.sum - 2.219) < 1e-9);
    cr_assert(fabs(s.work[0] - (0.08 + 0.109 + 0.110)) < 1e-9);
    sim_stats_close(&s);
}

static const struct {
    const char *kind;
    unsigned routers;
} router_kinds[] = {
    {"round-robin", 3},  {"random", 3},   {"two-choices", 3}, {"least", 3},
    {"session-hash", 3}, {"affinity", 3}, {"sticky", 3},      {"cache-aware", 3},
    {"vllm-router", 3},  {"smg", 3},      {"smg-no-veto", 3}, {"smg-prefix-hash", 3},
    {"llm-d", 3},        {"dynamo", 3},   {"lmetric", 3},     {"fixed", 1},
    {"own", 3},          {"events", 3},   {"sync", 3},        {"shared", 3},
};
enum { STEST_KINDS = sizeof router_kinds / sizeof *router_kinds };

Test(fleet, every_kind_twice_the_same) {
    struct stest_fleet s;
    stest_open(&s, "chat", 600, 30);
    for (size_t i = 0; i < STEST_KINDS; i++) {
        stest_router(&s, router_kinds[i].kind, router_kinds[i].routers);
        struct sim_figures a = stest_run(&s), b = stest_run(&s);
        cr_assert(!memcmp(&a, &b, sizeof a), "%s", router_kinds[i].kind);
        cr_assert(a.requests == 600 && a.retried == 0 && a.imbalance >= 1);
    }
    stest_close(&s);
}

static long long server_ms(struct stest_fleet *s) {
    redisReply *r = support_redis_command(&s->server.redis, "TIME");
    cr_assert(r && r->elements == 2);
    long long ms = atoll(r->element[0]->str) * 1000 + atoll(r->element[1]->str) / 1000;
    freeReplyObject(r);
    return ms;
}

// A run's time is its own, but the server's never goes back.
Test(fleet, the_server_lives_in_virtual_time) {
    struct stest_fleet s;
    stest_open(&s, "chat", 10, 30);
    cr_assert(sim_server_start(&s.server, 5000000));
    cr_assert(server_ms(&s) == 5000000);
    sim_server_sendf(&s.server, "INCR before");
    sim_server_at(&s.server, 5000123);
    cr_assert(s.server.unanswered == 0, "what was sent before has been answered");
    cr_assert(server_ms(&s) == 5000123);
    sim_server_sendf(&s.server, "INCR before");
    sim_server_at(&s.server, 5000123);
    cr_assert(s.server.unanswered == 1, "at the same time nothing need be waited for");
    sim_server_settle(&s.server);
    cr_assert(sim_server_start(&s.server, 1000));
    sim_server_at(&s.server, 1077);
    cr_assert(server_ms(&s) == 5000200);
    stest_close(&s);
}

Test(fleet, a_server_that_has_a_time_of_its_own_is_refused) {
    struct stest_fleet s;
    stest_open(&s, "chat", 10, 30);
    s.server.clock = "/nowhere/clock.so";
    cr_assert(!sim_server_start(&s.server, 5000000));
    stest_close(&s);
}

// The same decisions by the module over its socket and by the core in the process, at no distance.
Test(fleet, module_and_core_decide_alike) {
    struct stest_fleet s;
    stest_open(&s, "chat", 600, 30);
    s.plan.hop = 0;
    stest_router(&s, "shared", 1);
    struct sim_figures a = stest_run(&s);
    stest_router(&s, "events", 1);
    struct sim_figures b = stest_run(&s);
    cr_assert(!memcmp(&a, &b, sizeof a), "%g %g", a.ttft_mean, b.ttft_mean);
    stest_close(&s);
}

// Also what they are told of sessions, which the pool remembers then.
Test(fleet, sessions_are_named_if_asked_for) {
    struct stest_fleet s;
    stest_open(&s, "chat", 600, 30);
    s.plan.hop = 0;
    for (int named = 0; named < 2; named++) {
        s.plan.named = named;
        stest_router(&s, "shared", 1);
        struct sim_figures a = stest_run(&s);
        redisReply *r = support_redis_command(&s.server.redis,
                                              "KVROUTE.SESSION LIST " SIM_POOL " 0 COUNT 10000");
        cr_assert(r && r->elements == 2 && (r->element[1]->elements > 0) == named);
        freeReplyObject(r);
        stest_router(&s, "events", 1);
        struct sim_figures b = stest_run(&s);
        cr_assert(!memcmp(&a, &b, sizeof a), "%g %g", a.ttft_mean, b.ttft_mean);
    }
    stest_close(&s);
}

Test(fleet, who_asks_the_core_predicts) {
    struct stest_fleet s;
    stest_open(&s, "chat", 600, 30);
    for (size_t i = 0; i < STEST_KINDS; i++) {
        static const char *const cores[] = {"dynamo", "lmetric", "fixed", "own",
                                            "events", "sync",    "shared"};
        bool core = false;
        for (size_t k = 0; k < sizeof cores / sizeof *cores; k++)
            core |= !strcmp(cores[k], router_kinds[i].kind);
        stest_router(&s, router_kinds[i].kind, 1);
        double error = stest_run(&s).error;
        cr_assert(core ? error > 0 && error < 0.5 : isnan(error), "%s: %g", router_kinds[i].kind,
                  error);
    }
    stest_close(&s);
}

Test(fleet, a_rule_without_its_terms_is_another) {
    struct stest_fleet s;
    stest_open(&s, "agents", 1500, 40);
    stest_router(&s, "events", 1);
    struct sim_figures whole = stest_run(&s);
    s.plan.rule.without = 0;
    struct sim_figures again = stest_run(&s);
    cr_assert(!memcmp(&whole, &again, sizeof whole));
    s.plan.rule.without = SIM_TERMS_ALL;
    struct sim_figures bare = stest_run(&s);
    cr_assert(bare.ttft_mean != whole.ttft_mean);
    stest_close(&s);
}

// Figures of before engines had roles: what has come since is nothing to who doesn't ask for it.
Test(fleet, engines_without_roles_do_what_they_did) {
    static const struct {
        const char *kind;
        double ttft, tbt, e2e, hit;
    } before[] = {{"events", 0.589145546, 0.039757093, 30.003882659, 0.399990359},
                  {"llm-d", 0.720101061, 0.043956159, 31.694995872, 0.334096551},
                  {"least", 1.219162009, 0.046150214, 33.215725477, 0.289460365}};
    struct stest_fleet s;
    stest_open(&s, "chat", 600, 30);
    for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
        stest_router(&s, before[i].kind, 3);
        struct sim_figures x = stest_run(&s);
        cr_assert(fabs(x.ttft_mean - before[i].ttft) < 1e-6, "%s", before[i].kind);
        cr_assert(fabs(x.tbt_mean - before[i].tbt) < 1e-6, "%s", before[i].kind);
        cr_assert(fabs(x.e2e_p99 - before[i].e2e) < 1e-6, "%s", before[i].kind);
        cr_assert(fabs(x.hit - before[i].hit) < 1e-6, "%s", before[i].kind);
    }
    stest_close(&s);
}

Test(fleet, any_number_of_routers_on_the_pool_is_as_one) {
    struct stest_fleet s;
    stest_open(&s, "agents", 600, 15);
    s.plan.hop = 0;
    stest_router(&s, "shared", 1);
    struct sim_figures one = stest_run(&s);
    stest_router(&s, "shared", 8);
    struct sim_figures many = stest_run(&s);
    cr_assert(!memcmp(&one, &many, sizeof one));
    stest_router(&s, "own", 8);
    struct sim_figures apart = stest_run(&s);
    cr_assert(apart.hit < one.hit);
    stest_close(&s);
}

Test(fleet, nothing_is_lost_whatever_goes_wrong) {
    static const struct sim_incident incidents[] = {
        {SIM_ROUTER_DIES, 3, 4, 0, true}, {SIM_ROUTER_DIES, 5, 6, 1, false},
        {SIM_ROUTER_DIES, 6, 2, 2, true}, {SIM_WORKER_DIES, 4, 5, 3, true},
        {SIM_WORKER_DIES, 8, 0, 2, true}, {SIM_WORKERS_JOIN, 6, 0, 2, false},
        {SIM_SERVER_DIES, 9, 3, 0, true}, {SIM_SERVER_DIES, 14, 2, 0, false},
    };
    struct stest_fleet s;
    stest_open(&s, "chat", 600, 30);
    s.plan.incidents = incidents;
    s.plan.n_incidents = sizeof incidents / sizeof *incidents;
    for (size_t i = 0; i < STEST_KINDS; i++) {
        stest_router(&s, router_kinds[i].kind, router_kinds[i].routers);
        struct sim_figures a = stest_run(&s), b = stest_run(&s);
        cr_assert(!memcmp(&a, &b, sizeof a), "%s", router_kinds[i].kind);
        cr_assert(a.retried > 0, "%s", router_kinds[i].kind);
    }
    stest_close(&s);
}

Test(fleet, requests_wait_while_no_router_is_there) {
    static const struct sim_incident gone = {SIM_ROUTER_DIES, 2, 5, 0, true};
    struct stest_fleet s;
    stest_open(&s, "alone", 300, 30);
    stest_router(&s, "least", 1);
    double before = stest_run(&s).ttft_p99;
    s.plan.incidents = &gone;
    s.plan.n_incidents = 1;
    double after = stest_run(&s).ttft_p99;
    cr_assert(after > before + 3, "%g, then %g", before, after);
    stest_close(&s);
}

Test(fleet, a_request_that_fits_nowhere_is_refused) {
    struct stest_fleet s;
    stest_open(&s, "alone", 50, 30);
    stest_router(&s, "least", 1);
    s.plan.blocks = 3;
    struct sim_stats stats;
    cr_assert(!sim_run(&s.plan, &stats));
    sim_stats_close(&stats);
    stest_close(&s);
}
