// SPDX-License-Identifier: Apache-2.0
// Many who wait, and many tenants who don't: bounded looks, and memory for what is there alone.
#include <criterion/criterion.h>
#include <stdio.h>

#include "unit_waiting.h"

enum { UNIT_CROWD = 10000 };

static void ask(struct kvr_pool *p, int64_t now, unsigned k, const struct kvr_query *q) {
    char id[16];
    struct kvr_pool_choice c;
    struct kvr_booking b;
    snprintf(id, sizeof id, "r%u", k);
    cr_assert(kvr_select(p, now, text(id), q, -1, 0, &c, &b) == KVR_OK && c.waiting);
    cr_assert(c.position == k);
}

static struct kvr_pool *crowd(struct support_alloc *mem, const struct kvr_query *q) {
    struct kvr_options o;
    struct kvr_alloc a = support_alloc_use(mem);
    struct kvr_worker_settings w = {0};
    struct kvr_booking b = {.isl = 10, .created = 1000};
    int done;
    kvr_options_default(&o);
    o.max_requests = 1;
    struct kvr_pool *p = kvr_pool_new(&a, &o, 7);
    cr_assert(kvr_worker_set(p, 1000, text("a"), &w, &done) == KVR_OK);
    cr_assert(kvr_claim(p, text("live"), text("a"), 0, &b, &done) == KVR_OK);
    for (unsigned k = 0; k < UNIT_CROWD; k++)
        ask(p, 1000, k, q);
    return p;
}

static bool admit(struct kvr_pool *p, size_t *looks, struct kvr_admission *a) {
    return kvr_admit(p, 2000, looks, 0, NULL, NULL, a);
}

// Ten thousand of whom nobody can be placed: each call looks at no more than it may, all are looked at, and then
// nobody is left. Whoever comes meanwhile has to wait behind them.
Test(crowd, no_more_is_looked_at_than_allowed) {
    struct support_alloc mem = {0};
    struct kvr_bytes nobody = text("nobody");
    struct kvr_query q = {.has_among = true, .among = &nobody, .n_among = 1, .wait = 1 << 30};
    struct kvr_pool_choice c;
    struct kvr_booking b;
    struct kvr_options o;
    kvr_options_default(&o);
    q.rule = o.rule;
    struct kvr_pool *p = crowd(&mem, &q);
    struct kvr_bytes live = text("live");
    cr_assert(kvr_release(p, 2000, &live, 1, KVR_RELEASED) == 1);
    struct kvr_admission a;
    struct kvr_query any = {.rule = o.rule};
    size_t calls = 0;
    while (kvr_admit_left(p, 2000)) {
        size_t looks = 64;
        cr_assert(!admit(p, &looks, &a) && looks < 64);
        cr_assert(++calls <= UNIT_CROWD);
        if (kvr_admit_left(p, 2000))
            cr_assert(kvr_select(p, 2000, text("late"), &any, -1, 0, &c, &b) == KVR_NOROOM);
        const char *broken = calls % 50 ? NULL : kvr_pool_validate(p);
        cr_assert(!broken, "%s", broken);
    }
    cr_assert(calls >= 1);
    cr_assert(kvr_select(p, 2000, text("late"), &any, -1, 0, &c, &b) == KVR_OK && !c.waiting);
    kvr_pool_free(p);
    support_alloc_check_freed(&mem, "crowd");
}

// Where all may go anywhere one look is enough for the one who goes, and one to see that there is no more room.
Test(crowd, one_release_admits_the_first) {
    struct support_alloc mem = {0};
    struct kvr_options o;
    kvr_options_default(&o);
    struct kvr_query q = {.rule = o.rule, .wait = 1 << 30};
    struct kvr_pool *p = crowd(&mem, &q);
    struct kvr_admission a;
    char live[16] = "live", want[16];
    for (unsigned k = 0; k < 200; k++) {
        struct kvr_bytes id = text(live);
        size_t looks = 64;
        cr_assert(kvr_release(p, 2000, &id, 1, KVR_RELEASED) == 1);
        cr_assert(admit(p, &looks, &a));
        snprintf(want, sizeof want, "r%u", k);
        cr_assert(unit_bytes_compare(a.id, text(want)) == 0);
        cr_assert(looks >= 60);
        snprintf(live, sizeof live, "%s", want);
        while (looks && admit(p, &looks, &a))
            cr_assert(false, "two are admitted");
    }
    const char *broken = kvr_pool_validate(p);
    cr_assert(!broken, "%s", broken);
    kvr_pool_free(p);
    support_alloc_check_freed(&mem, "crowd");
}

static void count(void *ctx, struct kvr_bytes id) {
    cr_assert(id.n > 0);
    ++*(size_t *)ctx;
}

