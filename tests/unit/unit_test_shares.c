// SPDX-License-Identifier: Apache-2.0
// Shares of classes and flows: by weight over any span in which both wait, whatever comes when.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/common/random.h"
#include "unit_waiting.h"

enum { UNIT_SHARES_OWNERS = 3 };

// Some who send without an end, in their classes or flows.
struct unit_senders {
    struct kvr_pool *pool;
    int64_t now;
    uint64_t random;
    unsigned n;
    const char *class_of[UNIT_SHARES_OWNERS], *flow_of[UNIT_SHARES_OWNERS];
    unsigned skew[UNIT_SHARES_OWNERS]; // how often each comes, of the sum
    uint64_t had[UNIT_SHARES_OWNERS];  // tokens
    uint64_t waiting[UNIT_SHARES_OWNERS];
    unsigned long sent;
    const char *live; // who is served at first; NULL: "live"
};

static unsigned below(struct unit_senders *s, unsigned n) {
    return (unsigned)(kvr_random(&s->random) >> 16) % n;
}

static void send_one(struct unit_senders *s, unsigned owner) {
    char id[32];
    struct kvr_query q = {.isl = 100 + below(s, 4000), .osl = below(s, 500), .wait = 1 << 30};
    struct kvr_pool_choice c;
    struct kvr_booking b;
    q.rule = kvr_pool_options(s->pool)->rule;
    if (s->class_of[owner]) q.service_class = text(s->class_of[owner]);
    if (s->flow_of[owner]) q.flow = text(s->flow_of[owner]);
    snprintf(id, sizeof id, "%u %lu", owner, s->sent++);
    cr_assert(kvr_select(s->pool, s->now, text(id), &q, 0, 0, &c, &b) == KVR_OK && c.waiting);
    s->waiting[owner]++;
}

static void send_random(struct unit_senders *s) {
    unsigned sum = 0, owner = 0;
    for (unsigned i = 0; i < s->n; i++)
        sum += s->skew[i];
    for (unsigned k = below(s, sum); k >= s->skew[owner]; owner++)
        k -= s->skew[owner];
    send_one(s, owner);
}

// Ends who is served and admits the next; nobody's line gets empty.
static void serve(struct unit_senders *s, char *live) {
    struct kvr_bytes id = text(live);
    struct kvr_admission a;
    size_t looks = 64;
    for (unsigned i = 0; i < s->n; i++)
        while (s->waiting[i] < 3)
            send_one(s, i);
    s->now += below(s, 20);
    cr_assert(kvr_release(s->pool, s->now, &id, 1, KVR_RELEASED) == 1);
    cr_assert(kvr_admit(s->pool, s->now, &looks, 0, NULL, NULL, &a));
    snprintf(live, 32, "%.*s", (int)a.id.n, a.id.p);
    unsigned owner = (unsigned)atoi(live);
    s->had[owner] += (uint64_t)(a.booked.isl - a.booked.cached + a.booked.osl);
    s->waiting[owner]--;
}

static void start(struct unit_senders *s, struct unit_pair *p, uint64_t seed) {
    unit_waiting_start(p, 1, 1);
    unit_waiting_claim(p, "live", "a", 10);
    s->pool = p->pool;
    s->now = p->now;
    s->random = seed;
}

// Over `turns` admissions each has had its share, to within 2 percent of it.
static void shared(struct unit_senders *s, const double *want, int turns) {
    char live[32];
    snprintf(live, sizeof live, "%s", s->live ? s->live : "live");
    uint64_t before[UNIT_SHARES_OWNERS] = {0}, total = 0;
    for (unsigned i = 0; i < s->n; i++)
        before[i] = s->had[i];
    for (int i = 0; i < turns; i++) {
        for (unsigned more = below(s, 3); more; more--)
            send_random(s);
        serve(s, live);
    }
    for (unsigned i = 0; i < s->n; i++)
        total += s->had[i] - before[i];
    for (unsigned i = 0; i < s->n; i++) {
        double got = (double)(s->had[i] - before[i]) / (double)total;
        cr_assert(fabs(got - want[i]) <= 0.02 * want[i], "%u had %.4f instead of %.4f", i, got,
                  want[i]);
    }
    const char *broken = kvr_pool_validate(s->pool);
    cr_assert(!broken, "%s", broken);
}

// 4:1 with the traffic the other way round, in classes and in flows of one class.
Test(shares, four_to_one) {
    for (int flows = 0; flows < 2; flows++)
        for (uint64_t seed = 1; seed <= 4; seed++) {
            static struct unit_pair p;
            struct unit_senders s = {.n = 2, .skew = {1, (unsigned)(seed * 5)}};
            start(&s, &p, seed);
            struct kvr_flow_info f = {.weight = 4};
            if (flows)
                unit_pair_flow_set(&p, text("four"), KVR_FLOW_WEIGHT, &f);
            else
                unit_waiting_class(&p, "four", 0, 4);
            s.class_of[0] = flows ? NULL : "four";
            s.flow_of[0] = flows ? "four" : NULL;
            s.flow_of[1] = flows ? "one" : NULL;
            static const double want[] = {0.8, 0.2};
            shared(&s, want, 4000);
            kvr_pool_free(p.copy);
            p.copy = NULL;
            unit_pair_free(&p);
        }
}

