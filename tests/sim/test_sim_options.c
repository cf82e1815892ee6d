// SPDX-License-Identifier: Apache-2.0
// The command line: fleets of several engines, and what follows from a load.
#include <criterion/criterion.h>
#include <string.h>

#include "stest.h"

Test(options, models_and_speeds) {
    static struct sim_options o;
    cr_assert(stest_parse(&o, "--model", "middle:2,large:3", NULL, NULL) == -1);
    cr_assert(o.workers == 5 && !strcmp(o.engines[1].model.name, "middle"));
    cr_assert(!strcmp(o.engines[2].model.name, "large"));
    cr_assert(o.engines[0].blocks == 420000 / 64 && o.engines[4].blocks == 3600000 / 64);
    cr_assert(stest_parse(&o, "--speeds", "2x1,0.4", "--attention", NULL) == -1);
    cr_assert(o.workers == 3 && o.engines[1].speed == 1 && o.engines[2].speed == 0.4);
    cr_assert(o.engines[2].model.attention > 0 && !o.engines[2].model.preempt);
    cr_assert(stest_parse(&o, "--speeds", "1,0.5", "--workers", "5") == -1);
    cr_assert(o.workers == 5 && o.engines[3].speed == 0.5 && o.engines[4].speed == 1);
    cr_assert(stest_parse(&o, "--model", "large", NULL, NULL) == -1 && o.workers == 8);
    cr_assert(o.engines[0].model.attention == 0 && !o.users && !o.warmup && !o.duration);
    cr_assert(stest_parse(&o, "--model", "huge", NULL, NULL) == 2);
    cr_assert(stest_parse(&o, "--speeds", "3y1", NULL, NULL) == 2);
}

Test(options, users_of_a_load) {
    static struct sim_options o;
    cr_assert(stest_parse(&o, "--load", "sessions", "--model", "large") == -1);
    cr_assert(o.users == (uint64_t)o.load->users[2] * 8 && o.duration > 0 && o.warmup > 0);
    cr_assert(stest_parse(&o, "--sessions", "12", "--warmup", "5") == -1);
    cr_assert(o.users == 12 && o.warmup == 5 && o.ramp > 0 && !o.fresh);
}

Test(options, terms_that_are_left_out) {
    static struct sim_options o;
    cr_assert(stest_parse(&o, "--without", "queue,pace", NULL, NULL) == -1);
    cr_assert(o.n_specs == 1 && !strcmp(o.specs[0].kind->name, "events"));
    cr_assert(o.specs[0].without == (KVR_TERM_QUEUE | KVR_TERM_PACE));
    cr_assert(stest_parse(&o, "--without", "first", "--router", "own:8,sync:2") == -1);
    cr_assert(o.n_specs == 2 && o.specs[0].routers == 8 && o.specs[1].without == KVR_TERM_FIRST);
    cr_assert(stest_parse(&o, "--without", "nothing", NULL, NULL) == 2);
    cr_assert(stest_parse(&o, "--without", "pace", "--router", "shared") == 2,
              "it isn't in this process");
    cr_assert(stest_parse(&o, "--without", "pace", "--router", "least") == 2, "it has no rule");
    cr_assert(stest_parse(&o, "--without", "pace", "--router", "events:linear") == 2,
              "nor this term");
    cr_assert(stest_parse(&o, NULL, NULL, NULL, NULL) == -1);
    for (size_t i = 0; i < o.n_specs; i++)
        cr_assert(!o.specs[i].without);
    cr_assert(!o.plan.named);
    cr_assert(stest_parse(&o, "--session-names", NULL, NULL, NULL) == -1 && o.plan.named);
}

Test(options, ablation_has_a_row_for_each_term) {
    static struct sim_options o;
    cr_assert(stest_parse(&o, "--ablation", "--router", "own,events:2", NULL) == -1);
    enum { ROWS = SIM_TERMS + 2 };
    cr_assert(o.n_specs == 2 * ROWS);
    for (unsigned i = 0; i < o.n_specs; i++) {
        unsigned k = i % ROWS;
        cr_assert(!strcmp(o.specs[i].kind->name, i < ROWS ? "own" : "events"));
        cr_assert(o.specs[i].routers == (i < ROWS ? 1 : 2));
        cr_assert(o.specs[i].without == (k == 0           ? 0
                                         : k <= SIM_TERMS ? 1u << (k - 1)
                                                          : SIM_TERMS_ALL));
    }
    cr_assert(stest_parse(&o, "--ablation", "--without", "queue", NULL) == -1);
    cr_assert(o.n_specs == ROWS - 1, "without the queue, without one more each, without all");
    cr_assert(o.specs[0].without == KVR_TERM_QUEUE);
    cr_assert(o.specs[1].without == (KVR_TERM_QUEUE | KVR_TERM_EXPECTED));
}

Test(options, names_of_terms) {
    char room[80];
    for (unsigned i = 0; i < SIM_TERMS; i++)
        cr_assert(sim_term_find(sim_term_names[i]) == 1u << i);
    cr_assert(!sim_term_find("") && !sim_term_find("queues"));
    sim_terms_text(KVR_TERM_REUSE, room, sizeof room);
    cr_assert_str_eq(room, "reuse");
    sim_terms_text(KVR_TERM_QUEUE | KVR_TERM_PACE | KVR_TERM_ROUNDING, room, sizeof room);
    cr_assert_str_eq(room, "queue or pace or rounding");
    sim_terms_text(SIM_TERMS_ALL, room, sizeof room);
    cr_assert_str_eq(room, "terms");
    cr_assert(sim_terms_text(SIM_TERMS_ALL - 1, room, 12) > 12);
    cr_assert_str_eq(room, "queue or ar");
}

Test(options, room_and_fairness_of_a_router) {
    static struct sim_options o;
    cr_assert(stest_parse(&o, "--router", "one:8:room=48/4096/90:fair,events:room=0/0/100,least",
                          NULL, NULL) == -1);
    cr_assert(o.n_specs == 3 && o.specs[0].queue && o.specs[0].fair && o.specs[0].routers == 8);
    cr_assert(o.specs[0].max_requests == 48 && o.specs[0].max_prefill == 4096);
    cr_assert(o.specs[0].max_blocks == 90 && o.specs[1].max_blocks == 100 && !o.specs[1].fair);
    cr_assert(!o.specs[2].queue && o.plan.admission.wait == 3600 && !o.plan.admission.on);
    cr_assert(stest_parse(&o, "--router", "one:room=", NULL, NULL) == 2);
    cr_assert(stest_parse(&o, "--router", "one:room=0/0", NULL, NULL) == 2);
    cr_assert(stest_parse(&o, "--router", "one:room=1/2/3/4", NULL, NULL) == 2);
    cr_assert(stest_parse(&o, "--router", "one:fair", NULL, NULL) == 2);
    cr_assert(stest_parse(&o, "--router", "least:room=4", NULL, NULL) == 2);
}

// A queue dies with the router that has it, which isn't simulated.
Test(options, a_router_with_a_queue_stays) {
    static struct sim_options o;
    cr_assert(stest_parse(&o, "--router", "events:room=4", "--fail", "router:0:1:1") == 2);
    cr_assert(stest_parse(&o, "--router", "one:room=4", "--fail", "router:0:1:1") == -1);
}
