// SPDX-License-Identifier: Apache-2.0
// What engines may have beside the plain ones: speeds, attention, preemption, a second tier.
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "client/common/random.h"
#include "stest.h"

// ---- Speeds --------------------------------------------------------------------------------------

Test(engine, half_as_fast) {
    struct stest_load l;
    stest_load_open(&l, 4);
    stest_load_add(&l, 0, 10, 3, 100);
    struct sim_model m = stest_model;
    sim_model_speed(&m, 0.5);
    struct sim_engine *e = sim_engine_new(&m, &l.load, 20, 0);
    sim_engine_add(e, 0, SIM_ALL);
    stest_step(e, 2 * (1 + 8 * 0.01));
    stest_step(e, 2 * (1 + 2 * 0.01 + 8 * 0.001));
    stest_step(e, 2 * (1 + 0.1 + 11 * 0.001));
    sim_engine_free(e);
}

// The second engine, at half the speed, takes twice the time for the same.
Test(fleet, engines_of_two_speeds) {
    struct stest_load l;
    stest_load_open(&l, 4);
    stest_load_add(&l, 0, 8, 3, 100);
    stest_load_add(&l, 0, 8, 3, 200);
    struct sim_engine_plan engines[] = {{stest_model, 1, 9, KVR_ROLE_BOTH},
                                        {stest_model, 0.5, 12, KVR_ROLE_BOTH}};
    struct sim_plan plan = {.kind = sim_router_find("round-robin"),
                            .load = &l.load,
                            .speed = 1,
                            .model = &stest_model,
                            .engines = engines,
                            .n_engines = 2,
                            .blocks = 9,
                            .workers = 2,
                            .routers = 1,
                            .title = "two speeds"};
    struct sim_stats s;
    cr_assert(sim_run(&plan, &s));
    const struct sim_outcome *fast = &s.outcomes[0], *slow = &s.outcomes[1];
    if (fast->worker) fast = &s.outcomes[1], slow = &s.outcomes[0];
    cr_assert(fast->worker == 0 && slow->worker == 1);
    cr_assert(fabs(slow->done - 2 * fast->done) < 1e-9 && fabs(fast->done - 3.299) < 1e-9);
    cr_assert(fabs(s.work[1] - 2 * s.work[0]) < 1e-9);
    sim_stats_close(&s);
}

// ---- Attention -----------------------------------------------------------------------------------

// 8 tokens see 4 before them on average, the next two 9.
Test(engine, attention) {
    struct stest_load l;
    stest_load_open(&l, 4);
    stest_load_add(&l, 0, 10, 1, 100);
    struct sim_model m = stest_model;
    m.attention = 0.0001;
    struct sim_engine *e = sim_engine_new(&m, &l.load, 20, 0);
    sim_engine_add(e, 0, SIM_ALL);
    stest_step(e, 1 + 8 * 0.01 + 8 * 4 * 0.0001);
    stest_step(e, 1 + 2 * 0.01 + 8 * 0.001 + 2 * 9 * 0.0001);
    sim_engine_free(e);
}

// ---- Preemption ----------------------------------------------------------------------------------

// Two prompts of two blocks in five: both begin, the first takes the last block, and the second then has to
// go. Of its prompt it finds the first block again.
Test(engine, the_youngest_is_preempted) {
    struct stest_load l;
    stest_load_open(&l, 4);
    stest_load_add(&l, 0, 7, 8, 100);
    stest_load_add(&l, 0, 7, 8, 200);
    struct sim_model m = stest_model;
    m.preempt = true;
    m.budget = 32;
    struct sim_engine *e = sim_engine_new(&m, &l.load, 5, 0);
    sim_engine_add(e, 0, SIM_ALL);
    sim_engine_add(e, 1, SIM_ALL);
    struct sim_step s = stest_step(e, 1 + 14 * 0.01);
    cr_assert(s.n_first == 2 && s.n_preempted == 0);
    // Nine tokens need a third block: there is one.
    s = stest_step(e, 1 + 0.1 + 8 * 0.001);
    cr_assert(s.n_preempted == 1 && s.preempted[0] == 1 && s.decoding == 1);
    cr_assert(sim_engine_load(e).requests == 2 && sim_engine_load(e).prompt_tokens == 8);
    // It needs three blocks of its own and the first has three: it waits.
    for (int i = 1; i < 4; i++) {
        s = stest_step(e, 1 + 0.1 + (8 + i) * 0.001);
        cr_assert(s.n_preempted == 0 && s.prefill == 0);
    }
    for (int i = 4; i < 7; i++)
        s = stest_step(e, 1 + 0.1 + (8 + i) * 0.001);
    cr_assert(s.n_done == 1 && s.done[0] == 0);
    // The prompt's last tokens, and the one that it had put out; its first block is still there.
    s = stest_step(e, 1 + 4 * 0.01 + 4 * 0.001);
    cr_assert(s.prefill == 4 && s.n_first == 0 && s.n_resumed == 1 && s.resumed[0] == 1);
    for (int i = 0; i < 6; i++)
        s = stest_step(e, 1 + 0.1 + (9 + i) * 0.001);
    cr_assert(s.n_done == 1 && s.done[0] == 1 && sim_engine_requests(e, NULL) == 0);
    cr_assert(sim_engine_kv(e)->reserved == 0 && sim_engine_kv(e)->cached.used == 0);
    sim_engine_free(e);
}