// Whatever a flow has of its class, its class has as before.
Test(shares, flows_share_what_their_class_has) {
    static struct unit_pair p;
    struct unit_senders s = {.n = 3, .skew = {1, 9, 9}};
    start(&s, &p, 7);
    unit_waiting_class(&p, "gold", 0, 3);
    struct kvr_flow_info f = {.weight = 0.5};
    unit_pair_flow_set(&p, text("half"), KVR_FLOW_WEIGHT, &f);
    s.class_of[0] = "gold";
    s.flow_of[0] = "whole";
    s.flow_of[1] = "half";
    s.flow_of[2] = "whole"; // the same name in another class is another line
    static const double want[] = {0.75, 0.25 / 3, 0.5 / 3};
    shared(&s, want, 8000);
    unit_pair_free(&p);
}

// After each class had the server to itself both have their shares at once: no credit, no debt.
Test(shares, an_idle_class_saves_up_nothing) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 1);
    unit_waiting_class(&p, "four", 0, 4);
    unit_waiting_claim(&p, "live", "a", 10);
    struct kvr_query four = unit_waiting_query(&p, 100, "four", NULL);
    struct kvr_query one = unit_waiting_query(&p, 100, NULL, NULL);
    char id[16], live[16] = "live";
    for (int i = 0; i < 20; i++) {
        snprintf(id, sizeof id, "one %d", i);
        cr_assert(!unit_waiting_ask(&p, id, &one));
        if (i < 10) continue;
        unit_pair_end(&p, live);
        snprintf(live, sizeof live, "%s", unit_waiting_admitted(&p));
    }
    for (int i = 0; i < 20; i++) {
        snprintf(id, sizeof id, "four %d", i);
        cr_assert(!unit_waiting_ask(&p, id, &four));
    }
    int fours = 0;
    for (int i = 0; i < 10; i++) {
        unit_pair_end(&p, live);
        snprintf(live, sizeof live, "%s", unit_waiting_admitted(&p));
        fours += live[0] == 'f';
    }
    cr_assert(fours == 8);
    unit_pair_check_all(&p);
    unit_waiting_end(&p);
}

// One who leaves unserved, or books at once, pays nothing.
Test(shares, only_who_is_admitted_out_of_the_queue_pays) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 1);
    unit_waiting_class(&p, "other", 0, 1);
    unit_waiting_claim(&p, "live", "a", 10);
    struct kvr_query q = unit_waiting_query(&p, 100000, "other", NULL);
    cr_assert(!unit_waiting_ask(&p, "stays", &q));
    cr_assert(!unit_waiting_ask(&p, "leaves", &q));
    unit_pair_end(&p, "leaves");
    struct kvr_query small = unit_waiting_query(&p, 10, NULL, NULL);
    cr_assert(!unit_waiting_ask(&p, "usual", &small));
    struct kvr_booking b = {.isl = 1000000, .created = p.now, .service_class = text("other")};
    cr_assert(unit_pair_claim(&p, text("claimed"), text("a"), 0, &b) == KVR_OK);
    unit_pair_end(&p, "claimed");
    unit_pair_end(&p, "live");
    cr_assert_str_eq(unit_waiting_admitted(&p),
                     "stays"); // first by arrival: nobody has had anything
    unit_pair_end(&p, "stays");
    cr_assert_str_eq(unit_waiting_admitted(&p), "usual");
    unit_waiting_end(&p);
}

// What is charged: ISL less what is cached, and OSL, at least one token.
Test(shares, what_is_cached_costs_nothing) {
    static struct unit_pair p;
    static const uint64_t prompt[100] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    unit_waiting_start(&p, 1, 1);
    unit_waiting_class(&p, "other", 0, 1);
    struct kvr_pool_op op = {.kind = KVR_STORED, .hashes = prompt, .n = 10};
    cr_assert(unit_pair_event(&p, text("a"), 0, 1, 1, &op, 1, false) == KVR_OK);
    unit_waiting_claim(&p, "live", "a", 10);
    struct kvr_query cached = unit_waiting_query(&p, -1, NULL, NULL);
    cached.hashes = prompt;
    cached.n = 10;
    struct kvr_query not = unit_waiting_query(&p, 2, "other", NULL);
    // 1 a turn against 2: two of the cached come for each of the others. Of equals who came first.
    static const char *const order[] = {"c0", "o0", "c1", "o1", "c2", "c3", "o2"};
    for (int i = 0; i < 5; i++) {
        char id[2][4] = {{'c', (char)('0' + i)}, {'o', (char)('0' + i)}};
        cr_assert(!unit_waiting_ask(&p, id[0], &cached));
        cr_assert(!unit_waiting_ask(&p, id[1], &not ));
    }
    const char *live = "live";
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        unit_pair_end(&p, live);
        cr_assert_str_eq(unit_waiting_admitted(&p), order[i]);
        live = order[i];
    }
    unit_waiting_end(&p);
}

