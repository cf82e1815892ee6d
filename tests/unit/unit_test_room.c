// SPDX-License-Identifier: Apache-2.0
// Room: who has it, limits at their edges, percentages, and what is refused without it.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "unit_waiting.h"

static const uint64_t blocks[] = {11, 12, 13, 14, 15, 16, 17, 18, 19, 20};

// Whether the only instance, which is busy, has room for n blocks.
static bool room_for(struct unit_pair *p, size_t n) {
    struct kvr_query q = unit_waiting_query(p, -1, NULL, NULL);
    const struct kvr_pool_score *s;
    size_t found;
    q.hashes = blocks;
    q.n = n;
    cr_assert(unit_pair_scores(p, &q) == KVR_OK);
    cr_assert(kvr_scores(p->pool, p->now, &q, &s, &found) == KVR_OK && found == 1);
    bool room = s[0].room;
    // What SCORE says of one that is of no class is what SELECT does.
    q.wait = 0;
    enum kvr_err err = unit_pair_select(p, text("probe"), &q, -1, 0);
    cr_assert(err == (room ? KVR_OK : KVR_NOROOM));
    if (room) unit_pair_end(p, "probe");
    unit_pair_check_all(p);
    return room;
}

Test(room, fewer_requests_than_allowed) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 2);
    cr_assert(room_for(&p, 0));
    unit_waiting_claim(&p, "one", "a", 10);
    cr_assert(room_for(&p, 0));
    unit_waiting_claim(&p, "two", "a", 10);
    cr_assert(!room_for(&p, 0));
    unit_waiting_claim(&p, "three", "a", 10); // a claim asks for no room
    unit_pair_end(&p, "one");
    cr_assert(!room_for(&p, 0));
    unit_pair_end(&p, "two");
    cr_assert(room_for(&p, 0));
    unit_waiting_end(&p);
}

Test(room, a_workers_own_limit_goes_before_the_pools) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 1);
    struct kvr_worker_settings w = {.set = KVR_SET_MAX_REQUESTS, .max_requests = 3};
    unit_pair_worker_set(&p, text("a"), &w);
    unit_waiting_claim(&p, "one", "a", 10);
    unit_waiting_claim(&p, "two", "a", 10);
    cr_assert(room_for(&p, 0));
    unit_waiting_claim(&p, "three", "a", 10);
    cr_assert(!room_for(&p, 0));
    w.max_requests = 0; // the pool's again
    unit_pair_worker_set(&p, text("a"), &w);
    unit_pair_end(&p, "three");
    unit_pair_end(&p, "two");
    cr_assert(!room_for(&p, 0));
    w.max_requests = 2;
    unit_pair_worker_set(&p, text("a"), &w);
    cr_assert(room_for(&p, 0));
    struct kvr_options o = *kvr_pool_options(p.pool);
    o.max_requests = 0; // where the pool sets no limit a worker may
    unit_waiting_alter(&p, &o);
    unit_waiting_claim(&p, "two", "a", 10);
    cr_assert(!room_for(&p, 0));
    unit_waiting_end(&p);
}

Test(room, fewer_queued_tokens_than_allowed) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 0);
    struct kvr_options o = *kvr_pool_options(p.pool);
    o.max_prefill = 100;
    unit_waiting_alter(&p, &o);
    unit_waiting_claim(&p, "one", "a", 99);
    cr_assert(room_for(&p, 10));
    unit_waiting_claim(&p, "two", "a", 1);
    cr_assert(!room_for(&p, 0));
    unit_pair_update(&p, text("one"), true, -1, -1);
    cr_assert(room_for(&p, 10));
    unit_waiting_end(&p);
}

