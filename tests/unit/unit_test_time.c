// SPDX-License-Identifier: Apache-2.0
// Time: leases in order, renewals, workers that expire and go, predictions that end.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "unit_pair.h"

static void start(struct unit_pair *p, int64_t lease, int64_t ttl, int64_t grace, int64_t predict) {
    struct kvr_options o;
    kvr_options_default(&o);
    o.lease = lease;
    o.worker_ttl = ttl;
    o.worker_grace = grace;
    o.predict = predict;
    unit_pair_init(p, &o, "time");
    unit_pair_add_worker(p, "w", 1);
}

static void book(struct unit_pair *p, const char *id, int64_t lease) {
    struct kvr_booking b = {.isl = 10, .lease = lease, .created = p->now, .renewed = p->now};
    cr_assert(unit_pair_claim(p, text(id), text("w"), 0, &b) == KVR_OK);
}

static bool due_is(struct unit_pair *p, const char *id) {
    struct kvr_bytes due;
    unit_pair_check_due(p);
    if (!kvr_due_request(p->pool, p->now, &due)) return id == NULL;
    return id && unit_bytes_compare(due, text(id)) == 0;
}

Test(time, leases_end_in_order) {
    static struct unit_pair p;
    start(&p, 300, 0, 0, 0);
    book(&p, "late", -1);
    book(&p, "early", 100);
    book(&p, "never", 0);
    book(&p, "middle", 200);
    cr_assert(due_is(&p, NULL));
    p.now += 99;
    cr_assert(due_is(&p, NULL));
    p.now += 1; // a lease of 100 ms has ended 100 ms later
    cr_assert(due_is(&p, "early"));
    p.now += 10000;
    static const char *const order[] = {"early", "middle", "late"};
    for (int i = 0; i < 3; i++) {
        cr_assert(due_is(&p, order[i]), "%s isn't the next", order[i]);
        unit_pair_end(&p, order[i]);
    }
    cr_assert(due_is(&p, NULL));
    unit_pair_check_all(&p);
    unit_pair_free(&p);
}

Test(time, an_update_renews) {
    static struct unit_pair p;
    start(&p, 100, 0, 0, 0);
    book(&p, "a", -1);
    book(&p, "b", -1);
    p.now += 90;
    unit_pair_update(&p, text("a"), false, -1, -1);
    p.now += 20;
    cr_assert(due_is(&p, "b"));
    unit_pair_end(&p, "b");
    cr_assert(due_is(&p, NULL));
    unit_pair_update(&p, text("a"), false, -1, 0); // now without end
    p.now += 100000;
    cr_assert(due_is(&p, NULL));
    unit_pair_update(&p, text("a"), false, -1, 5);
    p.now += 5;
    cr_assert(due_is(&p, "a"));
    unit_pair_check_all(&p);
    unit_pair_free(&p);
}

// The pool's lease is taken when a request is booked; altering it later changes no request.
Test(time, the_pools_lease_is_taken_at_booking) {
    static struct unit_pair p;
    start(&p, 100, 0, 0, 0);
    book(&p, "a", -1);
    struct kvr_options o = *kvr_pool_options(p.pool);
    o.lease = 0;
    cr_assert(unit_pair_alter(&p, &o) == KVR_OK);
    book(&p, "b", -1);
    p.now += 100;
    cr_assert(due_is(&p, "a"));
    unit_pair_end(&p, "a");
    p.now += 1000000;
    cr_assert(due_is(&p, NULL));
    unit_pair_free(&p);
}

// After an outage every lease starts again: the order is then that of the leases' lengths.
Test(time, renewing_all) {
    static struct unit_pair p;
    start(&p, 100, 50, 50, 0);
    book(&p, "old", 100);
    p.now += 20;
    book(&p, "short", 60);
    p.now += 1000;
    unit_pair_renew_all(&p);
    unit_pair_check_all(&p);
    cr_assert(due_is(&p, NULL));
    p.now += 59;
    cr_assert(due_is(&p, NULL));
    book(&p, "new", 1);
    p.now += 1;
    cr_assert(due_is(&p, "new") || due_is(&p, "short"));
    unit_pair_end(&p, "new");
    cr_assert(due_is(&p, "short"));
    p.now += 40;
    cr_assert(due_is(&p, "short"));
    unit_pair_end(&p, "short");
    cr_assert(due_is(&p, "old"));
    unit_pair_check_all(&p);
    unit_pair_free(&p);
}

