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
static void sweep(struct unit_pair *p) {
    unit_pair_sweep(p, 1000);
}

static const struct {
    const char *name;
    void (*act)(struct unit_pair *p);
} operations[] = {
    {"create worker", create_worker},
    {"more ranks", more_ranks},
    {"fewer ranks", fewer_ranks},
    {"delete worker", delete_worker},
    {"alter", alter},
    {"store new", store_new},
    {"store branch", store_branch},
    {"store held", store_held},
    {"store hole", store_hole},
    {"remove middle", remove_middle},
    {"clear all", clear_all},
    {"new epoch", new_epoch},
    {"many ops", many_ops},
    {"refused", refused},
    {"moved", moved},
    {"scores", scores},
    {"select", choose},
    {"select in a new session", choose_in_session},
    {"select in a known session", choose_in_known_session},
    {"relabel", relabel},
    {"forget sessions", forget_sessions},
    {"open a circuit", fail_thrice},
    {"repeat", choose_repeat},
    {"claim", book},
    {"update", update},
    {"release", release},
    {"forget", forget},
    {"sweep", sweep},
    {"save and load", unit_pair_reload},
};

// The k-th allocation of the operation fails, and with `from` all after it, too. False: there were
// fewer. Whatever becomes of the operation, pool and model agree, and it can be done afterwards.
static bool with_failure(void (*act)(struct unit_pair *p), const char *name, uint64_t k,
                         bool from) {
    static struct unit_pair p;
    prepare(&p);
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
            while (with_failure(operations[i].act, operations[i].name, k, from))
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
    static struct unit_pair p;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        bool failed = true;
        for (uint64_t k = 1; failed; k++) {
            struct unit_traffic t;
            char label[64];
            snprintf(label, sizeof label, "seed %lu, allocation %lu", (unsigned long)seed,
                     (unsigned long)k);
            unit_traffic_init(&t, &f, (struct unit_source){.state = seed}, &p, label);
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
