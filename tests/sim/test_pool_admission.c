// SPDX-License-Identifier: Apache-2.0
// Requests that wait in a pool until an engine has room: by hand, and in whole runs. sim_run itself checks that no
// request is lost or ends twice.
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "bench/sim/queue/class_figures.h"
#include "stest.h"

// A step takes a second, whatever is in it.
static const struct sim_model second = {.fixed = 1, .budget = 1000, .running = 64};

// One engine, `one` pool, no distances.
static struct sim_plan plan_by_hand(const struct stest_load *l, uint64_t max_requests) {
    return (struct sim_plan){.kind = sim_router_find("one"),
                             .load = &l->load,
                             .speed = 1,
                             .model = &second,
                             .blocks = 1000,
                             .workers = 1,
                             .routers = 1,
                             .words = "",
                             .title = "by hand",
                             .admission = {.on = true, .max_requests = max_requests, .wait = 3600}};
}

// Requests of ten steps each, one tenth of a second apart.
static void load_by_hand(struct stest_load *l, unsigned n) {
    stest_load_open(l, 4);
    for (unsigned i = 0; i < n; i++)
        stest_load_add(l, 1 + i / 10.0, 8, 10, 100 * (i + 1));
}

Test(pool_admission, one_at_a_time) {
    static struct stest_load l;
    struct sim_stats s;
    load_by_hand(&l, 3);
    struct sim_plan plan = plan_by_hand(&l, 1);
    cr_assert(sim_run(&plan, &s));
    for (unsigned i = 0; i < 3; i++)
        cr_assert(fabs(s.outcomes[i].chosen - (1 + 10.0 * i)) < 1e-9, "%g", s.outcomes[i].chosen);
    cr_assert(fabs(s.outcomes[2].first - 22) < 1e-9 && fabs(s.outcomes[2].done - 31) < 1e-9);
    sim_stats_close(&s);
}

Test(pool_admission, as_many_as_have_room) {
    static struct stest_load l;
    struct sim_stats s;
    load_by_hand(&l, 5);
    struct sim_plan plan = plan_by_hand(&l, 2);
    cr_assert(sim_run(&plan, &s));
    cr_assert(fabs(s.outcomes[1].chosen - 1.1) < 1e-9, "the second has room");
    cr_assert(fabs(s.outcomes[2].chosen - s.outcomes[0].done) < 1e-9);
    cr_assert(fabs(s.outcomes[3].chosen - s.outcomes[1].done) < 1e-9);
    cr_assert(fabs(s.outcomes[4].chosen - s.outcomes[2].done) < 1e-9);
    sim_stats_close(&s);
}

// Its answer takes a hop back to the router and one to the engine; the news that makes room, two.
Test(pool_admission, distances) {
    static struct stest_load l;
    struct sim_stats s;
    load_by_hand(&l, 2);
    struct sim_plan plan = plan_by_hand(&l, 1);
    plan.hop = 0.25;
    cr_assert(sim_run(&plan, &s));
    cr_assert(fabs(s.outcomes[1].chosen - s.outcomes[0].done - 0.5) < 1e-9);
    cr_assert(fabs(s.outcomes[1].first - s.outcomes[1].chosen - 0.5 - 1) < 1e-9);
    sim_stats_close(&s);
}

Test(pool_admission, the_higher_class_first) {
    static struct stest_load l;
    static const struct sim_class classes[] = {{"low", -10, 1, 100}, {"high", 10, 1, 100}};
    struct sim_stats s;
    load_by_hand(&l, 4);
    l.requests[3].service_class = 1;
    struct sim_plan plan = plan_by_hand(&l, 1);
    plan.admission.classes = classes;
    plan.admission.n_classes = 2;
    cr_assert(sim_run(&plan, &s));
    cr_assert(fabs(s.outcomes[3].chosen - s.outcomes[0].done) < 1e-9,
              "before those who came first");
    cr_assert(fabs(s.outcomes[1].chosen - s.outcomes[3].done) < 1e-9);
    cr_assert(fabs(s.outcomes[2].chosen - s.outcomes[1].done) < 1e-9);
    sim_stats_close(&s);
}

// Half of four places is for the class: the third waits while others go on.
Test(pool_admission, room_of_a_class) {
    static struct stest_load l;
    static const struct sim_class classes[] = {{"half", 0, 1, 50}, {"all", 0, 1, 100}};
    struct sim_stats s;
    load_by_hand(&l, 5);
    l.requests[3].service_class = l.requests[4].service_class = 1;
    struct sim_plan plan = plan_by_hand(&l, 4);
    plan.admission.classes = classes;
    plan.admission.n_classes = 2;
    cr_assert(sim_run(&plan, &s));
    for (unsigned i = 0; i < 5; i++)
        if (i != 2) cr_assert(fabs(s.outcomes[i].chosen - s.outcomes[i].arrived) < 1e-9, "%u", i);
    cr_assert(s.outcomes[2].chosen > s.outcomes[0].done - 1e-9);
    sim_stats_close(&s);
}