Test(room, blocks_in_percent_of_the_capacity) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 0);
    struct kvr_options o = *kvr_pool_options(p.pool);
    o.max_blocks = 80;
    unit_waiting_alter(&p, &o);
    struct kvr_booking b = {.hashes = blocks, .n = 3, .isl = -1, .created = p.now};
    unit_pair_claim(&p, text("three"), text("a"), 0, &b);
    cr_assert(room_for(&p, 10)); // its capacity isn't known
    struct kvr_worker_settings w = {.set = KVR_SET_CAPACITY, .capacity = 10};
    unit_pair_worker_set(&p, text("a"), &w);
    cr_assert(room_for(&p, 8)); // 3 live, 3 of the 8 among them
    cr_assert(!room_for(&p, 9));
    w.capacity = 11; // 8.8 blocks
    unit_pair_worker_set(&p, text("a"), &w);
    cr_assert(!room_for(&p, 9));
    w.capacity = 12;
    unit_pair_worker_set(&p, text("a"), &w);
    cr_assert(room_for(&p, 9));
    unit_pair_update(&p, text("three"), true, 17, -1); // two blocks of output
    cr_assert(room_for(&p, 7) && !room_for(&p, 8));
    unit_waiting_end(&p);
}

Test(room, an_idle_instance_has_it_for_any) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 1);
    struct kvr_options o = *kvr_pool_options(p.pool);
    o.max_prefill = o.max_blocks = 1;
    unit_waiting_alter(&p, &o);
    struct kvr_worker_settings w = {.set = KVR_SET_CAPACITY, .capacity = 2};
    unit_pair_worker_set(&p, text("a"), &w);
    struct kvr_class_info c = {.room = 0};
    unit_pair_class_set(&p, text("default"), KVR_CLASS_ROOM, &c);
    cr_assert(room_for(&p, 10));
    unit_waiting_claim(&p, "one", "a", 0);
    cr_assert(!room_for(&p, 0));
    unit_waiting_end(&p);
}

// Less than so many percent in use, of each limit.
Test(room, a_class_may_be_kept_off_the_last_of_it) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 4);
    struct kvr_class_info c = {.room = 50};
    unit_pair_class_set(&p, text("batch"), KVR_CLASS_ROOM, &c);
    struct kvr_query batch = unit_waiting_query(&p, 0, "batch", NULL);
    unit_waiting_claim(&p, "one", "a", 10);
    cr_assert(unit_waiting_ask(&p, "b1", &batch)); // one of four is in use
    cr_assert(unit_waiting_refused(&p, "b2", &batch, NULL) == KVR_NOROOM);
    cr_assert(room_for(&p, 0));
    unit_pair_end(&p, "b1");
    c.room = 51;
    unit_pair_class_set(&p, text("batch"), KVR_CLASS_ROOM, &c);
    cr_assert(unit_waiting_ask(&p, "b1", &batch));
    cr_assert(unit_waiting_ask(&p, "b2", &batch)); // two of four are 50 percent
    cr_assert(unit_waiting_refused(&p, "b3", &batch, NULL) == KVR_NOROOM);
    struct kvr_options o = *kvr_pool_options(p.pool);
    o.max_requests = 0;
    o.max_prefill = 19;
    unit_waiting_alter(&p, &o); // 10 of 19 are more than 51 percent
    cr_assert(unit_waiting_refused(&p, "b3", &batch, NULL) == KVR_NOROOM);
    o.max_prefill = 20;
    unit_waiting_alter(&p, &o);
    cr_assert(unit_waiting_ask(&p, "b3", &batch));
    unit_waiting_end(&p);
}

