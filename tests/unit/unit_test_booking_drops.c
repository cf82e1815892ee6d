// SPDX-License-Identifier: Apache-2.0
// More bookings than a drop sweeps at once end with their instance, or lose their predictions: that counts at once,
// and those that wait for the sweep mislead nobody.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "unit_pair.h"
#include "unit_saved.h"

enum { UNIT_BOOKING_DROPS = 1300, UNIT_BOOKING_BLOCKS = 5 };

static const uint64_t head[2] = {0xa, 0xb};

static void book(struct unit_pair *p, const char *worker, uint32_t rank, int i) {
    uint64_t hashes[UNIT_BOOKING_BLOCKS] = {head[0], head[1], 0x100 + (uint64_t)i};
    for (int k = 3; k < UNIT_BOOKING_BLOCKS; k++)
        hashes[k] = 0x1000000 * (uint64_t)k + (uint64_t)i;
    char id[32], session[32];
    snprintf(id, sizeof id, "r%d", i);
    snprintf(session, sizeof session, "s%d", i % 7);
    struct kvr_booking b = {.hashes = hashes,
                            .n = UNIT_BOOKING_BLOCKS,
                            .isl = -1,
                            .lease = 1000 + i % 50,
                            .created = p->now,
                            .renewed = p->now,
                            .prefilled = i % 3 == 0,
                            .predict_until = p->now + 5000,
                            .session = text(session)};
    cr_assert(unit_pair_claim(p, text(id), text(worker), rank, &b) == KVR_OK);
}

// Each session was last booked on "small", and has a request there.
static void start(struct unit_pair *p) {
    struct kvr_options o;
    kvr_options_default(&o);
    o.predict = 5000;
    o.session_ttl = 100;
    unit_pair_init(p, &o, "many bookings dropped");
    unit_pair_add_worker(p, "big", 2);
    unit_pair_add_worker(p, "small", 1);
    for (int i = 0; i < UNIT_BOOKING_DROPS; i++)
        book(p, "big", 1, i);
    for (int i = 0; i < 7; i++)
        book(p, "small", 0, UNIT_BOOKING_DROPS + i);
}

static struct kvr_stats stats(const struct unit_pair *p) {
    struct kvr_stats s;
    kvr_pool_stats(p->pool, p->now, &s);
    return s;
}

static void drop_worker(struct unit_pair *p) {
    cr_assert(unit_pair_worker_del(p, text("big")) == KVR_OK);
}
static void drop_rank(struct unit_pair *p) {
    unit_pair_add_worker(p, "big", 1);
}
static void drop_by_clearing(struct unit_pair *p) {
    struct kvr_pool_op op = {.kind = KVR_CLEARED, .tier = KVR_DEVICE};
    cr_assert(unit_pair_event(p, text("big"), 1, 1, 1, &op, 1, true) == KVR_OK);
}
static void drop_by_epoch(struct unit_pair *p) {
    cr_assert(unit_pair_event(p, text("big"), 1, 2, 1, NULL, 0, true) == KVR_OK);
}
static void drop_by_circuit(struct unit_pair *p) {
    for (int i = 0; i < 3; i++)
        cr_assert(unit_pair_report(p, text("big"), false) == KVR_OK);
}
static const struct {
    void (*drop)(struct unit_pair *p);
    bool requests; // go, too
} drops[] = {{drop_worker, true},
             {drop_rank, true},
             {drop_by_clearing, false},
             {drop_by_epoch, false},
             {drop_by_circuit, false}};
enum { UNIT_BOOKING_KINDS = sizeof drops / sizeof *drops };

static void score(struct unit_pair *p) {
    struct kvr_query q = {.hashes = head, .n = 2, .isl = -1};
    q.rule = kvr_pool_options(p->pool)->rule;
    cr_assert(unit_pair_scores(p, &q) == KVR_OK);
}

static void sweep_all(struct unit_pair *p) {
    for (int step = 0; stats(p).unswept; step++) {
        unit_pair_sweep(p, 100);
        unit_pair_check(p);
        cr_assert(step < 100, "sweeping doesn't end");
    }
    unit_pair_check_all(p);
}