// Who may not wait comes back when told, also in whole seconds, until there is room.
Test(pool_admission, refused_ones_come_back) {
    static struct stest_load l;
    struct sim_stats s;
    for (int whole = 0; whole < 2; whole++) {
        load_by_hand(&l, 2);
        struct sim_plan plan = plan_by_hand(&l, 1);
        plan.admission.wait = 0;
        plan.admission.whole = whole;
        cr_assert(sim_run(&plan, &s));
        cr_assert(s.outcomes[0].refused == 0 && s.outcomes[1].refused > 0);
        cr_assert(s.outcomes[1].chosen >= s.outcomes[0].done - 1e-9);
        double waited = s.outcomes[1].chosen - s.outcomes[1].arrived;
        if (whole) cr_assert(fabs(waited - round(waited)) < 1e-9, "%g", waited);
        sim_stats_close(&s);
    }
}

// At its deadline a request is dropped, and comes again.
Test(pool_admission, deadlines) {
    static struct stest_load l;
    struct sim_stats s;
    load_by_hand(&l, 2);
    struct sim_plan plan = plan_by_hand(&l, 1);
    plan.admission.wait = 3;
    cr_assert(sim_run(&plan, &s));
    cr_assert(s.outcomes[1].refused == 3, "%u", s.outcomes[1].refused);
    cr_assert(s.outcomes[1].chosen >= s.outcomes[0].done - 1e-9);
    sim_stats_close(&s);
}

// A flow of 18 tokens a second and as many at once, of requests of 18 tokens: one a second, whatever room there is.
Test(pool_admission, a_flow_keeps_to_its_rate) {
    static struct stest_load l;
    static const struct sim_flow flow = {.weight = 1, .rate = 18};
    struct sim_stats s;
    double mean;
    load_by_hand(&l, 20);
    for (unsigned i = 0; i < 20; i++)
        l.requests[i].flow = 1;
    struct sim_plan plan = plan_by_hand(&l, 0);
    plan.admission.max_requests = 64;
    plan.admission.outputs = plan.admission.by_flow = true;
    plan.admission.flows = &flow;
    plan.admission.n_flows = 1;
    cr_assert(sim_run(&plan, &s));
    for (unsigned i = 0; i < 20; i++)
        cr_assert(fabs(s.outcomes[i].chosen - (1 + i)) < 0.05 + i * 1e-3, "%u: %g", i,
                  s.outcomes[i].chosen);
    cr_assert(sim_ahead(&s, &l.load, 18, &mean) <= 18.001 * 2);
    sim_stats_close(&s);
}

// ---- Whole runs ----------------------------------------------------------------------------------

static void open_full(struct stest_fleet *s, size_t requests) {
    stest_open(s, "chat", requests, 60);
    s->plan.workers = 4;
    s->plan.admission.on = true;
    s->plan.admission.max_requests = 16;
}

Test(pool_admission, every_kind_twice_the_same) {
    static const char *const kinds[] = {"own", "events", "both", "sync", "one"};
    struct stest_fleet s;
    open_full(&s, 400);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        stest_router(&s, kinds[i], 3);
        struct sim_figures a = stest_run(&s), b = stest_run(&s);
        cr_assert(!memcmp(&a, &b, sizeof a), "%s", kinds[i]);
        cr_assert(a.requests == 400 && a.ttft_p99 > 1, "%s: they wait", kinds[i]);
    }
    stest_close(&s);
}

// Where there is always room, waiting changes nothing.
Test(pool_admission, room_for_all_changes_nothing) {
    struct stest_fleet s;
    stest_open(&s, "chat", 400, 20);
    stest_router(&s, "one", 3);
    struct sim_figures a = stest_run(&s);
    s.plan.admission.on = true;
    s.plan.admission.max_requests = 400;
    struct sim_figures b = stest_run(&s);
    cr_assert(!memcmp(&a, &b, sizeof a));
    stest_close(&s);
}

// One pool is what the server has, to the bit: with room for all, and where requests wait.
Test(pool_admission, one_pool_decides_as_the_server_does) {
    static const struct sim_class classes[] = {{"a", 1, 2, 100}, {"b", 0, 3, 60}, {"c", 0, 1, 100}};
    struct stest_fleet s;
    open_full(&s, 400);
    for (size_t i = 0; i < s.load.n; i++) {
        s.load.requests[i].service_class = i % 3;
        s.load.requests[i].flow = 1 + s.load.requests[i].session;
    }
    s.plan.admission.classes = classes;
    s.plan.admission.n_classes = 3;
    s.plan.admission.by_flow = s.plan.admission.outputs = true;
    for (int waits = 0; waits < 2; waits++) {
        s.plan.admission.on = waits;
        stest_router(&s, "one", 3);
        struct sim_figures a = stest_run(&s);
        stest_router(&s, "shared", 3);
        struct sim_figures b = stest_run(&s);
        cr_assert(!memcmp(&a, &b, sizeof a), "%d: %g %g", waits, a.ttft_mean, b.ttft_mean);
        cr_assert(!waits || a.ttft_p99 > 1, "they wait");
    }
    stest_close(&s);
}

