// SPDX-License-Identifier: Apache-2.0
// Running out of memory: for every kind of operation, its first allocation fails, then its second,
// and so on until it succeeds. Each time the pool must be as it was, and in the end nothing is left.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/support_alloc.h"
#include "unit_traffic.h"

enum { UNIT_ALLOC_CHAIN = 700 };
static uint64_t chain[UNIT_ALLOC_CHAIN], branch[40];

static void add_worker(struct unit_pair *p, const char *name, uint32_t ranks) {
    struct kvr_bytes labels[] = {text("gpu=a"), text("zone=1"), text("gpu=a")};
    struct kvr_worker_settings w = {.set = 127,
                                    .addr = {"10.0.0.1", 8},
                                    .ranks = ranks,
                                    .capacity = 500,
                                    .labels = labels,
                                    .n_labels = 3};
    unit_pair_worker_set(p, text(name), &w);
}

// A pool in which every structure holds something: a long chain, branches, partial holders in three
// tiers, requests that share and don't, predictions.
static void prepare(struct unit_pair *p) {
    for (int i = 0; i < UNIT_ALLOC_CHAIN; i++)
        chain[i] = 0x1000 + (uint64_t)i * 0x9e3779b97f4a7c15u;
    for (int i = 0; i < 40; i++)
        branch[i] = 0x2000 + (uint64_t)i * 0xd6e8feb86659fd93u;
    struct kvr_options o;
    kvr_options_default(&o);
    o.predict = 1000;
    unit_pair_init(p, &o, "running out of memory");
    static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
    for (uint32_t i = 0; i < 6; i++) {
        add_worker(p, names[i], 1 + i % 2);
        struct kvr_pool_op ops[] = {
            {.kind = KVR_STORED, .tier = (int)i % 3, .hashes = chain, .n = 300 + 50 * i},
            {.kind = KVR_REMOVED, .tier = (int)i % 3, .hashes = chain + 100, .n = 10 * i},
        };
        unit_pair_event(p, text(names[i]), 0, 1, 1, ops, 2, false);
        struct kvr_booking b = {
            .hashes = chain, .n = 100 + i, .isl = -1, .predict_until = p->now + 9};
        char id[16], session[16];
        snprintf(id, sizeof id, "request %u", i);
        snprintf(session, sizeof session, "session %u", i % 4);
        b.session = text(i % 3 ? session : "");
        unit_pair_claim(p, text(id), text(names[i]), 0, &b);
    }
}

// ---- The operations ------------------------------------------------------------------------------

