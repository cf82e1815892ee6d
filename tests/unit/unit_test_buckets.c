// SPDX-License-Identifier: Apache-2.0
// Flows' limits: live requests, and buckets to the thousandth of a token.
#include <criterion/criterion.h>
#include <stdio.h>

#include "unit_waiting.h"

static int64_t left(struct unit_pair *p, const char *flow) {
    struct kvr_flow_info f;
    cr_assert(kvr_flow_get(p->pool, p->now, text(flow), &f));
    return f.left;
}

// How long until a request of so many tokens may come, 0: it may now and is booked.
static int64_t limited(struct unit_pair *p, const char *id, int64_t isl) {
    struct kvr_query q = unit_waiting_query(p, isl, NULL, "f");
    if (unit_model_flow_passes(&p->model, text("f"), isl, p->now)) {
        cr_assert(unit_waiting_ask(p, id, &q));
        return 0;
    }
    int64_t retry;
    cr_assert(unit_waiting_refused(p, id, &q, &retry) == KVR_LIMITED);
    return retry;
}

Test(buckets, full_at_first_and_filled_at_their_rate) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 0);
    unit_waiting_flow(&p, "f", 0, 100, 1000);
    cr_assert(left(&p, "f") == 1000);
    cr_assert(limited(&p, "one", 600) == 0 && left(&p, "f") == 400);
    cr_assert(limited(&p, "two", 401) == 10); // a token in 10 ms
    cr_assert(limited(&p, "two", 500) == 1000);
    p.now += 9;
    cr_assert(limited(&p, "two", 401) == 1);
    p.now++;
    cr_assert(limited(&p, "two", 401) == 0 && left(&p, "f") == 0);
    cr_assert(limited(&p, "three", 1) == 10);
    cr_assert(limited(&p, "three", 0) == 0); // costs nothing
    p.now += 20000;
    cr_assert(left(&p, "f") == 1000); // and no more
    unit_pair_check_all(&p);
    unit_waiting_end(&p);
}

Test(buckets, the_burst_is_a_seconds_rate_unless_given) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 0);
    unit_waiting_flow(&p, "f", 0, 700, 0);
    cr_assert(left(&p, "f") == 700);
    struct kvr_flow_info f = {.burst = 50};
    cr_assert(unit_pair_flow_set(&p, text("f"), KVR_FLOW_BURST, &f) == KVR_OK);
    cr_assert(left(&p, "f") == 50); // what is too much runs over
    f.burst = 5000;
    cr_assert(unit_pair_flow_set(&p, text("f"), KVR_FLOW_BURST, &f) == KVR_OK);
    cr_assert(left(&p, "f") == 50);
    p.now += 100;
    cr_assert(left(&p, "f") == 120);
    f.rate = 10; // what it has it keeps
    cr_assert(unit_pair_flow_set(&p, text("f"), KVR_FLOW_RATE, &f) == KVR_OK);
    cr_assert(left(&p, "f") == 120);
    f.rate = 0;
    cr_assert(unit_pair_flow_set(&p, text("f"), KVR_FLOW_RATE, &f) == KVR_OK);
    cr_assert(left(&p, "f") == -1);
    unit_waiting_end(&p);
}

// One that is larger than the bucket passes when it is full, and the bucket owes the rest.
Test(buckets, larger_than_the_burst) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 0);
    unit_waiting_flow(&p, "f", 0, 100, 1000);
    cr_assert(limited(&p, "large", 3000) == 0 && left(&p, "f") == -2000);
    cr_assert(limited(&p, "small", 0) == 20000);
    cr_assert(limited(&p, "large 2", 5000) == 30000);
    p.now += 20000;
    cr_assert(left(&p, "f") == 0);
    cr_assert(limited(&p, "small", 0) == 0);
    cr_assert(limited(&p, "large 2", 5000) == 10000);
    p.now += 9999;
    cr_assert(limited(&p, "large 2", 5000) == 1);
    p.now++;
    cr_assert(limited(&p, "large 2", 5000) == 0);
    unit_waiting_end(&p);
}

// Who asks for all that he may have has it to the token, over a long time.
Test(buckets, exact_over_a_long_time) {
    for (int64_t rate = 7; rate < 1000000; rate = rate * 13 + 1) {
        static struct unit_pair p;
        unit_waiting_start(&p, 1, 0);
        unit_waiting_flow(&p, "f", 0, rate, rate * 2);
        int64_t begin = p.now, had = 0;
        uint64_t random = (uint64_t)rate;
        for (int i = 0; i < 2000; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            int64_t tokens = 1 + (int64_t)((random >> 33) % (uint64_t)(2 * rate));
            int64_t wait = limited(&p, "r", tokens);
            if (wait) {
                p.now += wait - 1;
                cr_assert(wait == 1 || limited(&p, "r", tokens) == 1);
                p.now++;
                cr_assert(limited(&p, "r", tokens) == 0);
            }
            had += tokens;
            unit_pair_end(&p, "r");
            // Never more than the burst and what time has brought.
            cr_assert(had * 1000 <= rate * 2 * 1000 + (p.now - begin) * rate);
        }
        // Nor less by more than what is lost by whole milliseconds, and what is in it.
        cr_assert(had * 1000 >= (p.now - begin) * rate - rate * 2 * 1000);
        unit_pair_check_all(&p);
        unit_waiting_end(&p);
    }
}