// No hundredth is a number that computers have: yet each percentage counts exactly.
Test(room, percentages_are_exact) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 100);
    kvr_pool_free(p.copy);
    p.copy = NULL;
    struct kvr_worker_settings w = {.set = KVR_SET_CAPACITY, .capacity = 100};
    unit_pair_worker_set(&p, text("a"), &w);
    struct kvr_booking one = {.hashes = blocks, .n = 1, .isl = 0, .created = p.now};
    for (uint64_t n = 1; n < 100; n++) {
        char id[16];
        snprintf(id, sizeof id, "r%d", (int)n);
        struct kvr_query q = unit_waiting_query(&p, 0, NULL, NULL);
        struct kvr_options o = *kvr_pool_options(p.pool);
        unit_pair_claim(&p, text(id), text("a"), 0, &one); // n are live now, and one block
        q.wait = 0;
        for (uint64_t room = n; room <= n + 1; room++) {
            struct kvr_class_info c = {.room = room};
            unit_pair_class_set(&p, text("default"), KVR_CLASS_ROOM, &c);
            enum kvr_err err = unit_pair_select(&p, text("probe"), &q, -1, 0);
            cr_assert(err == (room > n ? KVR_OK : KVR_NOROOM), "%d of %d", (int)n, (int)room);
            if (!err) unit_pair_end(&p, "probe");
        }
        static uint64_t many[100];
        for (uint64_t i = 0; i < 100; i++)
            many[i] = 1000 + i;
        q.hashes = many;
        o.max_requests = 0;
        o.max_blocks = n + 1;
        unit_waiting_alter(&p, &o);
        struct kvr_class_info all = {.room = 100};
        unit_pair_class_set(&p, text("default"), KVR_CLASS_ROOM, &all);
        for (q.n = n; q.n <= n + 1; q.n++) {
            enum kvr_err err = unit_pair_select(&p, text("probe"), &q, -1, 0);
            cr_assert(err == (q.n > n ? KVR_NOROOM : KVR_OK), "%d blocks", (int)q.n);
            if (!err) unit_pair_end(&p, "probe");
        }
        o.max_requests = 100;
        o.max_blocks = 0;
        unit_waiting_alter(&p, &o);
    }
    unit_pair_check_all(&p);
    unit_pair_free(&p);
}

Test(room, only_instances_with_room_are_chosen) {
    static struct unit_pair p;
    unit_waiting_start(&p, 3, 1);
    struct kvr_query q = unit_waiting_query(&p, 10, NULL, NULL);
    q.wait = 0;
    unit_waiting_claim(&p, "one", "b", 0); // which costs nothing more
    cr_assert(unit_pair_select(&p, text("two"), &q, -1, 0) == KVR_OK);
    cr_assert(unit_pair_select(&p, text("three"), &q, -1, 0) == KVR_OK);
    int64_t retry;
    cr_assert(unit_waiting_refused(&p, "four", &q, &retry) == KVR_NOROOM);
    cr_assert(retry == 1000); // nothing is known yet
    q.rule.temperature = 5;
    unit_pair_end(&p, "two");
    for (int i = 0; i < 20; i++) {
        cr_assert(unit_pair_select(&p, text("two"), &q, -1, i / 20.0) == KVR_OK);
        unit_pair_end(&p, "two");
    }
    unit_waiting_end(&p);
}

// The session's instance counts where it has room.
Test(room, a_session_goes_elsewhere_without_it) {
    static struct unit_pair p;
    unit_waiting_start(&p, 2, 1);
    struct kvr_options o = *kvr_pool_options(p.pool);
    o.stick = 1e9;
    unit_waiting_alter(&p, &o);
    struct kvr_query q = unit_waiting_query(&p, 10, NULL, NULL);
    q.session = text("s");
    cr_assert(unit_waiting_ask(&p, "one", &q));
    cr_assert(unit_waiting_ask(&p, "two", &q));
    unit_pair_end(&p, "one");
    unit_pair_end(&p, "two");
    cr_assert(unit_waiting_ask(&p, "three", &q));
    unit_waiting_end(&p);
}

