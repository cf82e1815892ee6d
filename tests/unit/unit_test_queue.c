// SPDX-License-Identifier: Apache-2.0
// Who waits: in which order, how it ends, and that nobody loses his place.
#include <criterion/criterion.h>
#include <stdio.h>

#include "unit_waiting.h"

// "b0" and on, one for each instance, so that nobody has room.
static void fill(struct unit_pair *p) {
    for (size_t i = 0; i < p->model.n_workers; i++) {
        char id[32], name[2] = {(char)('a' + i), 0};
        snprintf(id, sizeof id, "b%zu", i);
        unit_waiting_claim(p, id, name, 10);
    }
}

static void wait_for_room(struct unit_pair *p, const char *id, const char *service_class,
                          const char *flow) {
    struct kvr_query q = unit_waiting_query(p, 10, service_class, flow);
    cr_assert(!unit_waiting_ask(p, id, &q));
    unit_pair_check_all(p);
}

// Frees the only instance and says who comes to it.
static const char *next(struct unit_pair *p, const char *live) {
    unit_pair_end(p, live);
    return unit_waiting_admitted(p);
}

Test(queue, by_arrival) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 1);
    fill(&p);
    wait_for_room(&p, "z", NULL, NULL);
    wait_for_room(&p, "y", NULL, NULL);
    wait_for_room(&p, "x", NULL, NULL);
    cr_assert_str_eq(unit_waiting_admitted(&p), "");
    cr_assert_str_eq(next(&p, "b0"), "z");
    cr_assert_str_eq(unit_waiting_admitted(&p), "");
    cr_assert_str_eq(next(&p, "z"), "y");
    cr_assert_str_eq(next(&p, "y"), "x");
    cr_assert_str_eq(next(&p, "x"), "");
    unit_waiting_end(&p);
}

Test(queue, priority_goes_first) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 1);
    unit_waiting_class(&p, "low", -100, 1000);
    unit_waiting_class(&p, "high", 100, 0.001);
    fill(&p);
    wait_for_room(&p, "low 1", "low", NULL);
    wait_for_room(&p, "usual 1", NULL, NULL);
    wait_for_room(&p, "high 1", "high", NULL);
    wait_for_room(&p, "high 2", "high", NULL);
    wait_for_room(&p, "usual 2", "default", NULL);
    cr_assert_str_eq(next(&p, "b0"), "high 1");
    cr_assert_str_eq(next(&p, "high 1"), "high 2");
    cr_assert_str_eq(next(&p, "high 2"), "usual 1");
    wait_for_room(&p, "high 3", "high", NULL);
    cr_assert_str_eq(next(&p, "usual 1"), "high 3");
    cr_assert_str_eq(next(&p, "high 3"), "usual 2");
    cr_assert_str_eq(next(&p, "usual 2"), "low 1");
    unit_waiting_end(&p);
}

// One whom nobody who is there may serve keeps up nobody, and has his place when there is somebody.
Test(queue, who_cannot_be_placed_is_passed_over) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 1);
    fill(&p);
    struct kvr_bytes late = text("late"), gpu = text("gpu=h");
    struct kvr_query q = unit_waiting_query(&p, 10, NULL, NULL);
    q.has_among = true;
    q.among = &late;
    q.n_among = 1;
    cr_assert(!unit_waiting_ask(&p, "for late", &q));
    q.has_among = false;
    q.n_among = 0;
    q.with = &gpu;
    q.n_with = 1;
    cr_assert(!unit_waiting_ask(&p, "for gpu", &q));
    wait_for_room(&p, "for any", NULL, NULL);
    cr_assert_str_eq(next(&p, "b0"), "for any");
    q.n_with = 0;
    cr_assert(!unit_waiting_ask(&p, "another", &q));
    struct kvr_worker_settings w = {.set = KVR_SET_LABELS, .labels = &gpu, .n_labels = 1};
    unit_pair_worker_set(&p, text("late"), &w);
    cr_assert_str_eq(unit_waiting_admitted(&p), "for late");
    cr_assert_str_eq(unit_waiting_admitted(&p), "");
    unit_pair_end(&p, "for late");
    cr_assert_str_eq(unit_waiting_admitted(&p), "for gpu");
    unit_waiting_end(&p);
}