Test(booking_drops, count_at_once) {
    static struct unit_pair p;
    for (int i = 0; i < UNIT_BOOKING_KINDS; i++) {
        start(&p);
        drops[i].drop(&p);
        struct kvr_stats s = stats(&p);
        cr_assert(s.unswept > 0, "the drop was too small to tell");
        cr_assert(s.requests == (drops[i].requests ? 7 : UNIT_BOOKING_DROPS + 7));
        cr_assert(s.predicted == 2 + 7 * (UNIT_BOOKING_BLOCKS - 2));
        unit_pair_check_all(&p);
        score(&p);
        struct kvr_session_info session;
        cr_assert(kvr_session_get(p.pool, p.now, text("s0"), &session));
        uint64_t of_big = drops[i].requests ? 0 : (UNIT_BOOKING_DROPS + 6) / 7;
        cr_assert(session.requests == of_big + 1);
        sweep_all(&p);
        unit_pair_check_rebuilt(&p, (uint64_t)i);
        unit_pair_free(&p);
    }
}

// The same ids, sessions and blocks are booked again meanwhile, on an instance of the same name.
Test(booking_drops, come_back_at_once) {
    static struct unit_pair p;
    for (int i = 0; i < UNIT_BOOKING_KINDS; i++) {
        start(&p);
        drops[i].drop(&p);
        if (drops[i].requests) unit_pair_add_worker(&p, "big", 2); // which sweeps, too
        for (int k = 0; k < UNIT_BOOKING_DROPS; k += 9) {
            book(&p, "big", 1, k);
            book(&p, "big", 0, 5 * UNIT_BOOKING_DROPS + k);
            if (k % 100 == 0) unit_pair_sweep(&p, 10);
        }
        unit_pair_check_all(&p);
        score(&p);
        for (int k = 0; k < UNIT_BOOKING_DROPS; k += 27) {
            char id[32];
            snprintf(id, sizeof id, "r%d", k);
            unit_pair_end(&p, id);
        }
        unit_pair_check_all(&p);
        drops[i].drop(&p); // and once more
        unit_pair_check_all(&p);
        score(&p);
        sweep_all(&p);
        unit_pair_free(&p);
    }
}

// Time runs on before they are swept: what is due is what is live, and predictions end in the order of bookings.
Test(booking_drops, time_goes_on) {
    static struct unit_pair p;
    for (int i = 0; i < UNIT_BOOKING_KINDS; i++) {
        start(&p);
        drops[i].drop(&p);
        book(&p, "small", 0, 3 * UNIT_BOOKING_DROPS);
        p.now += 2000;
        cr_assert(stats(&p).unswept > 0);
        for (int k = 0; k < 3; k++) {
            unit_pair_end_due(&p);
            unit_pair_check_due(&p);
        }
        p.now += 4000;
        unit_pair_forget(&p, 3);
        unit_pair_check_all(&p);
        unit_pair_forget(&p, SIZE_MAX);
        cr_assert(stats(&p).predicted == 0);
        unit_pair_check_all(&p);
        sweep_all(&p);
        unit_pair_free(&p);
    }
}

Test(booking_drops, are_not_saved) {
    static struct unit_pair p;
    for (int i = 0; i < UNIT_BOOKING_KINDS; i++) {
        start(&p);
        drops[i].drop(&p);
        uint8_t before[KVR_DIGEST_BYTES], after[KVR_DIGEST_BYTES];
        uint8_t learnt[KVR_DIGEST_BYTES], learnt_after[KVR_DIGEST_BYTES];
        kvr_pool_digest(p.pool, before);
        kvr_pool_digest_learnt(p.pool, learnt);
        unit_pair_reload(&p);
        cr_assert(stats(&p).unswept == 0);
        kvr_pool_digest(p.pool, after);
        kvr_pool_digest_learnt(p.pool, learnt_after);
        cr_assert(!memcmp(before, after, sizeof before));
        cr_assert(!memcmp(learnt, learnt_after, sizeof learnt));
        unit_pair_check_all(&p);
        unit_pair_free(&p);
    }
}