// A clock that is set back by an hour: every time starts at the new one, and none is an hour ahead of it.
Test(time, renewing_all_at_an_earlier_time) {
    static struct unit_pair p;
    enum { UNIT_TIME_HOUR = 3600000 };
    start(&p, 100, 200, 50, 300);
    p.now += 2 * UNIT_TIME_HOUR;
    book(&p, "before", -1);
    book(&p, "long", 5000);
    struct kvr_worker_settings w = {0};
    cr_assert(unit_pair_worker_set(&p, text("w"), &w) == KVR_OK);
    for (int i = 0; i < 3; i++)
        unit_pair_report(&p, text("w"), false);
    uint64_t blocks[] = {1, 2, 3};
    struct kvr_booking b = {.hashes = blocks, .n = 3, .isl = -1, .lease = 0, .created = p.now};
    b.renewed = p.now;
    b.predict_until = p.now + 300;
    b.session = text("s");
    cr_assert(unit_pair_claim(&p, text("r"), text("w"), 0, &b) == KVR_OK);
    unit_pair_update(&p, text("r"), true, -1, -1);
    unit_pair_end(&p, "r");
    p.now -= UNIT_TIME_HOUR;
    unit_pair_renew_all(&p);
    unit_pair_check_all(&p);
    book(&p, "after", 150);
    p.now += 99;
    cr_assert(due_is(&p, NULL));
    p.now += 1;
    cr_assert(due_is(&p, "before"));
    unit_pair_end(&p, "before");
    p.now += 50;
    cr_assert(due_is(&p, "after"));
    unit_pair_end(&p, "after");
    unit_pair_check_all(&p);
    p.now += 50; // 200 ms after the new time
    struct kvr_stats s;
    kvr_pool_stats(p.pool, p.now, &s);
    cr_assert(s.eligible == 0 && s.predicted == 3 && s.sessions == 1);
    p.now += 100;
    unit_pair_check_due(&p);
    struct kvr_bytes name;
    cr_assert(kvr_due_worker(p.pool, p.now, &name));
    cr_assert(kvr_due_prediction(p.pool, p.now));
    unit_pair_forget(&p, 10);
    struct kvr_worker_info info;
    kvr_worker_at(p.pool, p.now + kvr_pool_options(p.pool)->open_time, 0, &info);
    cr_assert(info.circuit == KVR_HALF_OPEN);
    cr_assert(due_is(&p, NULL));
    p.now += 4700;
    cr_assert(due_is(&p, "long"));
    unit_pair_check_all(&p);
    unit_pair_free(&p);
}

Test(time, workers_expire_and_go) {
    static struct unit_pair p;
    start(&p, 0, 100, 1000, 0);
    struct kvr_worker_settings own = {.set = KVR_SET_TTL, .ttl = 300};
    cr_assert(unit_pair_worker_set(&p, text("own"), &own) == KVR_OK);
    own.ttl = 0;
    cr_assert(unit_pair_worker_set(&p, text("ever"), &own) == KVR_OK);
    static const int64_t steps[] = {99, 1, 199, 1, 799, 1, 199, 1, 100000};
    struct kvr_bytes name;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        p.now += steps[i];
        unit_pair_check_all(&p);
        unit_pair_check_due(&p);
        if (kvr_due_worker(p.pool, p.now, &name) && i == 6) {
            cr_assert(unit_bytes_compare(name, text("w")) == 0);
            unit_pair_worker_del(&p, text("w"));
        }
    }
    cr_assert(kvr_due_worker(p.pool, p.now, &name));
    struct kvr_worker_settings beat = {0};
    cr_assert(unit_pair_worker_set(&p, text("own"), &beat) == KVR_OK); // a late heartbeat saves it
    cr_assert(!kvr_due_worker(p.pool, p.now, &name));
    unit_pair_check_all(&p);
    p.now += 2000;
    unit_pair_renew_all(&p);
    unit_pair_check_all(&p);
    unit_pair_check_due(&p);
    unit_pair_free(&p);
}

// Workers without a time of their own follow the pool's, also a later one.
Test(time, the_pools_ttl_is_followed) {
    static struct unit_pair p;
    start(&p, 0, 0, 10, 0);
    p.now += 1000;
    unit_pair_check_all(&p);
    struct kvr_options o = *kvr_pool_options(p.pool);
    o.worker_ttl = 500;
    cr_assert(unit_pair_alter(&p, &o) == KVR_OK);
    unit_pair_check_all(&p);
    unit_pair_check_due(&p);
    struct kvr_bytes name;
    cr_assert(kvr_due_worker(p.pool, p.now, &name));
    unit_pair_free(&p);
}

// ---- Predictions ---------------------------------------------------------------------------------

static const uint64_t prompt[] = {1, 2, 3, 4, 5, 6}, other[] = {11, 12, 13, 14};