// Also whom the server refuses comes back.
Test(pool_admission, refused_by_the_server) {
    struct stest_fleet s;
    open_full(&s, 200);
    s.plan.admission.wait = 0;
    stest_router(&s, "one", 3);
    struct sim_figures a = stest_run(&s);
    stest_router(&s, "shared", 3);
    struct sim_figures b = stest_run(&s);
    cr_assert(!memcmp(&a, &b, sizeof a), "%g %g", a.ttft_mean, b.ttft_mean);
    stest_close(&s);
}

// Routers share one pool's room; private pools have their parts of it.
Test(pool_admission, no_engine_has_more_than_its_limit) {
    static const char *const kinds[] = {"events", "one"};
    struct stest_fleet s;
    struct sim_stats stats;
    open_full(&s, 300);
    for (size_t i = 0; i < 2; i++) {
        stest_router(&s, kinds[i], 4);
        cr_assert(sim_run(&s.plan, &stats));
        // By the routers' view: from the choice to the end that they hear of.
        for (size_t k = 0; k < stats.n; k++) {
            unsigned live = 0;
            for (size_t j = 0; j < stats.n; j++)
                live += stats.outcomes[j].worker == stats.outcomes[k].worker &&
                        stats.outcomes[j].chosen <= stats.outcomes[k].chosen &&
                        stats.outcomes[j].done > stats.outcomes[k].chosen;
            cr_assert(live <= 16, "%s: %u", kinds[i], live);
        }
        sim_stats_close(&stats);
    }
    stest_close(&s);
}

static void break_in_the_middle(struct stest_fleet *s, struct sim_incident incident) {
    static struct sim_incident one;
    one = incident;
    s->plan.incidents = &one;
    s->plan.n_incidents = 1;
    struct sim_figures a = stest_run(s);
    cr_assert(a.requests == 300, "all of them end");
}

Test(pool_admission, an_engine_dies_while_requests_wait) {
    struct stest_fleet s;
    open_full(&s, 300);
    stest_router(&s, "one", 3);
    break_in_the_middle(&s, (struct sim_incident){SIM_WORKER_DIES, 3, 0, 1, true});
    break_in_the_middle(&s, (struct sim_incident){SIM_WORKER_DIES, 3, 2, 1, true});
    stest_close(&s);
}

Test(pool_admission, engines_join_while_requests_wait) {
    struct stest_fleet s;
    open_full(&s, 300);
    stest_router(&s, "one", 3);
    double before = stest_run(&s).ttft_p99;
    break_in_the_middle(&s, (struct sim_incident){SIM_WORKERS_JOIN, 3, 0, 4, false});
    cr_assert(stest_run(&s).ttft_p99 < before);
    stest_close(&s);
}

// Where nearly all of a class comes to one router, routers with queues of their own can't keep to weights; one queue
// can.
Test(pool_admission, skewed_ingress_breaks_private_weights) {
    static const struct sim_class classes[] = {{"a", 0, 4, 100}, {"b", 0, 1, 100}};
    static const char *const kinds[] = {"one", "events"};
    struct stest_fleet s;
    struct sim_stats stats;
    struct sim_class_figures x[2];
    double ratio[2];
    stest_open(&s, "alone", 800, 1e5);
    for (size_t i = 0; i < s.load.n; i++)
        s.load.requests[i].service_class = i % 2;
    s.plan.workers = 2;
    s.plan.admission.on = s.plan.admission.outputs = true;
    s.plan.admission.max_requests = 16;
    s.plan.admission.classes = classes;
    s.plan.admission.n_classes = 2;
    s.plan.skew = 12;
    s.plan.from = 5;
    s.plan.until = 25; // both have somebody waiting
    for (size_t i = 0; i < 2; i++) {
        stest_router(&s, kinds[i], 4);
        cr_assert(sim_run(&s.plan, &stats));
        for (uint32_t c = 0; c < 2; c++)
            sim_class_figures(&stats, &s.load, c, &x[c]);
        ratio[i] = x[0].charged / x[1].charged;
        sim_stats_close(&stats);
    }
    cr_assert(ratio[0] > 3.2 && ratio[0] < 5, "%g", ratio[0]);
    cr_assert(ratio[1] < 1.5, "%g", ratio[1]);
    stest_close(&s);
}

// Who waits when the server goes asks again when it is back, whether it has lost everything or not.
Test(pool_admission, the_server_dies_while_requests_wait) {
    struct stest_fleet s;
    open_full(&s, 300);
    stest_router(&s, "shared", 3);
    break_in_the_middle(&s, (struct sim_incident){SIM_SERVER_DIES, 3, 2, 0, false});
    break_in_the_middle(&s, (struct sim_incident){SIM_SERVER_DIES, 3, 2, 0, true});
    break_in_the_middle(&s, (struct sim_incident){SIM_WORKER_DIES, 3, 2, 1, true});
    break_in_the_middle(&s, (struct sim_incident){SIM_ROUTER_DIES, 3, 2, 1, true});
    stest_close(&s);
}