// All end at once, some at a time.
Test(crowd, ends_in_steps) {
    struct support_alloc mem = {0};
    struct kvr_options o;
    kvr_options_default(&o);
    struct kvr_query q = {.rule = o.rule, .wait = 100};
    struct kvr_pool *p = crowd(&mem, &q);
    struct kvr_stats s;
    size_t n, told = 0, ended = 0;
    cr_assert(kvr_pool_validate(p) == NULL);
    while ((n = kvr_end_waiting(p, 1100, 300, count, &told))) {
        cr_assert(n <= 300);
        ended += n;
    }
    cr_assert(ended == UNIT_CROWD && told == ended && !kvr_due_waiting(p, INT64_MAX / 2));
    kvr_pool_stats(p, 1100, &s);
    cr_assert(s.waiting == 0 && s.waiting_tokens == 0);
    kvr_pool_free(p);
    support_alloc_check_freed(&mem, "crowd");
}

// Tenants that have come and gone leave nothing behind, registered ones that do nothing cost their entry.
Test(crowd, idle_tenants_cost_nothing) {
    struct support_alloc mem = {0};
    struct kvr_alloc alloc = support_alloc_use(&mem);
    struct kvr_options o;
    struct kvr_worker_settings w = {0};
    int done;
    kvr_options_default(&o);
    o.max_requests = 1;
    struct kvr_pool *p = kvr_pool_new(&alloc, &o, 7);
    cr_assert(kvr_worker_set(p, 1000, text("a"), &w, &done) == KVR_OK);
    struct kvr_booking b = {.isl = 10, .created = 1000};
    cr_assert(kvr_claim(p, text("live"), text("a"), 0, &b, &done) == KVR_OK);
    size_t before = 0;
    char live[32] = "live";
    for (unsigned k = 0; k < 20000; k++) {
        char id[32], flow[32];
        struct kvr_pool_choice c;
        struct kvr_admission a;
        size_t looks = 64;
        struct kvr_query q = {.isl = 1 + k % 50, .rule = o.rule, .wait = 1 << 20};
        snprintf(id, sizeof id, "r%u", k);
        snprintf(flow, sizeof flow, "tenant %u", k);
        q.flow = text(flow);
        cr_assert(kvr_select(p, 1000 + k, text(id), &q, 0, 0, &c, &b) == KVR_OK && c.waiting);
        struct kvr_bytes gone = text(live);
        cr_assert(kvr_release(p, 1000 + k, &gone, 1, KVR_RELEASED) == 1);
        cr_assert(kvr_admit(p, 1000 + k, &looks, 0, NULL, NULL, &a));
        snprintf(live, sizeof live, "%s", id);
        if (k == 2000) before = mem.bytes;
    }
    cr_assert(mem.bytes <= before + 65536, "%zu bytes more", mem.bytes - before);
    cr_assert(kvr_pool_validate(p) == NULL);
    kvr_pool_free(p);
    support_alloc_check_freed(&mem, "tenants");
}

struct unit_crowd_scan {
    size_t seen, most, here;
};

static void seen(void *ctx, struct kvr_bytes name) {
    struct unit_crowd_scan *s = ctx;
    cr_assert(name.n > 0);
    s->seen++;
    s->here++;
}

// A list of very many is walked in small steps, and each of them costs little memory.
Test(crowd, registered_tenants_are_walked_in_steps) {
    enum { TENANTS = 200000 };
    struct support_alloc mem = {0};
    struct kvr_alloc alloc = support_alloc_use(&mem);
    struct kvr_options o;
    kvr_options_default(&o);
    struct kvr_pool *p = kvr_pool_new(&alloc, &o, 7);
    size_t before = mem.bytes;
    for (unsigned k = 0; k < TENANTS; k++) {
        char name[32];
        struct kvr_flow_info f = {.weight = 1 + k % 5, .rate = 100};
        int64_t left;
        int created;
        snprintf(name, sizeof name, "tenant %u", k);
        cr_assert(kvr_flow_set(p, 1000, text(name), KVR_FLOW_WEIGHT | KVR_FLOW_RATE, &f, false,
                               &left, &created) == KVR_OK);
        cr_assert(created && left == 100000);
    }
    cr_assert(mem.bytes - before < TENANTS * 256u);
    struct unit_crowd_scan s = {0};
    uint64_t cursor = 0;
    do {
        s.here = 0;
        cursor = kvr_flow_scan(p, cursor, 10, seen, &s);
        if (s.here > s.most) s.most = s.here;
    } while (cursor);
    cr_assert(s.seen >= TENANTS && s.most < 200);
    kvr_pool_free(p);
    support_alloc_check_freed(&mem, "tenants");
}