// Bookings of any kind are paid for; ISL and OSL count.
Test(buckets, every_booking_pays) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 1);
    unit_waiting_flow(&p, "f", 0, 100, 1000);
    struct kvr_booking b = {.isl = 300, .osl = 50, .created = p.now, .flow = text("f")};
    cr_assert(unit_pair_claim(&p, text("claimed"), text("a"), 0, &b) == KVR_OK);
    cr_assert(left(&p, "f") == 650);
    struct kvr_query q = unit_waiting_query(&p, 300, NULL, "f");
    q.osl = 10;
    cr_assert(!unit_waiting_ask(&p, "waits", &q));
    cr_assert(left(&p, "f") == 650);
    unit_pair_end(&p, "claimed");
    cr_assert_str_eq(unit_waiting_admitted(&p), "waits");
    cr_assert(left(&p, "f") == 340);
    cr_assert(unit_waiting_ask(&p, "waits", &q)); // the owner comes: no second time
    unit_pair_update(&p, text("waits"), true, 2000, -1);
    unit_pair_end(&p, "waits");
    cr_assert(left(&p, "f") == 340);
    b.isl = 2000; // a claim asks nobody
    cr_assert(unit_pair_claim(&p, text("claimed"), text("a"), 0, &b) == KVR_OK);
    cr_assert(left(&p, "f") == -1710);
    unit_waiting_end(&p);
}

// Whoever waits for his limits keeps up nobody but those behind him in his flow.
Test(buckets, waits_for_his_rate) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 0);
    unit_waiting_flow(&p, "f", 0, 100, 1000);
    struct kvr_query q = unit_waiting_query(&p, 1000, NULL, "f");
    cr_assert(unit_waiting_ask(&p, "one", &q));
    cr_assert(!unit_waiting_ask(&p, "large", &q));
    p.now += 100;
    q.isl = 1;
    cr_assert(!unit_waiting_ask(&p, "small", &q)); // there are ten tokens, but he isn't first
    cr_assert(unit_waiting_refused(&p, "now", &q, NULL) == KVR_LIMITED);
    q.flow = text("g");
    cr_assert(unit_waiting_ask(&p, "of another", &q));
    cr_assert_str_eq(unit_waiting_admitted(&p), "");
    p.now += 9899;
    cr_assert_str_eq(unit_waiting_admitted(&p), "");
    p.now++;
    cr_assert_str_eq(unit_waiting_admitted(&p), "large");
    cr_assert_str_eq(unit_waiting_admitted(&p), "");
    p.now += 10;
    cr_assert_str_eq(unit_waiting_admitted(&p), "small");
    unit_waiting_end(&p);
}

Test(buckets, no_more_live_than_allowed) {
    static struct unit_pair p;
    unit_waiting_start(&p, 2, 0);
    unit_waiting_flow(&p, "f", 2, 0, 0);
    struct kvr_query q = unit_waiting_query(&p, 10, NULL, "f");
    cr_assert(unit_waiting_ask(&p, "one", &q));
    struct kvr_booking b = {.isl = 1, .created = p.now, .flow = text("f")};
    cr_assert(unit_pair_claim(&p, text("two"), text("b"), 0, &b) == KVR_OK);
    int64_t retry;
    cr_assert(unit_waiting_refused(&p, "three", &q, &retry) == KVR_LIMITED && retry >= 1);
    cr_assert(!unit_waiting_ask(&p, "three", &q));
    cr_assert_str_eq(unit_waiting_admitted(&p), "");
    unit_pair_worker_del(&p, text("b")); // it takes the second with it
    cr_assert_str_eq(unit_waiting_admitted(&p), "three");
    unit_pair_check_all(&p);
    unit_waiting_end(&p);
}

// An outage fills no bucket and empties none; neither does a clock that is set.
Test(buckets, nothing_is_gained_by_an_outage) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 0);
    unit_waiting_flow(&p, "f", 0, 100, 1000);
    cr_assert(limited(&p, "one", 1500) == 0);
    p.now += 1000;
    cr_assert(left(&p, "f") == -400);
    p.now += 50000;
    unit_pair_promote(&p);
    cr_assert(left(&p, "f") == -500 || left(&p, "f") == -400);
    p.now += 2000;
    cr_assert(left(&p, "f") == -300 || left(&p, "f") == -200);
    unit_pair_check_all(&p);
    p.now -= 40000;
    unit_pair_renew_all(&p);
    int64_t then = left(&p, "f");
    p.now += 1000;
    cr_assert(left(&p, "f") == then + 100);
    unit_pair_reload(&p);
    unit_pair_renew_all(&p);
    unit_waiting_end(&p);
}

// Clocks of other primaries may have been ahead.
Test(buckets, paid_at_an_earlier_time) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 0);
    unit_waiting_flow(&p, "f", 0, 100, 1000);
    struct kvr_booking b = {.isl = 500, .created = p.now - 5000, .flow = text("f")};
    cr_assert(unit_pair_claim(&p, text("early"), text("a"), 0, &b) == KVR_OK);
    cr_assert(left(&p, "f") == 500);
    p.now += 1000;
    cr_assert(left(&p, "f") == 600);
    unit_pair_check_all(&p);
    unit_waiting_end(&p);
}

Test(buckets, deleted_it_has_no_limits) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 0);
    unit_waiting_flow(&p, "f", 1, 10, 10);
    cr_assert(limited(&p, "one", 100) == 0);
    cr_assert(limited(&p, "two", 100) >= 1);
    cr_assert(unit_pair_flow_del(&p, text("f")) == KVR_OK);
    cr_assert(limited(&p, "two", 100) == 0);
    struct kvr_flow_info f;
    cr_assert(kvr_flow_get(p.pool, p.now, text("f"), &f)); // in use, though not registered
    cr_assert(f.requests == 2 && f.weight == 1 && f.left == -1);
    unit_pair_end(&p, "one");
    unit_pair_end(&p, "two");
    cr_assert(!kvr_flow_get(p.pool, p.now, text("f"), &f));
    unit_waiting_end(&p);
}
