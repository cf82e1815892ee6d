// SPDX-License-Identifier: Apache-2.0
// When one who is refused may come back: from how fast room came. Estimates have no exact value; these bounds are wide.
#include <criterion/criterion.h>
#include <stdio.h>

#include "unit_waiting.h"

enum { UNIT_ESTIMATE_BUSY = 100 }; // ms for which an instance has no room

// Room comes so regularly that how fast is well known; the instances are full afterwards.
static void serve(struct unit_pair *p, unsigned workers) {
    unit_waiting_start(p, workers, 1);
    struct kvr_query q = unit_waiting_query(p, 10, NULL, NULL);
    char id[32];
    for (unsigned i = 0; i < workers * 60; i++) {
        snprintf(id, sizeof id, "r%u", i);
        if (i >= workers) {
            char first[32];
            snprintf(first, sizeof first, "r%u", i - workers);
            p->now += UNIT_ESTIMATE_BUSY / workers;
            unit_pair_end(p, first);
        }
        cr_assert(unit_waiting_ask(p, id, &q));
    }
}

static int64_t refused(struct unit_pair *p) {
    struct kvr_query q = unit_waiting_query(p, 10, NULL, NULL);
    struct kvr_pool_choice c = {0};
    struct kvr_booking b;
    q.wait = 0;
    cr_assert(kvr_select(p->pool, p->now, text("late"), &q, -1, 0, &c, &b) == KVR_NOROOM);
    p->model.stats.refused++;
    p->model.queue.classes[0].refused++;
    return c.retry;
}

static int64_t queue_estimate(struct unit_pair *p) {
    int64_t estimate;
    cr_assert(kvr_queue(p->pool, p->now, 0, NULL, NULL, &estimate) == KVR_OK);
    return estimate;
}

Test(estimate, unknown_at_first) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 1);
    cr_assert(queue_estimate(&p) == 0);
    unit_waiting_claim(&p, "live", "a", 10);
    cr_assert(queue_estimate(&p) == -1);
    cr_assert(refused(&p) == 1000);
    unit_waiting_end(&p);
}

Test(estimate, from_how_fast_room_came) {
    for (unsigned workers = 1; workers <= 4; workers *= 2) {
        static struct unit_pair p;
        serve(&p, workers);
        int64_t one = UNIT_ESTIMATE_BUSY / workers, ms = queue_estimate(&p);
        cr_assert(ms >= 1 && ms <= 3 * one, "%d ms for %u", (int)ms, workers);
        struct kvr_query q = unit_waiting_query(&p, 10, NULL, NULL);
        for (int i = 0; i < 20; i++) {
            char id[16];
            snprintf(id, sizeof id, "w%d", i);
            cr_assert(!unit_waiting_ask(&p, id, &q));
        }
        ms = queue_estimate(&p);
        cr_assert(ms >= 10 * one && ms <= 40 * one, "%d ms for %u", (int)ms, workers);
        unit_pair_reload(&p); // it is known after a restart, too
        unit_pair_renew_all(&p);
        ms = queue_estimate(&p);
        cr_assert(ms >= 10 * one && ms <= 40 * one, "%d ms for %u", (int)ms, workers);
        unit_waiting_end(&p);
    }
}

// Who has been told to come back is counted before those who are told later.
Test(estimate, those_told_to_come_back_count) {
    static struct unit_pair p;
    serve(&p, 1);
    int64_t first = refused(&p), last = first;
    for (int i = 0; i < 50; i++) {
        int64_t ms = refused(&p);
        cr_assert(ms >= last, "%d ms after %d", (int)ms, (int)last);
        last = ms;
    }
    cr_assert(last >= first + 20 * UNIT_ESTIMATE_BUSY, "%d ms, then %d", (int)first, (int)last);
    p.now += last + 60000; // they came, or didn't
    cr_assert(refused(&p) < last);
    unit_waiting_end(&p);
}