Test(queue, waits_for_a_worker_to_come) {
    static struct unit_pair p;
    unit_waiting_start(&p, 0, 0);
    struct kvr_query q = unit_waiting_query(&p, 10, NULL, NULL);
    cr_assert(unit_waiting_refused(&p, "r", &q, NULL) == KVR_NOWORKER);
    cr_assert(!unit_waiting_ask(&p, "r", &q));
    unit_pair_add_worker(&p, "a", 1);
    cr_assert_str_eq(unit_waiting_admitted(&p), "r");
    struct kvr_worker_settings w = {.set = KVR_SET_STATE, .state = KVR_DRAINING};
    unit_pair_worker_set(&p, text("a"), &w);
    cr_assert(!unit_waiting_ask(&p, "s", &q));
    cr_assert_str_eq(unit_waiting_admitted(&p), "");
    w.state = KVR_READY;
    unit_pair_worker_set(&p, text("a"), &w);
    cr_assert_str_eq(unit_waiting_admitted(&p), "s");
    unit_waiting_end(&p);
}

// ---- What makes room -----------------------------------------------------------------------------

static void end_one(struct unit_pair *p) {
    unit_pair_end(p, "b0");
}
static void lapse_one(struct unit_pair *p) {
    struct kvr_bytes id = text("b0");
    unit_pair_release_as(p, &id, 1, KVR_LAPSED);
}
static void worker_comes(struct unit_pair *p) {
    unit_pair_add_worker(p, "c", 1);
}
static void more_ranks(struct unit_pair *p) {
    unit_pair_add_worker(p, "b", 2);
}
static void more_requests_on_one(struct unit_pair *p) {
    struct kvr_worker_settings w = {.set = KVR_SET_MAX_REQUESTS, .max_requests = 2};
    unit_pair_worker_set(p, text("b"), &w);
}
static void more_requests_on_all(struct unit_pair *p) {
    struct kvr_options o = *kvr_pool_options(p->pool);
    o.max_requests = 2;
    unit_waiting_alter(p, &o);
}
static void fewer_ranks_and_again(struct unit_pair *p) { // the busy rank goes with its request
    unit_pair_worker_del(p, text("b"));
    unit_pair_add_worker(p, "b", 1);
}
static void limit_tokens(struct unit_pair *p) {
    struct kvr_options o = *kvr_pool_options(p->pool);
    o.max_requests = 0;
    o.max_prefill = 10;
    unit_waiting_alter(p, &o);
}
static void first_token(struct unit_pair *p) {
    unit_pair_update(p, text("b1"), true, -1, -1);
}
static void limit_blocks(struct unit_pair *p) {
    static const uint64_t prompt[] = {1, 2, 3, 4};
    struct kvr_options o = *kvr_pool_options(p->pool);
    struct kvr_worker_settings w = {.set = KVR_SET_CAPACITY, .capacity = 4};
    struct kvr_booking b = {.hashes = prompt, .n = 4, .isl = -1, .created = p->now};
    unit_pair_worker_set(p, text("a"), &w);
    unit_pair_worker_set(p, text("b"), &w);
    o.max_requests = 0;
    o.max_blocks = 50;
    unit_waiting_alter(p, &o);
    unit_pair_claim(p, text("blocks on a"), text("a"), 0, &b);
    unit_pair_claim(p, text("blocks on b"), text("b"), 0, &b);
}
static void more_capacity(struct unit_pair *p) {
    struct kvr_worker_settings w = {.set = KVR_SET_CAPACITY, .capacity = 8};
    unit_pair_worker_set(p, text("a"), &w);
}
static void keep_class_off(struct unit_pair *p) {
    struct kvr_class_info c = {.room = 40};
    struct kvr_options o = *kvr_pool_options(p->pool);
    o.max_requests = 2;
    unit_waiting_alter(p, &o);
    unit_pair_class_set(p, text("default"), KVR_CLASS_ROOM, &c);
}
static void let_class_in(struct unit_pair *p) {
    struct kvr_class_info c = {.room = 60};
    unit_pair_class_set(p, text("default"), KVR_CLASS_ROOM, &c);
}
static void limit_flow(struct unit_pair *p) {
    struct kvr_booking b = {.isl = 1, .created = p->now, .flow = text("f")};
    more_requests_on_all(p);
    unit_pair_claim(p, text("in the flow"), text("a"), 0, &b);
    unit_waiting_flow(p, "f", 1, 0, 0);
}
static void flow_ends_one(struct unit_pair *p) {
    unit_pair_end(p, "in the flow");
}
static void more_of_the_flow(struct unit_pair *p) {
    unit_waiting_flow(p, "f", 2, 0, 0);
}
static void no_limits_of_the_flow(struct unit_pair *p) {
    unit_pair_flow_del(p, text("f"));
}
static void circuit_closes_again(struct unit_pair *p) {
    for (int i = 0; i < 3; i++)
        unit_pair_report(p, text("a"), false);
    unit_pair_end(p, "b0");
}
static void report_ok(struct unit_pair *p) {
    unit_pair_report(p, text("a"), true);
}

