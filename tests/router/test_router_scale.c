// SPDX-License-Identifier: Apache-2.0
// How many instances a queue wants, and whether a request would be admitted: the decisions, without a pool.
#include <criterion/criterion.h>

#include "client/router/api/router_admit.h"
#include "client/router/pools/router_scale.h"

static int64_t wanted(struct router_scale *s, int64_t waiting, int64_t ahead, int64_t estimate,
                      int64_t instances) {
    struct router_scale_seen seen = {.waiting = waiting,
                                     .ahead = ahead,
                                     .estimate = estimate,
                                     .instances = instances,
                                     .target = 10000};
    return router_scale_wanted(s, &seen);
}

Test(router_scale, as_many_as_empty_the_queue_in_time) {
    struct router_scale s = {0};
    cr_assert_eq(wanted(&s, 0, 0, 0, 4), 0);
    // 4 instances need 40 s for 99 that wait: with 12 more they need 10.
    cr_assert_eq(wanted(&s, 99, 99, 40000, 4), 12);
    cr_assert_eq(wanted(&s, 99, 99, 10000, 4), 0);
    cr_assert_eq(wanted(&s, 99, 99, 10200, 4), 1); // rounded up
    // Those behind a default request take their time, too.
    cr_assert_eq(wanted(&s, 100, 0, 400, 4), 12);
}

Test(router_scale, room_that_nobody_takes_wants_nobody) {
    struct router_scale s = {0};
    cr_assert_eq(wanted(&s, 50, 50, 0, 4), 0); // flows over their limits
}

Test(router_scale, without_instances_at_least_one) {
    struct router_scale s = {0};
    cr_assert_eq(wanted(&s, 1, 1, -1, 0), 1);
    cr_assert_eq(wanted(&s, 500, 500, -1, 0), 1); // nothing is known of their speed
    wanted(&s, 99, 99, 40000, 4);
    cr_assert_eq(wanted(&s, 99, 99, -1, 0), 16); // as fast as those that there were
    cr_assert_eq(wanted(&s, 0, 0, -1, 0), 0);
}

Test(router_scale, never_more_than_wait) {
    struct router_scale s = {0};
    cr_assert_eq(wanted(&s, 2, 2, 1000000000, 1000), 2);
    s.cost = 1e300;
    cr_assert_eq(wanted(&s, 3, 3, -1, 0), 3);
}

Test(router_scale, unknown_speed_and_somebody_who_waits_long) {
    struct router_scale s = {0};
    struct router_scale_seen seen = {
        .waiting = 5, .estimate = -1, .oldest = 9000, .instances = 1, .target = 10000};
    cr_assert_eq(router_scale_wanted(&s, &seen), 0);
    seen.oldest = 11000;
    cr_assert_eq(router_scale_wanted(&s, &seen), 1);
}

// ---- Admitted? -----------------------------------------------------------------------------------

static enum kvr_code decide(struct router_admit_facts f, int64_t ms) {
    int64_t told;
    enum kvr_code code = router_admit_decide(&f, &told);
    cr_expect_eq(told, ms, "%lld ms", (long long)told);
    return code;
}

Test(router_admit, room_and_nobody_ahead) {
    struct router_admit_facts f = {.eligible = true, .room = true, .estimate = -1};
    cr_assert_eq(decide(f, 0), KVR_CODE_OK);
    f.ahead = 3;
    f.estimate = 700;
    cr_assert_eq(decide(f, 700), KVR_CODE_NOROOM);
    f.estimate = 0; // those ahead wait for something else
    cr_assert_eq(decide(f, 0), KVR_CODE_OK);
    f.room = false;
    cr_assert_eq(decide(f, 1000), KVR_CODE_NOROOM);
    f.eligible = false;
    cr_assert_eq(decide(f, 0), KVR_CODE_NOWORKER);
}

Test(router_admit, what_a_flow_has_left) {
    struct router_admit_facts f = {.eligible = true,
                                   .room = true,
                                   .estimate = 300,
                                   .tokens = 1000,
                                   .limited = true,
                                   .limit = {.max_requests = 2, .requests = 2, .left = -1}};
    cr_assert_eq(decide(f, 300), KVR_CODE_LIMITED);
    f.limit.requests = 1;
    cr_assert_eq(decide(f, 0), KVR_CODE_OK);
    f.limit.rate = 100;
    f.limit.burst = 5000;
    f.limit.left = 1000;
    cr_assert_eq(decide(f, 0), KVR_CODE_OK);
    f.limit.left = 500;
    cr_assert_eq(decide(f, 5001), KVR_CODE_LIMITED);
    f.limit.left = -500;
    cr_assert_eq(decide(f, 15001), KVR_CODE_LIMITED);
    // More than it may have at once passes when all is there.
    f.tokens = 100000;
    f.limit.left = 5000;
    cr_assert_eq(decide(f, 0), KVR_CODE_OK);
    f.room = false; // LIMITED goes before NOROOM
    f.limit.left = 0;
    cr_assert_eq(decide(f, 50001), KVR_CODE_LIMITED);
}

Test(router_admit, a_class_keeps_off_the_last_slots) {
    struct kvr_score s = {.room = true, .requests = 7, .prefill_tokens = 100};
    cr_assert(router_admit_fits(&s, 100, 10, 0) && router_admit_fits(&s, -1, 10, 0));
    cr_assert(router_admit_fits(&s, 80, 10, 0));
    s.requests = 8;
    cr_assert_not(router_admit_fits(&s, 80, 10, 0));
    cr_assert(router_admit_fits(&s, 80, 0, 1000));
    s.prefill_tokens = 800;
    cr_assert_not(router_admit_fits(&s, 80, 0, 1000));
    s.requests = 0; // idle: room for any
    cr_assert(router_admit_fits(&s, 0, 10, 1000));
    s.room = false;
    cr_assert_not(router_admit_fits(&s, 100, 10, 0));
}