static void create_worker(struct unit_pair *p) {
    add_worker(p, "new", 9);
}
static void more_ranks(struct unit_pair *p) {
    add_worker(p, "c", 64);
}
static void fewer_ranks(struct unit_pair *p) {
    add_worker(p, "b", 1);
}
static void delete_worker(struct unit_pair *p) {
    unit_pair_worker_del(p, text("d"));
}
static void alter(struct unit_pair *p) {
    struct kvr_options o = *kvr_pool_options(p->pool);
    o.rule.requests = 4;
    unit_pair_alter(p, &o);
}
static void store_new(struct unit_pair *p) {
    struct kvr_pool_op op = {.kind = KVR_STORED, .hashes = branch, .n = 40};
    unit_pair_event(p, text("a"), 0, 1, 2, &op, 1, false);
}
static void store_branch(struct unit_pair *p) { // splits a run that many hold
    struct kvr_pool_op op = {KVR_STORED, KVR_HOST, true, chain[33], branch, 20};
    unit_pair_event(p, text("a"), 0, 1, 2, &op, 1, false);
}
static void store_held(struct unit_pair *p) { // becomes a holder of many runs
    struct kvr_pool_op op = {.kind = KVR_STORED, .tier = KVR_DISK, .hashes = chain, .n = 500};
    unit_pair_event(p, text("a"), 0, 1, 2, &op, 1, false);
}
static void store_hole(struct unit_pair *p) { // from the middle of a run on
    struct kvr_pool_op op = {KVR_STORED, KVR_DISK, true, chain[10], chain + 11, 30};
    unit_pair_event(p, text("a"), 0, 1, 2, &op, 1, false);
}
static void remove_middle(struct unit_pair *p) {
    struct kvr_pool_op op = {.kind = KVR_REMOVED, .tier = KVR_HOST, .hashes = chain + 20, .n = 7};
    unit_pair_event(p, text("b"), 0, 1, 2, &op, 1, false);
}
static void clear_all(struct unit_pair *p) {
    struct kvr_pool_op op = {.kind = KVR_CLEARED, .tier = -1};
    unit_pair_event(p, text("f"), 0, 1, 2, &op, 1, false);
}
static void new_epoch(struct unit_pair *p) {
    struct kvr_pool_op op = {.kind = KVR_STORED, .hashes = chain, .n = 12};
    unit_pair_event(p, text("f"), 0, 2, 1, &op, 1, false);
}
static void many_ops(struct unit_pair *p) {
    struct kvr_pool_op ops[] = {
        {.kind = KVR_REMOVED, .hashes = chain + 50, .n = 5},
        {KVR_STORED, KVR_DEVICE, true, chain[5], branch, 10},
        {.kind = KVR_CLEARED, .tier = KVR_DEVICE},
        {KVR_STORED, KVR_HOST, true, chain[7], branch + 10, 10},
        {.kind = KVR_STORED, .tier = KVR_DISK, .hashes = chain, .n = 60},
    };
    unit_pair_event(p, text("a"), 0, 1, 2, ops, 5, true);
}
static void refused(struct unit_pair *p) { // half of it is done before the wrong parent is met
    struct kvr_pool_op ops[] = {
        {KVR_STORED, KVR_HOST, true, chain[8], branch, 20},
        {.kind = KVR_REMOVED, .hashes = chain, .n = 90},
        {KVR_STORED, KVR_HOST, true, chain[9], branch, 20},
    };
    unit_pair_event(p, text("a"), 0, 1, 2, ops, 3, false);
}
static void moved(struct unit_pair *p) { // a leaf that nobody else holds comes back elsewhere
    struct kvr_pool_op ops[] = {
        {.kind = KVR_REMOVED, .tier = KVR_DISK, .hashes = chain + 540, .n = 10},
        {KVR_STORED, KVR_DEVICE, true, chain[2], chain + 545, 5},
    };
    unit_pair_event(p, text("f"), 0, 1, 2, ops, 2, false);
}
static struct kvr_query query(struct unit_pair *p, size_t n) {
    struct kvr_query q = {.hashes = chain, .n = n, .isl = -1, .osl = 100};
    q.rule = kvr_pool_options(p->pool)->rule;
    return q;
}
static void scores(struct unit_pair *p) {
    struct kvr_query q = query(p, 200);
    unit_pair_scores(p, &q);
}
static void choose(struct unit_pair *p) {
    struct kvr_query q = query(p, 77); // within what others have: splits their paths
    unit_pair_select(p, text("new request"), &q, -1, 0);
}
static void choose_repeat(struct unit_pair *p) {
    struct kvr_query q = query(p, 77);
    unit_pair_select(p, text("request 3"), &q, -1, 0);
}
static void choose_in_session(struct unit_pair *p) { // one that nobody has heard of
    struct kvr_query q = query(p, 77);
    q.session = text("a new session");
    unit_pair_select(p, text("new request"), &q, -1, 0);
}
static void choose_in_known_session(struct unit_pair *p) {
    struct kvr_query q = query(p, 90);
    q.session = text("session 1");
    unit_pair_select(p, text("new request"), &q, -1, 0);
}
static void relabel(struct unit_pair *p) {
    struct kvr_bytes labels[] = {text("b"), text("a"), text("c"), text("a")};
    struct kvr_worker_settings w = {
        .set = KVR_SET_LABELS | KVR_SET_SPEED, .speed = 2, .labels = labels, .n_labels = 4};
    unit_pair_worker_set(p, text("c"), &w);
}
static void book(struct unit_pair *p) {
    struct kvr_booking b = {.hashes = branch, .n = 40, .isl = -1, .lease = 7, .predict_until = 5};
    b.session = text("booked by hand");
    unit_pair_claim(p, text("another"), text("e"), 0, &b);
}
static void forget_sessions(struct unit_pair *p) {
    struct kvr_bytes names[] = {text("session 1"), text("nobody"), text("session 2")};
    unit_pair_session_del(p, names, 3);
}
static void fail_thrice(struct unit_pair *p) {
    for (int i = 0; i < 3; i++)
        unit_pair_report(p, text("d"), false);
}
static void update(struct unit_pair *p) { // a request without a lease gets one
    unit_pair_update(p, text("request 0"), true, 1000, 50);
}
static void release(struct unit_pair *p) {
    struct kvr_bytes ids[] = {text("request 0"), text("nobody"), text("request 5")};
    unit_pair_release(p, ids, 3);
}
static void forget(struct unit_pair *p) {
    p->now += 10;
    unit_pair_forget(p, 3);
}
// ---- The same of a pool in which some wait -------------------------------------------------------