Test(queue, all_that_makes_room) {
    static const struct {
        void (*before)(struct unit_pair *p), (*make)(struct unit_pair *p);
    } cases[] = {
        {NULL, end_one},
        {NULL, lapse_one},
        {NULL, worker_comes},
        {NULL, more_ranks},
        {NULL, more_requests_on_one},
        {NULL, more_requests_on_all},
        {NULL, fewer_ranks_and_again},
        {limit_tokens, first_token},
        {limit_blocks, more_capacity},
        {keep_class_off, let_class_in},
        {limit_flow, flow_ends_one},
        {limit_flow, more_of_the_flow},
        {limit_flow, no_limits_of_the_flow},
        {circuit_closes_again, report_ok},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static struct unit_pair p;
        unit_waiting_start(&p, 2, 1);
        fill(&p);
        if (cases[i].before) cases[i].before(&p);
        struct kvr_query q = unit_waiting_query(&p, 10, NULL, "f");
        cr_assert(!unit_waiting_ask(&p, "waits", &q), "case %zu", i);
        cr_assert_str_eq(unit_waiting_admitted(&p), "", "case %zu", i);
        cases[i].make(&p);
        cr_assert_str_eq(unit_waiting_admitted(&p), "waits", "case %zu", i);
        unit_waiting_end(&p);
    }
}

// Time alone lets a circuit become half-open.
Test(queue, a_circuit_that_may_be_tried) {
    static struct unit_pair p;
    unit_waiting_start(&p, 2, 1);
    fill(&p);
    for (int i = 0; i < 3; i++)
        unit_pair_report(&p, text("a"), false);
    unit_pair_end(&p, "b0");
    wait_for_room(&p, "r", NULL, NULL);
    cr_assert_str_eq(unit_waiting_admitted(&p), "");
    p.now += p.model.options.open_time;
    cr_assert_str_eq(unit_waiting_admitted(&p), "r");
    unit_waiting_end(&p);
}

// Even while room comes so often elsewhere that there is always something to look at.
Test(queue, time_is_noticed_in_traffic) {
    static struct unit_pair p;
    unit_waiting_start(&p, 2, 1);
    fill(&p);
    for (int i = 0; i < 3; i++)
        unit_pair_report(&p, text("a"), false);
    unit_pair_end(&p, "b0");
    struct kvr_bytes only = text("b");
    wait_for_room(&p, "r", NULL, NULL);
    struct kvr_query q = unit_waiting_query(&p, 10, NULL, NULL);
    q.has_among = true;
    q.among = &only;
    q.n_among = 1;
    int64_t end = p.now + p.model.options.open_time + 200;
    const char *live = "b1", *const ids[] = {"x", "y"};
    unit_pair_end(&p, live);
    cr_assert_str_eq(unit_waiting_admitted(&p), "r"); // on "b"
    live = "r";
    wait_for_room(&p, "late", NULL, NULL);
    struct kvr_class_info first = {.priority = 1};
    unit_pair_class_set(&p, text("first"), KVR_CLASS_PRIORITY, &first);
    q.service_class = text("first");
    for (int i = 0; p.now < end && unit_waiting_is(&p, "late"); i++, p.now += 10) {
        cr_assert(!unit_waiting_ask(&p, ids[i % 2], &q));
        unit_pair_end(&p, live);
        unit_pair_admit_all(&p);
        live = ids[i % 2];
    }
    cr_assert(!unit_waiting_is(&p, "late"));
    unit_waiting_end(&p);
}

// ---- Coming and going ----------------------------------------------------------------------------

Test(queue, asked_again_it_keeps_its_place) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 1);
    fill(&p);
    wait_for_room(&p, "one", NULL, NULL);
    wait_for_room(&p, "two", NULL, NULL);
    uint64_t version = kvr_pool_version(p.pool);
    wait_for_room(&p, "one", NULL, NULL);
    struct kvr_query q = unit_waiting_query(&p, 77, NULL, NULL);
    q.wait = 0; // it waits, whatever is said now
    cr_assert(!unit_waiting_ask(&p, "two", &q));
    cr_assert(kvr_pool_version(p.pool) == version);
    q.notify = text("router 1");
    cr_assert(!unit_waiting_ask(&p, "one", &q));
    cr_assert(kvr_pool_version(p.pool) == version + 1);
    cr_assert(!unit_waiting_ask(&p, "one", &q));
    cr_assert(kvr_pool_version(p.pool) == version + 1);
    q.notify = text("router 2");
    cr_assert(!unit_waiting_ask(&p, "one", &q));
    cr_assert(kvr_pool_version(p.pool) == version + 2);
    cr_assert_str_eq(next(&p, "b0"), "one"); // and the pair compares the channel
    cr_assert_str_eq(next(&p, "one"), "two");
    unit_waiting_end(&p);
}