// First who may be chosen at all, then what the flow may, then room.
Test(room, the_first_reason_is_told) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 1);
    unit_waiting_flow(&p, "f", 1, 0, 0);
    struct kvr_query q = unit_waiting_query(&p, 10, NULL, "f");
    struct kvr_bytes nobody = text("nobody");
    cr_assert(unit_waiting_ask(&p, "one", &q));
    cr_assert(unit_waiting_refused(&p, "two", &q, NULL) == KVR_LIMITED);
    q.flow.n = 0;
    cr_assert(unit_waiting_refused(&p, "two", &q, NULL) == KVR_NOROOM);
    q.flow = text("f");
    q.has_among = true;
    q.among = &nobody;
    q.n_among = 1;
    cr_assert(unit_waiting_refused(&p, "two", &q, NULL) == KVR_NOWORKER);
    q.service_class = text("nobody");
    cr_assert(unit_waiting_refused(&p, "two", &q, NULL) == KVR_NOCLASS);
    q.wait = 5;
    cr_assert(unit_pair_select(&p, text("two"), &q, -1, 0) == KVR_NOCLASS);
    unit_waiting_end(&p);
}

// ---- Who waits for blocks ------------------------------------------------------------------------

// Two instances; the large one lacks blocks on both, "a" is cheaper.
static void start_for_blocks(struct unit_pair *p) {
    unit_waiting_start(p, 2, 0);
    struct kvr_options o = *kvr_pool_options(p->pool);
    o.max_blocks = 100;
    unit_waiting_alter(p, &o);
    struct kvr_worker_settings w = {.set = KVR_SET_CAPACITY, .capacity = 10};
    unit_pair_worker_set(p, text("a"), &w);
    unit_pair_worker_set(p, text("b"), &w);
    struct kvr_booking b = {.hashes = blocks, .n = 1, .isl = -1, .created = p->now};
    unit_pair_claim(p, text("on a"), text("a"), 0, &b);
    b.isl = 400;
    unit_pair_claim(p, text("on b"), text("b"), 0, &b);
    static const uint64_t large[10] = {21, 22, 23, 24, 25, 26, 27, 28, 29, 30};
    struct kvr_query q = unit_waiting_query(p, -1, NULL, NULL);
    q.hashes = large;
    q.n = 10;
    cr_assert(!unit_waiting_ask(p, "large", &q));
}

Test(room, who_lacks_only_blocks_holds_his_instance_in_the_end) {
    static struct unit_pair p;
    start_for_blocks(&p);
    struct kvr_query small = unit_waiting_query(&p, 10, NULL, NULL);
    cr_assert(unit_waiting_ask(&p, "before", &small)); // it doesn't keep up anybody yet
    unit_pair_end(&p, "before");
    p.now += p.model.options.accept - 1;
    cr_assert(unit_waiting_ask(&p, "before", &small));
    unit_pair_end(&p, "before");
    p.now++;
    unit_pair_admit_all(&p);
    p.now += 100; // by when it has been noticed
    struct kvr_bytes a = text("a");
    cr_assert(unit_waiting_ask(&p, "elsewhere", &small));
    small.has_among = true;
    small.among = &a;
    small.n_among = 1;
    cr_assert(unit_waiting_refused(&p, "late", &small, NULL) == KVR_NOROOM);
    cr_assert(!unit_waiting_ask(&p, "behind", &small));
    cr_assert_str_eq(unit_waiting_admitted(&p), "");
    unit_pair_end(&p, "on a");
    cr_assert_str_eq(unit_waiting_admitted(&p), "large");
    unit_waiting_end(&p);
}

Test(room, what_is_held_is_free_when_the_holder_ends) {
    static struct unit_pair p;
    start_for_blocks(&p);
    p.now += p.model.options.accept;
    unit_pair_admit_all(&p);
    p.now += 100; // by when it has been noticed
    struct kvr_bytes a = text("a");
    struct kvr_query small = unit_waiting_query(&p, 10, NULL, NULL);
    small.has_among = true;
    small.among = &a;
    small.n_among = 1;
    cr_assert(!unit_waiting_ask(&p, "behind", &small));
    unit_pair_end(&p, "large");
    cr_assert_str_eq(unit_waiting_admitted(&p), "behind");
    unit_waiting_end(&p);
}

