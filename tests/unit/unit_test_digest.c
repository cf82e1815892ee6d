// SPDX-License-Identifier: Apache-2.0
// The digest shows every piece of logical state, and nothing else.
#include <criterion/criterion.h>
#include <string.h>

#include "unit_pair.h"

static const uint64_t hashes[] = {1, 2, 3, 4, 5, 6, 7, 8}, others[] = {1, 2, 30, 4};

static void start(struct unit_pair *p) {
    struct kvr_options o;
    kvr_options_default(&o);
    unit_pair_init(p, &o, "digests");
    struct kvr_worker_settings w = {.set = KVR_SET_RANKS, .ranks = 2};
    unit_pair_worker_set(p, text("a"), &w);
    unit_pair_worker_set(p, text("b"), &w);
    struct kvr_pool_op op = {.kind = KVR_STORED, .hashes = hashes, .n = 4};
    unit_pair_event(p, text("a"), 0, 1, 1, &op, 1, false);
    struct kvr_booking b = {.hashes = hashes, .n = 3, .isl = 50, .lease = 100};
    unit_pair_claim(p, text("r"), text("a"), 0, &b);
}

// ---- One change each -----------------------------------------------------------------------------

static void option(struct unit_pair *p, int field) {
    struct kvr_options o = *kvr_pool_options(p->pool);
    double *doubles[] = {&o.rule.overlap,     &o.rule.prefill, &o.rule.requests,
                         &o.rule.temperature, &o.host,         &o.disk};
    int64_t *times[] = {&o.lease,       &o.worker_ttl, &o.worker_grace, &o.predict,
                        &o.session_ttl, &o.slo_ttft,   &o.slo_tbt,      &o.open_time};
    if (field < 6)
        *doubles[field] = 0.5;
    else if (field < 14)
        *times[field - 6] += 1;
    else if (field == 14)
        o.stick = 0.5;
    else if (field == 15)
        o.failures++;
    else
        o.rule.policy = 0;
    cr_assert(unit_pair_alter(p, &o) == KVR_OK);
}

static void set_worker(struct unit_pair *p, int field) {
    static const struct kvr_bytes labels[] = {{"a", 1}, {"b", 1}, {"ab", 2}};
    static const struct kvr_worker_settings sets[] = {
        {.set = KVR_SET_ADDR, .addr = {"x", 1}},
        {.set = KVR_SET_RANKS, .ranks = 3},
        {.set = KVR_SET_CAPACITY, .capacity = 1},
        {.set = KVR_SET_STATE, .state = KVR_DRAINING},
        {.set = KVR_SET_TTL, .ttl = 9},
        {.set = KVR_SET_TTL, .ttl = 0}, // its own, though it is the pool's
        {.set = KVR_SET_SPEED, .speed = 1},
        {.set = KVR_SET_SPEED, .speed = 2},
        {.set = KVR_SET_LABELS, .labels = labels, .n_labels = 1},
        {.set = KVR_SET_LABELS, .labels = labels + 1, .n_labels = 1},
        {.set = KVR_SET_LABELS, .labels = labels, .n_labels = 2},
        {.set = KVR_SET_LABELS, .labels = labels + 2, .n_labels = 1},
    };
    cr_assert(unit_pair_worker_set(p, text("b"), &sets[field]) == KVR_OK);
}

static void add_worker(struct unit_pair *p, int length) {
    struct kvr_worker_settings w = {0};
    unit_pair_worker_set(p, (struct kvr_bytes){"c\0d", (size_t)length}, &w);
}

static void delete_worker(struct unit_pair *p, int which) {
    unit_pair_worker_del(p, text(which ? "b" : "a"));
}

static void event(struct unit_pair *p, int which) {
    static const struct {
        const char *worker;
        uint32_t rank;
        uint64_t epoch, seq;
        struct kvr_pool_op op;
    } events[] = {
        {"a", 0, 1, 2, {.kind = KVR_REMOVED}}, // the seq alone
        {"a", 0, 2, 1, {.kind = KVR_STORED, .hashes = hashes, .n = 4}},
        {"b", 0, 1, 1, {.kind = KVR_STORED, .hashes = hashes, .n = 4}},
        {"b", 1, 1, 1, {.kind = KVR_STORED, .hashes = hashes, .n = 4}},
        {"b", 1, 1, 1, {.kind = KVR_STORED, .tier = KVR_HOST, .hashes = hashes, .n = 4}},
        {"b", 1, 1, 1, {.kind = KVR_STORED, .tier = KVR_DISK, .hashes = hashes, .n = 4}},
        {"a", 0, 1, 2, {.kind = KVR_REMOVED, .hashes = hashes + 3, .n = 1}},
        {"a", 0, 1, 2, {.kind = KVR_REMOVED, .hashes = hashes + 1, .n = 1}},
        {"a", 0, 1, 2, {.kind = KVR_CLEARED, .tier = -1}},
        {"b", 0, 7, 1, {.kind = KVR_REMOVED}},
        {"b", 0, 8, 1, {.kind = KVR_REMOVED}},
    };
    const struct kvr_pool_op *op = &events[which].op;
    cr_assert(unit_pair_event(p, text(events[which].worker), events[which].rank,
                              events[which].epoch, events[which].seq, op, 1, false) == KVR_OK);
}

static void update(struct unit_pair *p, int which) {
    unit_pair_update(p, text("r"), which == 0, which == 1 ? 5 : -1, which == 2 ? 70 : -1);
}