static void choose(struct unit_pair *p, const char *id, const uint64_t *hashes, size_t n) {
    struct kvr_query q = {.hashes = hashes, .n = n, .isl = -1};
    q.rule = kvr_pool_options(p->pool)->rule;
    cr_assert(unit_pair_select(p, text(id), &q, -1, 0) == KVR_OK);
    unit_pair_check(p);
}

static uint64_t predicted(struct unit_pair *p) {
    struct kvr_stats s;
    kvr_pool_stats(p->pool, p->now, &s);
    return s.predicted;
}

static uint32_t overlap(struct unit_pair *p, const uint64_t *hashes, size_t n) {
    struct kvr_query q = {.hashes = hashes, .n = n, .isl = -1};
    q.rule = kvr_pool_options(p->pool)->rule;
    cr_assert(unit_pair_scores(p, &q) == KVR_OK);
    const struct kvr_pool_score *s;
    cr_assert(kvr_scores(p->pool, p->now, &q, &s, &n) == KVR_OK);
    return s[0].overlap;
}

Test(time, predictions_end) {
    static struct unit_pair p;
    start(&p, 0, 0, 0, 100);
    choose(&p, "a", prompt, 4);
    cr_assert(predicted(&p) == 4 && overlap(&p, prompt, 6) == 4);
    p.now += 50;
    choose(&p, "b", prompt, 6);
    cr_assert(predicted(&p) == 6);
    unit_pair_update(&p, text("a"), true, -1, -1);
    unit_pair_end(&p, "a"); // what a request computed stays when it ends
    cr_assert(predicted(&p) == 6);
    p.now += 50;
    cr_assert(kvr_due_prediction(p.pool, p.now));
    unit_pair_forget(&p, 100);
    cr_assert(predicted(&p) == 6); // the later booking still stands for all six
    p.now += 50;
    unit_pair_forget(&p, 100);
    cr_assert(predicted(&p) == 0 && overlap(&p, prompt, 6) == 0);
    cr_assert(!kvr_due_prediction(p.pool, p.now));
    unit_pair_forget(&p, 100); // nothing: not a change
    unit_pair_check_all(&p);
    unit_pair_free(&p);
}

Test(time, predictions_are_bounded) {
    static struct unit_pair p;
    start(&p, 0, 0, 0, 100);
    struct kvr_worker_settings w = {.set = KVR_SET_CAPACITY, .capacity = 8};
    cr_assert(unit_pair_worker_set(&p, text("w"), &w) == KVR_OK);
    choose(&p, "a", prompt, 6);
    choose(&p, "b", other, 2);
    cr_assert(predicted(&p) == 8);
    choose(&p, "c", other, 4);
    cr_assert(predicted(&p) == 4 && overlap(&p, prompt, 6) == 0);
    w.capacity = 3;
    cr_assert(unit_pair_worker_set(&p, text("w"), &w) == KVR_OK);
    unit_pair_check(&p);
    choose(&p, "d", prompt, 6);
    cr_assert(predicted(&p) == 3 && overlap(&p, prompt, 6) == 3);
    unit_pair_check_all(&p);
    unit_pair_free(&p);
}

// CLEARED of the device or of all, and a new epoch, forget; REMOVED and another tier's CLEARED don't.
Test(time, events_end_predictions) {
    static struct unit_pair p;
    start(&p, 0, 0, 0, 100);
    static const struct {
        struct kvr_pool_op op;
        bool fresh, forgets;
    } steps[] = {
        {{.kind = KVR_STORED, .hashes = prompt, .n = 6}, true, true},
        {{.kind = KVR_REMOVED, .hashes = prompt, .n = 6}, false, false},
        {{.kind = KVR_CLEARED, .tier = KVR_HOST}, false, false},
        {{.kind = KVR_CLEARED, .tier = KVR_DEVICE}, false, true},
        {{.kind = KVR_CLEARED, .tier = -1}, false, true},
        {{.kind = KVR_REMOVED}, true, true},
    };
    uint64_t epoch = 0, seq = 0;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        char id[24];
        snprintf(id, sizeof id, "r%zu", i);
        choose(&p, id, prompt, 6);
        cr_assert(predicted(&p) == 6);
        if (steps[i].fresh) epoch++, seq = 0;
        cr_assert(unit_pair_event(&p, text("w"), 0, epoch, ++seq, &steps[i].op, 1, false) ==
                  KVR_OK);
        unit_pair_check_all(&p);
        cr_assert(predicted(&p) == (steps[i].forgets ? 0 : 6), "step %zu", i);
    }
    unit_pair_free(&p);
}

