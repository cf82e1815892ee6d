// SPDX-License-Identifier: Apache-2.0
// Copies that had the same calls let go in the same order, whichever of them was saved and loaded in
// between: times are often equal, as all that is booked within a millisecond shows.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "module/core/pool.h"
#include "tests/support/support_alloc.h"
#include "unit_saved.h"

enum { UNIT_ORDER_BOOKINGS = 200, UNIT_ORDER_WORKERS = 5, UNIT_ORDER_TTL = 1000 };

static struct support_alloc mem;
static struct kvr_alloc alloc;

static struct kvr_bytes name_of(char room[16], const char *kind, int i) {
    return (struct kvr_bytes){room, (size_t)snprintf(room, 16, "%s%d", kind, i)};
}

// A pool in which many things end at few times, after bookings and releases that leave no order in a
// heap but the one that is asked for. reload: saved and loaded in the middle.
static struct kvr_pool *build(bool reload) {
    struct kvr_options o;
    kvr_options_default(&o);
    o.predict = UNIT_ORDER_TTL;
    o.lease = UNIT_ORDER_TTL;
    o.session_ttl = UNIT_ORDER_TTL;
    struct kvr_pool *p = kvr_pool_new(&alloc, &o, 1);
    struct kvr_worker_settings w = {0};
    char room[16], other[16];
    int created, live;
    for (int i = 0; i < UNIT_ORDER_WORKERS; i++)
        cr_assert(kvr_worker_set(p, 1, name_of(room, "w", i), &w, &created) == KVR_OK);
    for (int i = 0; i < UNIT_ORDER_BOOKINGS; i++) {
        uint64_t hashes[2] = {(uint64_t)i / 3 + 1, (uint64_t)i + 1000};
        struct kvr_query q = {.hashes = hashes, .n = 2, .isl = -1, .rule = o.rule};
        struct kvr_pool_choice c;
        struct kvr_booking b;
        q.session = name_of(other, "s", i % 60);
        int64_t now = 1 + i / 50;
        cr_assert(kvr_select(p, now, name_of(room, "r", i), &q, -1, 0, &c, &b) == KVR_OK);
        if (i % 7 == 3) {
            struct kvr_bytes id = name_of(room, "r", i / 2);
            kvr_release(p, now, &id, 1, KVR_RELEASED);
        }
        if (i % 11 == 5)
            cr_assert(kvr_update(p, now, name_of(room, "r", i - 4), true, 1, -1, &live) == KVR_OK);
        if (reload && (i == UNIT_ORDER_BOOKINGS / 2 || i == UNIT_ORDER_BOOKINGS - 1)) {
            enum kvr_err err;
            struct kvr_pool *loaded = unit_saved_copy(p, &alloc, &err);
            cr_assert(loaded, "%d", (int)err);
            kvr_pool_free(p);
            p = loaded;
        }
    }
    cr_assert(!kvr_pool_validate(p), "%s", kvr_pool_validate(p));
    return p;
}

static void same(struct kvr_pool *a, struct kvr_pool *b, const char *after, int step) {
    uint8_t of_a[KVR_DIGEST_BYTES], of_b[KVR_DIGEST_BYTES];
    kvr_pool_digest(a, of_a);
    kvr_pool_digest(b, of_b);
    cr_assert(!memcmp(of_a, of_b, sizeof of_a), "%s %d they differ", after, step);
}

Test(order, whoever_was_loaded_lets_go_in_the_same_order) {
    alloc = support_alloc_use(&mem);
    struct kvr_pool *a = build(false), *b = build(true);
    int64_t late = 10 * UNIT_ORDER_TTL;
    same(a, b, "at the beginning", 0);
    int n = 0;
    for (struct kvr_bytes x, y; kvr_due_request(a, late, &x); n++) {
        cr_assert(kvr_due_request(b, late, &y));
        cr_assert(x.n == y.n && !memcmp(x.p, y.p, x.n), "lease %d: %.*s and %.*s", n, (int)x.n, x.p,
                  (int)y.n, y.p);
        char id[16];
        memcpy(id, x.p, x.n);
        struct kvr_bytes one = {id, x.n};
        kvr_release(a, late, &one, 1, KVR_LAPSED);
        kvr_release(b, late, &one, 1, KVR_LAPSED);
        if (n % 10 == 0) { // cut off in the middle of equal times
            cr_assert_eq(kvr_forget(a, late, 3), kvr_forget(b, late, 3));
            same(a, b, "after predictions ended", n);
        }
    }
    cr_assert(n > UNIT_ORDER_BOOKINGS / 2);
    for (size_t gone = 1; gone; n++) {
        gone = kvr_forget(a, late, 1);
        cr_assert_eq(kvr_forget(b, late, 1), gone);
        same(a, b, "after a prediction ended", n);
    }
    n = 0;
    for (struct kvr_bytes x, y; kvr_due_session(a, late, &x); n++) {
        cr_assert(kvr_due_session(b, late, &y));
        cr_assert(x.n == y.n && !memcmp(x.p, y.p, x.n), "session %d: %.*s and %.*s", n, (int)x.n,
                  x.p, (int)y.n, y.p);
        char name[16];
        memcpy(name, x.p, x.n);
        struct kvr_bytes one = {name, x.n};
        cr_assert(kvr_session_del(a, &one, 1) == 1 && kvr_session_del(b, &one, 1) == 1);
    }
    cr_assert(n > 30);
    same(a, b, "at the end", n);
    kvr_pool_free(a);
    kvr_pool_free(b);
    support_alloc_check_freed(&mem, "order");
}