Test(engine, preempted_ones_are_served_all_the_same) {
    struct bench_workload load;
    sim_load_make(sim_load_find("alone"), &load, &(struct sim_load_plan){16, 400, 5, 3});
    struct sim_model m = *sim_model_find("middle");
    size_t none, some, more;
    uint64_t waiting = stest_engine_run(&load, &m, 2500, 0, &none, NULL);
    m.preempt = true;
    uint64_t preempting = stest_engine_run(&load, &m, 2500, 0, &some, NULL);
    uint64_t roomy = stest_engine_run(&load, &m, 50000, 0, &more, NULL);
    uint64_t asked = 0;
    for (size_t i = 0; i < load.n; i++)
        asked += load.requests[i].isl;
    cr_assert(none == 0 && some > 10 && more == 0);
    cr_assert(waiting == asked && roomy == asked && preempting > asked);
    bench_workload_free(&load);
}

// As long as there is room, it makes no difference.
Test(fleet, preemption_with_room_changes_nothing) {
    struct stest_fleet s;
    stest_open(&s, "chat", 300, 10);
    stest_router(&s, "events", 2);
    struct sim_figures a = stest_run(&s);
    s.o.engines[0].model.preempt = true;
    struct sim_figures b = stest_run(&s);
    cr_assert(!memcmp(&a, &b, sizeof a));
    stest_close(&s);
}

// ---- The second tier -----------------------------------------------------------------------------

// A prompt is evicted by another one, and comes back from the host's memory: its last token is computed.
Test(engine, comes_back_from_the_host) {
    struct stest_load l;
    stest_load_open(&l, 4);
    stest_load_add(&l, 0, 12, 1, 100);
    stest_load_add(&l, 0, 13, 1, 200);
    stest_load_add(&l, 0, 12, 1, 100);
    struct sim_model m = stest_model;
    m.transfer = 0.002;
    m.budget = 32;
    for (size_t host = 0; host <= 8; host += 8) {
        struct sim_engine *e = sim_engine_new(&m, &l.load, 4, host);
        sim_engine_add(e, 0, SIM_ALL);
        stest_step(e, 1 + 12 * 0.01);
        sim_engine_add(e, 1, SIM_ALL);
        struct sim_step s = stest_step(e, 1 + 13 * 0.01);
        cr_assert(s.n_removed == 3 && s.n_moved == (host ? 3 : 0));
        sim_engine_add(e, 2, SIM_ALL);
        if (host) {
            uint64_t hashes[3];
            cr_assert(sim_host_run(s.moved, 3, hashes) == 3 && s.moved[2].depth == 0);
            cr_assert(hashes[0] == 100 && hashes[1] == 101 && hashes[2] == 102);
            s = stest_step(e, 12 * 0.002); // nothing else to do
            cr_assert(s.work == 0 && s.n_stored == 1 && s.stored[0].from == 0);
            cr_assert(s.stored[0].to == 3 && s.n_first == 0);
            s = stest_step(e, 1 + 1 * 0.01 + 11 * 0.001);
        } else {
            s = stest_step(e, 1 + 12 * 0.01);
        }
        cr_assert(s.n_first == 1 && s.n_done == 1);
        sim_engine_free(e);
    }
}