// An engine that never saw the prompt holds none of it: a request that ends before its first token, however
// it ends, takes its own prediction with it and no other.
Test(time, a_request_never_prefilled_takes_back) {
    for (int how = KVR_RELEASED; how <= KVR_UNTOLD; how++)
        for (int reload = 0; reload < 2; reload++) {
            static struct unit_pair p;
            start(&p, 0, 0, 0, 1000);
            choose(&p, "a", prompt, 4);
            choose(&p, "b", prompt, 6);
            choose(&p, "c", other, 3);
            if (reload) unit_pair_reload(&p);
            struct kvr_bytes id = text("b");
            unit_pair_release_as(&p, &id, 1, (enum kvr_end)how);
            unit_pair_check_all(&p);
            cr_assert(predicted(&p) == 7 && overlap(&p, prompt, 6) == 4);
            unit_pair_update(&p, text("a"), reload, reload ? -1 : 1, -1); // either says that it was
            id = text("a");
            unit_pair_release_as(&p, &id, 1, (enum kvr_end)how);
            cr_assert(predicted(&p) == 7);
            choose(&p, "a", prompt, 1); // another request of that name
            unit_pair_end(&p, "a");
            cr_assert(predicted(&p) == 7);
            unit_pair_end(&p, "c");
            cr_assert(predicted(&p) == 4);
            unit_pair_check_all(&p);
            unit_pair_free(&p);
        }
}

// Whoever answers after a circuit was open may be a new process.
Test(time, an_opening_circuit_drops_predictions) {
    static struct unit_pair p;
    start(&p, 0, 0, 0, 100000);
    struct kvr_worker_settings w = {0};
    cr_assert(unit_pair_worker_set(&p, text("v"), &w) == KVR_OK);
    choose(&p, "a", prompt, 6);
    choose(&p, "b", other, 4);
    cr_assert(predicted(&p) == 10);
    struct kvr_request_info r;
    cr_assert(kvr_request_get(p.pool, p.now, text("a"), &r));
    struct kvr_bytes name = unit_bytes_compare(r.worker, text("v")) ? text("w") : text("v");
    unit_pair_report(&p, name, false);
    unit_pair_report(&p, name, false);
    unit_pair_check_all(&p);
    cr_assert(predicted(&p) == 10);
    unit_pair_report(&p, name, false);
    unit_pair_check_all(&p);
    cr_assert(predicted(&p) == 4);
    p.now += 5000; // half-open: the probe's go when it fails
    struct kvr_booking b = {.hashes = prompt, .n = 6, .isl = -1, .predict_until = p.now + 1000};
    cr_assert(unit_pair_claim(&p, text("probe"), name, 0, &b) == KVR_OK);
    cr_assert(predicted(&p) == 10);
    unit_pair_report(&p, name, false);
    cr_assert(predicted(&p) == 4);
    unit_pair_end(&p, "a"); // what is gone isn't taken back again
    unit_pair_end(&p, "probe");
    unit_pair_check_all(&p);
    unit_pair_free(&p);
}

// What is forgotten is the first so many in the order of bookings, on every copy, whatever a clock says.
Test(time, predictions_are_renewed_and_forgotten_in_order) {
    static struct unit_pair p;
    start(&p, 0, 0, 0, 100);
    uint64_t mine[][2] = {{1, 2}, {3, 4}, {5, 6}, {7, 8}};
    static const int64_t untils[] = {100, 90, 1000000, 110};
    static const char *const ids[] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++) {
        struct kvr_booking b = {.hashes = mine[i], .n = 2, .isl = -1, .created = p.now};
        b.renewed = p.now;
        b.predict_until = p.now + untils[i];
        cr_assert(unit_pair_claim(&p, text(ids[i]), text("w"), 0, &b) == KVR_OK);
        if (i == 2) unit_pair_reload(&p);
    }
    p.now += 95;
    cr_assert(!kvr_due_prediction(p.pool, p.now)); // the second waits for the first
    p.now += 5;
    unit_pair_forget(&p, 10);
    cr_assert(predicted(&p) == 4);
    unit_pair_renew_all(&p);
    p.now += 99;
    cr_assert(!kvr_due_prediction(p.pool, p.now));
    p.now += 1;
    cr_assert(kvr_due_prediction(p.pool, p.now));
    unit_pair_forget(&p, 1);
    cr_assert(predicted(&p) == 2 && overlap(&p, mine[3], 2) == 2);
    unit_pair_forget(&p, 1);
    cr_assert(predicted(&p) == 0);
    unit_pair_check_all(&p);
    unit_pair_free(&p);
}