Test(queue, dropped_at_its_deadline) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 1);
    fill(&p);
    struct kvr_query q = unit_waiting_query(&p, 10, NULL, NULL);
    q.wait = 1000;
    cr_assert(!unit_waiting_ask(&p, "short", &q));
    q.wait = 5000;
    cr_assert(!unit_waiting_ask(&p, "long", &q));
    p.now += 999;
    cr_assert(!kvr_due_waiting(p.pool, p.now));
    unit_pair_end_waiting(&p, 8);
    p.now++;
    cr_assert(kvr_due_waiting(p.pool, p.now));
    uint64_t version = kvr_pool_version(p.pool);
    unit_pair_end_waiting(&p, 8);
    cr_assert(kvr_pool_version(p.pool) == version + 1);
    cr_assert(!unit_waiting_is(&p, "short") && unit_waiting_is(&p, "long"));
    unit_pair_check_all(&p);
    // What begins to decide lets them wait anew.
    p.now += 3000;
    unit_pair_renew_all(&p);
    p.now += 4999;
    cr_assert(!kvr_due_waiting(p.pool, p.now));
    unit_pair_promote(&p);
    p.now += 4999;
    cr_assert(!kvr_due_waiting(p.pool, p.now));
    unit_pair_check_all(&p);
    p.now++;
    unit_pair_end_waiting(&p, 8);
    cr_assert(!unit_waiting_is(&p, "long"));
    unit_waiting_end(&p);
}

Test(queue, no_more_at_once_than_asked_for) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 1);
    fill(&p);
    struct kvr_query q = unit_waiting_query(&p, 10, NULL, NULL);
    for (int i = 0; i < 5; i++) {
        char id[16];
        snprintf(id, sizeof id, "r%d", i);
        q.wait = 10 - i;
        cr_assert(!unit_waiting_ask(&p, id, &q));
    }
    p.now += 10;
    unit_pair_end_waiting(&p, 2);
    cr_assert(!unit_waiting_is(&p, "r4") && !unit_waiting_is(&p, "r3"));
    cr_assert(unit_waiting_is(&p, "r2") && unit_waiting_is(&p, "r0"));
    unit_pair_end_waiting(&p, 8);
    unit_waiting_end(&p);
}

Test(queue, ended_by_its_owner) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 1);
    fill(&p);
    wait_for_room(&p, "one", NULL, NULL);
    wait_for_room(&p, "two", NULL, "f");
    int live;
    cr_assert(kvr_update(p.pool, p.now, text("one"), true, 1, -1, &live) == KVR_OK && !live);
    struct kvr_request_info info;
    cr_assert(!kvr_request_get(p.pool, p.now, text("one"), &info));
    unit_pair_end(&p, "one");
    cr_assert(!unit_waiting_is(&p, "one"));
    unit_pair_check_all(&p);
    unit_waiting_claim(&p, "two", "a", 3); // room or not
    cr_assert(!unit_waiting_is(&p, "two"));
    cr_assert(kvr_request_get(p.pool, p.now, text("two"), &info) && info.isl == 3);
    unit_waiting_end(&p);
}