static void queue_up(struct unit_pair *p) {
    struct kvr_class_info c = {.priority = 1, .weight = 2, .max_waiting = 50, .room = 90};
    struct kvr_flow_info f = {.weight = 3, .max_requests = 4, .rate = 1000, .burst = 5000};
    struct kvr_options o = *kvr_pool_options(p->pool);
    o.max_requests = 1;
    unit_pair_alter(p, &o);
    unit_pair_class_set(p, text("class"), 15, &c);
    unit_pair_flow_set(p, text("flow"), 15, &f);
    for (int i = 0; i < 8; i++) {
        char id[16];
        struct kvr_query q = query(p, 20u + (unsigned)i);
        snprintf(id, sizeof id, "waiting %d", i);
        q.wait = 1000 + 10 * i;
        if (i % 2) q.service_class = text("class");
        if (i % 3) q.flow = text(i % 3 == 1 ? "flow" : "another");
        if (i % 4 == 1) q.notify = text("a channel");
        unit_pair_select(p, text(id), &q, -1, 0);
    }
}
static void wait_alone(struct unit_pair *p) { // in a line of its own
    struct kvr_bytes names[] = {text("a"), text("nobody")}, labels[] = {text("gpu=b")};
    struct kvr_query q = query(p, 77);
    q.has_among = true;
    q.among = names;
    q.n_among = q.n_exclude = 2;
    q.exclude = names;
    q.with = q.without = labels;
    q.n_with = q.n_without = 1;
    q.session = text("a session");
    q.flow = text("a new flow");
    q.notify = text("a channel");
    q.wait = 5;
    unit_pair_select(p, text("new request"), &q, 7, 0);
}
static void wait_in_line(struct unit_pair *p) {
    struct kvr_query q = query(p, 77);
    q.service_class = text("class");
    q.flow = text("flow");
    q.wait = 5;
    unit_pair_select(p, text("new request"), &q, 7, 0);
}
static void tell_another(struct unit_pair *p) {
    struct kvr_query q = query(p, 77);
    q.notify = text("a channel with a longer name than the one before");
    unit_pair_select(p, text("waiting 2"), &q, 7, 0);
}
static void room_comes(struct unit_pair *p) {
    struct kvr_bytes ids[] = {text("request 0"), text("request 1")};
    unit_pair_release(p, ids, 2);
    size_t looks = 64;
    for (int i = 0; i < 4; i++)
        unit_pair_admit(p, &looks, 0);
}
static void end_waiting(struct unit_pair *p) {
    p->now += 1030;
    unit_pair_end_waiting(p, 3);
}
static void claim_waiting(struct unit_pair *p) {
    struct kvr_booking b = {.hashes = branch, .n = 40, .isl = -1};
    b.service_class = text("class");
    b.flow = text("flow");
    unit_pair_claim(p, text("waiting 3"), text("e"), 0, &b);
}
static void release_waiting(struct unit_pair *p) {
    struct kvr_bytes ids[] = {text("waiting 0"), text("request 0"), text("waiting 5")};
    unit_pair_release(p, ids, 3);
}
static void new_class(struct unit_pair *p) {
    struct kvr_class_info c = {.weight = 1, .room = 50};
    unit_pair_class_set(p, text("a new class"), 15, &c);
}
static void other_priority(struct unit_pair *p) {
    struct kvr_class_info c = {.priority = 7};
    unit_pair_class_set(p, text("class"), KVR_CLASS_PRIORITY, &c);
}
static void delete_class(struct unit_pair *p) {
    unit_pair_class_del(p, text("a new class"));
}
static void new_flow(struct unit_pair *p) {
    struct kvr_flow_info f = {.weight = 1, .rate = 7};
    unit_pair_flow_set(p, text("a new flow"), KVR_FLOW_WEIGHT | KVR_FLOW_RATE, &f);
}
static void limit_flow_in_use(struct unit_pair *p) {
    struct kvr_flow_info f = {.rate = 7};
    unit_pair_flow_set(p, text("another"), KVR_FLOW_RATE, &f);
}
static void delete_flow(struct unit_pair *p) {
    unit_pair_flow_del(p, text("flow"));
}

static void sweep(struct unit_pair *p) {
    unit_pair_sweep(p, 1000);
}