// A class that goes to another priority while it waits keeps its line.
Test(shares, a_priority_that_changes) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 1);
    unit_waiting_class(&p, "moves", -1, 1);
    unit_waiting_claim(&p, "live", "a", 10);
    struct kvr_query q = unit_waiting_query(&p, 10, "moves", NULL);
    struct kvr_query usual = unit_waiting_query(&p, 10, NULL, NULL);
    cr_assert(!unit_waiting_ask(&p, "m1", &q));
    cr_assert(!unit_waiting_ask(&p, "m2", &q));
    cr_assert(!unit_waiting_ask(&p, "u1", &usual));
    cr_assert(!unit_waiting_ask(&p, "u2", &usual));
    unit_pair_end(&p, "live");
    cr_assert_str_eq(unit_waiting_admitted(&p), "u1");
    unit_waiting_class(&p, "moves", 1, 1);
    unit_pair_end(&p, "u1");
    cr_assert_str_eq(unit_waiting_admitted(&p), "m1");
    unit_waiting_class(&p, "moves", -1, 1);
    unit_pair_end(&p, "m1");
    cr_assert_str_eq(unit_waiting_admitted(&p), "u2");
    unit_pair_end(&p, "u2");
    cr_assert_str_eq(unit_waiting_admitted(&p), "m2");
    unit_waiting_end(&p);
}

// One of next to no weight that has been served while nobody else waited takes nothing from the shares of those who
// come then.
Test(shares, next_to_nothing) {
    static const double want[] = {0, 0.8, 0.2}, weights[] = {5e-324, 1e-17, 1e-9};
    for (int i = 0; i < 6; i++) {
        static struct unit_pair p;
        struct unit_senders s = {.n = 1, .skew = {1, 1, 1}};
        static const char *const names[] = {"tiny", "four", "one"};
        const double weight[] = {weights[i / 2], 4, 1};
        start(&s, &p, (uint64_t)i + 1);
        for (int k = 0; k < UNIT_SHARES_OWNERS; k++) {
            struct kvr_flow_info f = {.weight = weight[k]};
            if (i % 2)
                unit_pair_flow_set(&p, text(names[k]), KVR_FLOW_WEIGHT, &f);
            else
                unit_waiting_class(&p, names[k], 0, weight[k]);
            (i % 2 ? s.flow_of : s.class_of)[k] = names[k];
        }
        char live[32] = "live";
        for (int k = 0; k < 100; k++)
            serve(&s, live);
        s.n = UNIT_SHARES_OWNERS;
        s.live = live;
        shared(&s, want, 4000);
        kvr_pool_free(p.copy);
        p.copy = NULL;
        unit_pair_free(&p);
    }
}

// Idle flows that have had more than their share are remembered, but no more than a thousand of them.
Test(shares, flows_that_owe_are_remembered_up_to_a_number) {
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 0);
    struct kvr_options o = *kvr_pool_options(p.pool);
    kvr_pool_free(p.copy);
    p.copy = NULL;
    o.max_prefill = 1;
    unit_waiting_alter(&p, &o);
    unit_waiting_claim(&p, "live", "a", 10);
    struct kvr_query stays = unit_waiting_query(&p, 10, NULL, "stays");
    struct kvr_bytes nobody = text("nobody");
    stays.has_among = true;
    stays.among = &nobody;
    stays.n_among = 1;
    cr_assert(!unit_waiting_ask(&p, "stays", &stays)); // so that time goes on
    size_t bytes = 0;
    for (unsigned i = 0; i < 1200; i++) {
        char flow[16], id[16];
        snprintf(flow, sizeof flow, "f%u", i);
        snprintf(id, sizeof id, "r%u", i);
        struct kvr_query q = unit_waiting_query(&p, 10 + i * 7 % 400, NULL, flow);
        cr_assert(!unit_waiting_ask(&p, id, &q));
        unit_pair_end(&p, i ? "last" : "live");
        cr_assert_str_eq(unit_waiting_admitted(&p), id);
        unit_pair_end(&p, id);
        unit_waiting_claim(&p, "last", "a", 10);
        if (i == 1100) bytes = p.mem.bytes;
    }
    cr_assert(p.mem.bytes <= bytes + 4096);
    unit_pair_check_all(&p);
    unit_pair_reload(&p);
    unit_pair_renew_all(&p);
    // They come again, and each has its place by what it owes.
    for (unsigned i = 0; i < 40; i++) {
        char flow[16], id[16];
        snprintf(flow, sizeof flow, "f%u", i * 29 % 1200);
        snprintf(id, sizeof id, "again %u", i);
        struct kvr_query q = unit_waiting_query(&p, 10, NULL, flow);
        cr_assert(!unit_waiting_ask(&p, id, &q));
    }
    unit_pair_check_all(&p);
    char live[32] = "last";
    for (unsigned i = 0; i < 40; i++) {
        unit_pair_end(&p, live);
        snprintf(live, sizeof live, "%s", unit_waiting_admitted(&p));
        cr_assert(*live);
    }
    unit_pair_check_all(&p);
    unit_pair_free(&p);
}