// Until its owner comes it lives for ACCEPT ms; then its own lease begins.
Test(queue, who_is_admitted_has_to_be_fetched) {
    static struct unit_pair p;
    unit_waiting_start(&p, 4, 1);
    struct kvr_query q = unit_waiting_query(&p, 10, NULL, NULL);
    fill(&p);
    // The pair says that owners of ids that end in such a byte are there; of these none is.
    static const char *const ids[] = {"asks", "says", "lies", "seas"};
    for (int i = 0; i < 4; i++)
        cr_assert(unit_pair_select(&p, text(ids[i]), &q, 100000, 0) == KVR_OK);
    struct kvr_bytes busy[] = {text("b0"), text("b1"), text("b2"), text("b3")};
    p.now += 77;
    unit_pair_release(&p, busy, 4);
    cr_assert(unit_pair_admit_all(&p) == 4);
    unit_pair_check_all(&p);
    struct kvr_request_info info;
    for (int i = 0; i < 4; i++)
        if (kvr_uncalled(p.pool, text(ids[i]))) {
            cr_assert(kvr_request_get(p.pool, p.now, text(ids[i]), &info));
            cr_assert(info.lease_left == p.model.options.accept);
        }
    p.now += p.model.options.accept - 1;
    unit_pair_check_due(&p);
    cr_assert(unit_waiting_ask(&p, "asks", &q));
    unit_pair_update(&p, text("says"), false, 1, -1);
    unit_pair_come(&p, text("lies"));
    for (int i = 0; i < 3; i++) {
        cr_assert(!kvr_uncalled(p.pool, text(ids[i])));
        cr_assert(kvr_request_get(p.pool, p.now, text(ids[i]), &info));
    }
    unit_pair_check_all(&p);
    uint64_t version = kvr_pool_version(p.pool);
    cr_assert(unit_waiting_ask(&p, "asks", &q)); // the second time is no coming
    unit_pair_come(&p, text("lies"));
    unit_pair_come(&p, text("nobody"));
    cr_assert(kvr_pool_version(p.pool) == version);
    p.now++;
    unit_pair_end_due(&p);
    unit_pair_check_all(&p);
    unit_waiting_end(&p);
}

// ---- Not too many --------------------------------------------------------------------------------

Test(queue, no_more_than_may_wait) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 1);
    struct kvr_options o = *kvr_pool_options(p.pool);
    o.max_waiting = 3;
    unit_waiting_alter(&p, &o);
    struct kvr_class_info c = {.max_waiting = 1};
    unit_pair_class_set(&p, text("few"), KVR_CLASS_WAITING, &c);
    fill(&p);
    struct kvr_query q = unit_waiting_query(&p, 10, "few", NULL);
    cr_assert(!unit_waiting_ask(&p, "one", &q));
    cr_assert(unit_pair_select(&p, text("two"), &q, -1, 0) == KVR_NOROOM);
    cr_assert(!unit_waiting_ask(&p, "one", &q)); // who waits already may ask
    q.service_class.n = 0;
    cr_assert(!unit_waiting_ask(&p, "two", &q));
    cr_assert(!unit_waiting_ask(&p, "three", &q));
    cr_assert(unit_pair_select(&p, text("four"), &q, -1, 0) == KVR_NOROOM);
    unit_pair_check_all(&p);
    o.max_waiting = 1; // those who do go on
    unit_waiting_alter(&p, &o);
    unit_pair_end(&p, "two");
    cr_assert(unit_pair_select(&p, text("four"), &q, -1, 0) == KVR_NOROOM);
    cr_assert_str_eq(next(&p, "b0"), "one");
    unit_waiting_end(&p);
}

Test(queue, classes_are_kept_while_somebody_waits) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 1);
    unit_waiting_class(&p, "c", 0, 2);
    fill(&p);
    wait_for_room(&p, "one", "c", NULL);
    cr_assert(unit_pair_class_del(&p, text("c")) == KVR_WAITED);
    cr_assert(unit_pair_class_del(&p, text("default")) == KVR_RANGE);
    cr_assert_str_eq(next(&p, "b0"), "one");
    cr_assert(unit_pair_class_del(&p, text("c")) == KVR_OK);
    cr_assert(unit_pair_class_del(&p, text("c")) == KVR_OK); // and says 0
    struct kvr_request_info info;
    cr_assert(kvr_request_get(p.pool, p.now, text("one"), &info));
    cr_assert(unit_bytes_compare(info.service_class, text("c")) == 0);
    unit_pair_reload(&p); // a request whose class is gone can be saved
    unit_waiting_end(&p);
}

// Nobody loses his place by a failover, a restart or both.
Test(queue, places_outlive_the_server) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 1);
    unit_waiting_class(&p, "c", 0, 3);
    fill(&p);
    for (int i = 0; i < 12; i++) {
        char id[16];
        snprintf(id, sizeof id, "r%d", i);
        wait_for_room(&p, id, i % 3 ? NULL : "c", i % 2 ? "f" : NULL);
    }
    const char *live = "b0";
    char last[16];
    for (int i = 0; i < 12; i++) {
        cr_assert(*next(&p, live));
        snprintf(last, sizeof last, "%.*s", (int)p.model.requests[0].id_len,
                 p.model.requests[0].id);
        live = last;
        if (i % 3 == 0) unit_pair_promote(&p);
        if (i % 3 == 1) {
            unit_pair_reload(&p);
            unit_pair_renew_all(&p);
        }
        unit_pair_check_all(&p);
    }
    unit_waiting_end(&p);
}