// While it is loaded, others go on: 12 tokens of 0.1 s, which take two steps of those who decode.
Test(engine, loading_holds_up_nobody_else) {
    struct stest_load l;
    stest_load_open(&l, 4);
    stest_load_add(&l, 0, 12, 1, 100);
    stest_load_add(&l, 0, 45, 1, 200);
    stest_load_add(&l, 0, 5, 4, 300);
    stest_load_add(&l, 0, 12, 1, 100);
    struct sim_model m = stest_model;
    m.transfer = 0.1;
    m.budget = 64;
    struct sim_engine *e = sim_engine_new(&m, &l.load, 12, 8);
    sim_engine_add(e, 0, SIM_ALL);
    stest_step(e, 1 + 12 * 0.01);
    sim_engine_add(e, 1, SIM_ALL);
    struct sim_step s = stest_step(e, 1 + 45 * 0.01);
    cr_assert(s.n_moved == 3);
    sim_engine_add(e, 2, SIM_ALL);
    stest_step(e, 1 + 5 * 0.01);
    sim_engine_add(e, 3, SIM_ALL);
    s = stest_step(e, 1 + 0.1 + 6 * 0.001);
    cr_assert(s.decoding == 1 && s.prefill == 0 && s.n_stored == 0);
    s = stest_step(e, 1 + 0.1 + 7 * 0.001);
    cr_assert(s.n_stored == 1 && s.stored[0].from == 0 && s.stored[0].to == 3 && s.n_first == 0);
    s = stest_step(e, 1 + 0.1 + 0.01 + (8 + 11) * 0.001);
    cr_assert(s.n_done == 2 && s.prefill == 1);
    sim_engine_free(e);
}

Test(engine, a_second_tier_saves_computing) {
    struct bench_workload load;
    sim_load_make(sim_load_find("chat"), &load, &(struct sim_load_plan){16, 400, 5, 3});
    struct sim_model m = *sim_model_find("middle");
    size_t none;
    uint64_t without = stest_engine_run(&load, &m, 1500, 0, &none, NULL);
    uint64_t small = stest_engine_run(&load, &m, 1500, 1500, &none, NULL);
    uint64_t large = stest_engine_run(&load, &m, 1500, 100000, &none, NULL);
    cr_assert(small < without && large < small, "%llu %llu %llu", (unsigned long long)without,
              (unsigned long long)small, (unsigned long long)large);
    m.preempt = true;
    cr_assert(stest_engine_run(&load, &m, 1500, 1500, &none, NULL) < without);
    bench_workload_free(&load);
}

Test(host, the_oldest_goes_first) {
    struct sim_host host = {0}, *h = &host;
    sim_host_open(h, 3);
    static const uint64_t a[] = {1, 2, 3, 4};
    for (uint32_t i = 3; i > 0; i--)
        sim_host_put(h, a[i - 1], i > 1 ? a[i - 2] : 0, i - 1);
    cr_assert(sim_host_match(h, a, 0, 4) == 3 && sim_host_match(h, a, 1, 2) == 1 &&
              sim_blocks_count(&h->blocks) == 3);
    sim_host_put(h, 9, 0, 0);
    cr_assert(sim_host_match(h, a, 0, 4) == 2); // the leaf came first
    sim_host_use(h, a, 0, 2);
    sim_host_put(h, 8, 0, 0);
    cr_assert(sim_host_match(h, a, 0, 4) == 2);
    const struct sim_moved *m = h->moved;
    cr_assert(h->n_moved == 7 && m[3].hash == 3 && !m[3].stored && m[4].hash == 9 &&
              m[5].hash == 9);
    cr_assert(!m[5].stored && m[6].hash == 8 && sim_blocks_validate(&h->blocks) == NULL);
    sim_host_forget(h);
    cr_assert(h->n_moved == 0);
    sim_host_close(h);
}

// The module hears of the second tier over its socket what the core hears in the process.
Test(fleet, module_and_core_decide_alike_with_a_second_tier) {
    struct stest_fleet s;
    stest_open(&s, "chat", 600, 30);
    s.plan.hop = 0;
    s.plan.blocks = 900;
    s.plan.host = 3000;
    stest_router(&s, "shared", 1);
    struct sim_figures a = stest_run(&s);
    stest_router(&s, "events", 1);
    struct sim_figures b = stest_run(&s);
    cr_assert(!memcmp(&a, &b, sizeof a), "%g %g", a.ttft_mean, b.ttft_mean);
    cr_assert(a.loaded > 0.01);
    s.plan.host = 0;
    struct sim_figures c = stest_run(&s);
    cr_assert(c.loaded == 0 && c.hit < b.hit && c.ttft_mean > b.ttft_mean);
    stest_close(&s);
}

// What engines publish again after the server's loss has the second tier in it.
Test(fleet, the_second_tier_survives_the_servers_loss) {
    static const struct sim_incident gone = {SIM_SERVER_DIES, 12, 0.1, 0, true};
    struct stest_fleet s;
    stest_open(&s, "chat", 600, 30);
    s.plan.blocks = 900;
    s.plan.host = 3000;
    stest_router(&s, "shared", 2);
    double before = stest_run(&s).hit;
    s.plan.incidents = &gone;
    s.plan.n_incidents = 1;
    double after = stest_run(&s).hit;
    cr_assert(after > 0.97 * before, "%g, then %g", before, after);
    stest_close(&s);
}
