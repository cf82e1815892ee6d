// SPDX-License-Identifier: Apache-2.0
// A queue that is saved: whole, cut short, spoiled, with what no queue can have.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "unit_saved.h"
#include "unit_waiting.h"

// Something of everything: classes on two levels, one of them unused; flows with and without a bucket, one in
// debt; who waits with all that a query can have; shares that have been used; one that hasn't been fetched.
static void build(struct unit_pair *p) {
    static const uint64_t prompt[] = {7, 0, UINT64_MAX};
    unit_waiting_start(p, 2, 1);
    struct kvr_class_info c = {.priority = -3, .weight = 1.625, .max_waiting = 71, .room = 83};
    unit_pair_class_set(p, text("batch"), 15, &c);
    unit_waiting_class(p, "gold", 0, 4.375);
    unit_waiting_class(p, "unused", 5, 1);
    struct kvr_flow_info f = {.weight = 2.625, .max_requests = 9};
    unit_pair_flow_set(p, text("tenant"), KVR_FLOW_WEIGHT | KVR_FLOW_REQUESTS, &f);
    unit_waiting_flow(p, "debtor", 0, 1234, 5678);
    struct kvr_booking b = {.isl = 9000, .created = p->now, .flow = text("debtor")};
    unit_pair_claim(p, text("live a"), text("a"), 0, &b);
    b.isl = 100;
    b.service_class = text("gold");
    unit_pair_claim(p, text("live b"), text("b"), 0, &b);
    static const char *const classes[] = {NULL, "gold", "batch"}, *const flows[] = {NULL, "tenant"};
    for (int i = 0; i < 9; i++) {
        char id[16];
        struct kvr_query q = unit_waiting_query(p, 100 + i * 11, classes[i % 3], flows[i % 2]);
        snprintf(id, sizeof id, "waits %d", i);
        cr_assert(!unit_waiting_ask(p, id, &q));
        p->now += 3;
    }
    struct kvr_bytes names[] = {text("a"), text("nobody yet")}, labels[] = {text("gpu=h")};
    struct kvr_query q = unit_waiting_query(p, 50, "gold", "another");
    q.hashes = prompt;
    q.n = 3;
    q.osl = 33;
    q.rule = (struct kvr_rule){0, 1.375, 2.5, 0.625, 0.125, 0};
    q.has_among = true;
    q.among = q.exclude = names;
    q.n_among = q.n_exclude = 2;
    q.with = q.without = labels;
    q.n_with = q.n_without = 1;
    q.session = text("a session");
    q.notify = text("a channel");
    cr_assert(unit_pair_select(p, text("all of it"), &q, 4444, 0) == KVR_OK);
    for (int i = 0; i < 4; i++) {
        struct kvr_bytes live = text(i ? "" : "live b");
        struct unit_model_request *r = &p->model.requests[p->model.n_requests - 1];
        if (i) live = (struct kvr_bytes){r->id, r->id_len};
        char room[KVR_MAX_ID];
        struct kvr_bytes copy = {memcpy(room, live.p, live.n), live.n};
        p->now += 50;
        unit_pair_release(p, &copy, 1);
        cr_assert(unit_pair_admit_all(p) == 1);
    }
    unit_pair_check_all(p);
}

Test(save_queue, round_trip) {
    static struct unit_pair p;
    build(&p);
    for (int i = 0; i < 3; i++) {
        unit_pair_reload(&p);
        unit_pair_renew_all(&p);
        unit_pair_check_all(&p);
        struct kvr_bytes id = {p.model.requests[0].id, p.model.requests[0].id_len};
        char room[KVR_MAX_ID];
        struct kvr_bytes copy = {memcpy(room, id.p, id.n), id.n};
        unit_pair_release(&p, &copy, 1);
        unit_pair_admit_all(&p); // in the same order as without a restart: the model had none
        unit_pair_check_all(&p);
    }
    unit_waiting_end(&p);
}

Test(save_queue, cut_at_every_byte) {
    static struct unit_pair p;
    build(&p);
    struct unit_saved s = {0};
    cr_assert(unit_saved_write(p.pool, &s) == KVR_OK && s.n_ends == 1);
    for (size_t n = 0; n < s.n; n++) {
        struct unit_saved cut = {0};
        unit_saved_add(&cut, s.bytes, n);
        unit_saved_seal(&cut);
        cr_assert(!unit_saved_any(&cut), "cut after %zu bytes", n);
        unit_saved_free(&cut);
    }
    cr_assert(unit_saved_any(&s));
    unit_saved_free(&s);
    unit_waiting_end(&p);
}

Test(save_queue, spoiled) {
    static struct unit_pair p;
    build(&p);
    cr_assert(unit_saved_spoil(p.pool) > 0);
    unit_waiting_end(&p);
}

// Weights and shares: never NaN, infinite, nothing or less.
Test(save_queue, shares_that_cannot_be) {
    static struct unit_pair p;
    build(&p);
    struct unit_saved s = {0};
    cr_assert(unit_saved_write(p.pool, &s) == KVR_OK);
    double numbers[16] = {1.625, 4.375, 2.625};
    size_t n = 3;
    for (size_t i = 0; i < p.model.queue.n_classes; i++) {
        const struct unit_model_class *c = &p.model.queue.classes[i];
        if (unit_model_class_waiting(&p.model, c) && c->share.start > 0)
            numbers[n++] = c->share.start;
    }
    cr_assert(n > 3);
    static const double bad[] = {NAN, INFINITY, -INFINITY, -2, 1e301};
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
            size_t places = 0;
            for (size_t at = 0; at + 8 + UNIT_SAVED_CHECK <= s.n; at++) {
                if (memcmp(s.bytes + at, &numbers[i], 8) != 0) continue;
                places++;
                cr_assert(!unit_saved_with(&s, s.bytes + at, &bad[k], 8), "%g for %g", bad[k],
                          numbers[i]);
            }
            cr_assert(places > 0, "%g isn't saved", numbers[i]);
        }
    unit_saved_free(&s);
    unit_waiting_end(&p);
}

// Names that stand for another: a class that nobody has, the same id twice, one that is live and waits.
Test(save_queue, names_that_cannot_be) {
    static struct unit_pair p;
    build(&p);
    struct unit_saved s = {0};
    cr_assert(unit_saved_write(p.pool, &s) == KVR_OK);
    uint8_t *id = NULL;
    for (size_t i = 0; i + 7 < s.n; i++)
        if (memcmp(s.bytes + i, "waits 8", 7) == 0) id = s.bytes + i;
    cr_assert(id && unit_waiting_is(&p, "waits 8") && unit_waiting_is(&p, "waits 5"));
    cr_assert(!unit_saved_with(&s, id, "waits 5", 7), "an id that waits twice");
    cr_assert(unit_saved_with(&s, id, "waits x", 7));
    for (size_t i = 0; i < p.model.n_requests; i++) {
        const struct unit_model_request *r = &p.model.requests[i];
        if (r->id_len == 7)
            cr_assert(!unit_saved_with(&s, id, r->id, 7), "an id that is live and waits");
    }
    for (size_t i = 0; i + 4 < s.n; i++)
        if (memcmp(s.bytes + i, "gold", 4) == 0)
            unit_saved_with(&s, s.bytes + i, "cold", 4); // refused, or nobody waits in it
    unit_saved_free(&s);
    unit_waiting_end(&p);
}