// "small", of another class or flow, may use "a" only, which is kept for "large". Then one of the class and flow of
// "large" is admitted to "b", and "small" goes before "large".
static void start_overtaking(struct unit_pair *p, const char *service_class, const char *flow) {
    start_for_blocks(p);
    if (service_class) unit_waiting_class(p, service_class, 0, 1);
    struct kvr_booking more = {.hashes = blocks + 1, .n = 5, .isl = -1, .created = p->now};
    unit_pair_claim(p, text("more on b"), text("b"), 0, &more);
    p->now += p->model.options.accept;
    unit_pair_admit_all(p);
    p->now += 100; // by when it has been noticed
    struct kvr_bytes a = text("a"), b = text("b");
    struct kvr_query small = unit_waiting_query(p, 10, service_class, flow);
    small.has_among = true;
    small.among = &a;
    small.n_among = 1;
    cr_assert(!unit_waiting_ask(p, "small", &small));
    cr_assert_str_eq(unit_waiting_admitted(p), "");
    static const uint64_t others[] = {31, 32, 33, 34, 35};
    struct kvr_query other = unit_waiting_query(p, -1, NULL, NULL);
    other.hashes = others;
    other.n = 5;
    other.has_among = true;
    other.among = &b;
    other.n_among = 1;
    cr_assert(!unit_waiting_ask(p, "other", &other));
    cr_assert_str_eq(unit_waiting_admitted(p), "");
    unit_pair_end(p, "more on b");
    cr_assert_str_eq(unit_waiting_admitted(p), "other");
}

Test(room, who_goes_before_the_holder_now_takes_what_was_held) {
    static struct unit_pair p;
    start_overtaking(&p, NULL, "f");
    cr_assert_str_eq(unit_waiting_admitted(&p), "small");
    unit_waiting_end(&p);
    memset(&p, 0, sizeof p);
    start_overtaking(&p, "second", NULL);
    cr_assert_str_eq(unit_waiting_admitted(&p), "small");
    unit_waiting_end(&p);
}

// Nor is he forgotten when there is no memory to book him.
Test(room, who_goes_before_the_holder_now_is_booked_when_there_is_memory) {
    static struct unit_pair p;
    start_overtaking(&p, NULL, "f");
    p.mem.fail_at = p.mem.calls + 1;
    p.mem.fail_from = true;
    cr_assert_str_eq(unit_waiting_admitted(&p), "");
    cr_assert(p.no_memory == 1);
    p.mem.fail_at = 0;
    cr_assert_str_eq(unit_waiting_admitted(&p), "small");
    unit_waiting_end(&p);
}

// Of classes that are level the one whose first has waited longer goes first: what is kept for him isn't for the other.
Test(room, what_is_held_stays_so_for_a_class_that_is_level) {
    static struct unit_pair p;
    start_for_blocks(&p);
    unit_waiting_class(&p, "second", 0, 1);
    struct kvr_booking more = {.hashes = blocks + 1, .n = 5, .isl = -1, .created = p.now};
    unit_pair_claim(&p, text("more on b"), text("b"), 0, &more);
    p.now += p.model.options.accept;
    unit_pair_admit_all(&p);
    p.now += 100; // by when it has been noticed
    static const uint64_t others[] = {31, 32, 33, 34, 35};
    struct kvr_query small = unit_waiting_query(&p, -1, "second", NULL);
    small.hashes = others;
    small.n = 5;
    cr_assert(!unit_waiting_ask(&p, "small", &small));
    cr_assert_str_eq(unit_waiting_admitted(&p), "");
    unit_pair_end(&p, "more on b");
    cr_assert_str_eq(unit_waiting_admitted(&p), "small"); // to "b", though "a" would be cheaper
    cr_assert(unit_waiting_is(&p, "large"));
    unit_waiting_end(&p);
}