static const struct {
    const char *name;
    void (*act)(struct unit_pair *p);
    void (*before)(struct unit_pair *p); // NULL: nothing more
} operations[] = {
    {"create worker", create_worker, NULL},
    {"more ranks", more_ranks, NULL},
    {"fewer ranks", fewer_ranks, NULL},
    {"delete worker", delete_worker, NULL},
    {"alter", alter, NULL},
    {"store new", store_new, NULL},
    {"store branch", store_branch, NULL},
    {"store held", store_held, NULL},
    {"store hole", store_hole, NULL},
    {"remove middle", remove_middle, NULL},
    {"clear all", clear_all, NULL},
    {"new epoch", new_epoch, NULL},
    {"many ops", many_ops, NULL},
    {"refused", refused, NULL},
    {"moved", moved, NULL},
    {"scores", scores, NULL},
    {"select", choose, NULL},
    {"select in a new session", choose_in_session, NULL},
    {"select in a known session", choose_in_known_session, NULL},
    {"relabel", relabel, NULL},
    {"forget sessions", forget_sessions, NULL},
    {"open a circuit", fail_thrice, NULL},
    {"repeat", choose_repeat, NULL},
    {"claim", book, NULL},
    {"update", update, NULL},
    {"release", release, NULL},
    {"forget", forget, NULL},
    {"sweep", sweep, NULL},
    {"save and load", unit_pair_reload, NULL},
    {"wait alone", wait_alone, queue_up},
    {"wait in line", wait_in_line, queue_up},
    {"tell another", tell_another, queue_up},
    {"admit", room_comes, queue_up},
    {"end waiting", end_waiting, queue_up},
    {"claim who waits", claim_waiting, queue_up},
    {"release who waits", release_waiting, queue_up},
    {"new class", new_class, queue_up},
    {"other priority", other_priority, queue_up},
    {"delete class", delete_class, new_class},
    {"new flow", new_flow, queue_up},
    {"limit a flow", limit_flow_in_use, queue_up},
    {"delete flow", delete_flow, queue_up},
    {"save and load who waits", unit_pair_reload, queue_up},
};

// The k-th allocation of the operation fails, and with `from` all after it, too. False: there were
// fewer. Whatever becomes of the operation, pool and model agree, and it can be done afterwards.
static bool with_failure(size_t which, uint64_t k, bool from) {
    static struct unit_pair p;
    const char *name = operations[which].name;
    void (*act)(struct unit_pair * p) = operations[which].act;
    prepare(&p);
    if (operations[which].before) operations[which].before(&p);
    snprintf(p.label, sizeof p.label, "%s, allocation %lu fails", name, (unsigned long)k);
    p.mem.fail_at = p.mem.calls + k;
    p.mem.fail_from = from;
    act(&p);
    bool failed = p.mem.failures > 0;
    p.mem.fail_at = 0;
    unit_pair_check_all(&p);
    if (failed) {
        unit_pair_check_tree(&p);
        unit_pair_check_rebuilt(&p, k);
        if (p.no_memory) act(&p);
        unit_pair_check_all(&p);
        unit_pair_check_tree(&p);
    }
    unit_pair_free(&p);
    return failed;
}

Test(alloc, every_operation) {
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        for (int from = 0; from < 2; from++) {
            uint64_t k = 1;
            while (with_failure(i, k, from))
                k++;
            cr_assert(k < 10000);
        }
}

Test(alloc, creating_a_pool) {
    struct kvr_options o;
    kvr_options_default(&o);
    for (uint64_t k = 1;; k++) {
        struct support_alloc mem = {.fail_at = k};
        struct kvr_alloc a = support_alloc_use(&mem);
        struct kvr_pool *p = kvr_pool_new(&a, &o, k);
        bool failed = mem.failures > 0;
        cr_assert(failed == !p);
        kvr_pool_free(p);
        support_alloc_check_freed(&mem, "creating");
        if (!failed) break;
    }
}

Test(alloc, freeing_nothing) {
    kvr_pool_free(NULL);
    kvr_loader_free(NULL);
}

// One random operation in a random state, each of its allocations failing in turn.
Test(alloc, random_operations) {
    static const struct unit_profile f = {
        .name = "alloc",
        .nodes = 60,
        .straight = 75,
        .workers = 4,
        .ranks = 2,
        .requests = 12,
        .events = 60,
        .selects = 30,
        .requests_ops = 20,
        .workers_ops = 10,
        .holes = 50,
        .tiers = 3,
        .predict = 50,
        .capacity = 40,
        .reloads = 20,
        .check_every = 10,
    };
    struct unit_profile with_queue = f;
    with_queue.queue = 60;
    static struct unit_pair p;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        bool failed = true;
        for (uint64_t k = 1; failed; k++) {
            struct unit_traffic t;
            char label[64];
            snprintf(label, sizeof label, "seed %lu, allocation %lu", (unsigned long)seed,
                     (unsigned long)k);
            unit_traffic_init(&t, seed > 40 ? &with_queue : &f, (struct unit_source){.state = seed},
                              &p, label);
            for (int i = 0; i < 40; i++)
                unit_traffic_step(&t);
            p.mem.fail_at = p.mem.calls + k;
            unit_traffic_step(&t);
            failed = p.mem.failures > 0;
            p.mem.fail_at = 0;
            if (failed) unit_traffic_check(&t);
            unit_traffic_free(&t);
        }
    }
}