static void claim(struct unit_pair *p, int which) {
    static const struct kvr_booking bookings[] = {
        {.hashes = hashes, .n = 3, .isl = 60},
        {.hashes = hashes, .n = 4, .isl = 60},
        {.hashes = others, .n = 3, .isl = 60},
        {.hashes = others, .n = 4, .isl = 60},
        {.hashes = hashes, .n = 3, .isl = 61},
        {.hashes = hashes, .n = 3, .isl = 60, .osl = 1},
        {.hashes = hashes, .n = 3, .isl = 60, .cached = 1},
        {.hashes = hashes, .n = 3, .isl = 60, .output = 1},
        {.hashes = hashes, .n = 3, .isl = 60, .prefilled = true},
        {.hashes = hashes, .n = 3, .isl = 60, .lease = 5},
        {.isl = 60},
        {.isl = 60, .session = {"x", 1}},
        {.isl = 60, .session = {"y", 1}},
    };
    unit_pair_claim(p, text("s"), text("a"), 0, &bookings[which]);
}

static void claim_elsewhere(struct unit_pair *p, int which) {
    struct kvr_booking b = {.hashes = hashes, .n = 3, .isl = 60};
    unit_pair_claim(p, text(which == 2 ? "t" : "s"), text(which ? "b" : "a"), 1, &b);
}

static void release(struct unit_pair *p, int which) {
    (void)which;
    struct kvr_bytes id = text("r");
    unit_pair_release(p, &id, 1);
}

// Where a session is, without a request of it; and a request of one that is forgotten.
static void visit(struct unit_pair *p, int which) {
    struct kvr_booking b = {.isl = 60, .session = text(which == 1 ? "y" : "x")};
    struct kvr_bytes id = text("s");
    unit_pair_claim(p, id, text(which == 2 ? "b" : "a"), which == 3, &b);
    if (which == 4)
        unit_pair_session_del(p, &b.session, 1);
    else
        unit_pair_release(p, &id, 1);
}

static const struct {
    void (*change)(struct unit_pair *p, int which);
    int n;
} changes[] = {
    {option, 17}, {set_worker, 12}, {add_worker, 4}, {delete_worker, 2},   {event, 11},
    {update, 3},  {claim, 13},      {release, 1},    {claim_elsewhere, 3}, {visit, 5},
};

// All states that one change leads to are different, and each has the digest of its copy.
Test(digest, shows_every_change) {
    static uint8_t seen[96][KVR_DIGEST_BYTES];
    static struct unit_pair p;
    size_t n = 0;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        for (int k = 0; k < changes[i].n; k++) {
            if (changes[i].change == add_worker && k == 0) continue; // an empty name is none
            start(&p);
            changes[i].change(&p, k);
            kvr_pool_digest(p.pool, seen[n]);
            for (size_t m = 0; m < n; m++)
                cr_assert(memcmp(seen[m], seen[n], KVR_DIGEST_BYTES) != 0, "change %zu %d", i, k);
            n++;
            unit_pair_check_rebuilt(&p, n);
            unit_pair_reload(&p);
            unit_pair_free(&p);
        }
    start(&p); // and none is the state that was before
    kvr_pool_digest(p.pool, seen[n]);
    for (size_t m = 0; m < n; m++)
        cr_assert(memcmp(seen[m], seen[n], KVR_DIGEST_BYTES) != 0);
    unit_pair_free(&p);
}

// Questions, refusals, repeats, sweeps and the passing of time leave it.
Test(digest, shows_nothing_else) {
    static struct unit_pair p;
    start(&p);
    uint8_t before[KVR_DIGEST_BYTES], after[KVR_DIGEST_BYTES];
    kvr_pool_digest(p.pool, before);
    struct kvr_query q = {.hashes = hashes, .n = 8, .isl = -1};
    q.rule = kvr_pool_options(p.pool)->rule;
    unit_pair_scores(&p, &q);
    unit_pair_select(&p, text("r"), &q, -1, 0); // live: a repeat
    struct kvr_pool_op op = {.kind = KVR_STORED, .hashes = others, .n = 4};
    unit_pair_event(&p, text("a"), 0, 1, 1, &op, 1, false); // a repeat
    unit_pair_event(&p, text("a"), 0, 1, 3, &op, 1, false); // a gap
    unit_pair_event(&p, text("a"), 0, 1, 2, &op, 1, false); // a wrong chain
    p.now += 1000000;
    unit_pair_renew_all(&p);
    unit_pair_sweep(&p, 100);
    struct kvr_worker_settings heartbeat = {0};
    unit_pair_worker_set(&p, text("a"), &heartbeat);
    unit_pair_update(&p, text("r"), false, -1, -1);
    unit_pair_update(&p, text("nobody"), true, 5, 5);
    unit_pair_reload(&p);
    kvr_pool_digest(p.pool, after);
    cr_assert(memcmp(before, after, sizeof before) == 0);
    // What goes as it came leaves no trace.
    op.hashes = hashes;
    op.n = 8;
    struct kvr_booking b = {.hashes = others, .n = 4, .isl = -1};
    unit_pair_claim(&p, text("s"), text("b"), 0, &b);
    struct kvr_bytes id = text("s");
    unit_pair_release(&p, &id, 1);
    add_worker(&p, 1);
    unit_pair_event(&p, text("c"), 0, 1, 1, &op, 1, false);
    unit_pair_worker_del(&p, text("c"));
    kvr_pool_digest(p.pool, after);
    cr_assert(memcmp(before, after, sizeof before) == 0);
    unit_pair_free(&p);
}
