// SPDX-License-Identifier: Apache-2.0
// What is out of range is refused and changes nothing; what is just within is taken.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/support_alloc.h"
#include "unit_pair.h"

static char letters[KVR_MAX_ADDR + 1];

static struct kvr_bytes of_length(size_t n) {
    memset(letters, 'n', sizeof letters);
    return (struct kvr_bytes){letters, n};
}

static void start(struct unit_pair *p) {
    struct kvr_options o;
    kvr_options_default(&o);
    unit_pair_init(p, &o, "limits");
    unit_pair_add_worker(p, "w", 1);
}

// The answer, and that a refusal changed neither state nor version.
static void expect(struct unit_pair *p, enum kvr_err got, enum kvr_err want, const char *what) {
    cr_assert(got == want, "%s: %d instead of %d", what, got, want);
    unit_pair_check_all(p);
}

Test(limits, workers) {
    static struct unit_pair p;
    start(&p);
    static struct kvr_bytes labels[KVR_MAX_LABELS + 1];
    static const struct kvr_bytes empty = {letters, 0}, long_one = {letters, KVR_MAX_LABEL};
    static const struct kvr_bytes too_long = {letters, KVR_MAX_LABEL + 1};
    for (int i = 0; i <= KVR_MAX_LABELS; i++)
        labels[i] = (struct kvr_bytes){letters, 1 + (size_t)i};
    static const struct {
        const char *what;
        size_t name;
        struct kvr_worker_settings set;
        enum kvr_err want;
    } cases[] = {
        {"an empty name", 0, {0}, KVR_RANGE},
        {"a long name", KVR_MAX_NAME, {0}, KVR_OK},
        {"too long a name", KVR_MAX_NAME + 1, {0}, KVR_RANGE},
        {"a long address", 1, {.set = KVR_SET_ADDR, .addr = {letters, KVR_MAX_ADDR}}, KVR_OK},
        {"too long an address", 1, {.set = KVR_SET_ADDR, .addr = {letters, 513}}, KVR_RANGE},
        {"no ranks", 1, {.set = KVR_SET_RANKS}, KVR_RANGE},
        {"many ranks", 1, {.set = KVR_SET_RANKS, .ranks = KVR_MAX_RANKS}, KVR_OK},
        {"too many ranks", 1, {.set = KVR_SET_RANKS, .ranks = KVR_MAX_RANKS + 1}, KVR_RANGE},
        {"a capacity", 1, {.set = KVR_SET_CAPACITY, .capacity = (uint64_t)1 << 53}, KVR_OK},
        {"too much", 1, {.set = KVR_SET_CAPACITY, .capacity = ((uint64_t)1 << 53) + 1}, KVR_RANGE},
        {"expired by hand", 1, {.set = KVR_SET_STATE, .state = KVR_EXPIRED}, KVR_RANGE},
        {"a long time", 1, {.set = KVR_SET_TTL, .ttl = KVR_MAX_MS}, KVR_OK},
        {"too long a time", 1, {.set = KVR_SET_TTL, .ttl = KVR_MAX_MS + 1}, KVR_RANGE},
        {"a time before", 1, {.set = KVR_SET_TTL, .ttl = -1}, KVR_RANGE},
        {"a speed", 1, {.set = KVR_SET_SPEED, .speed = KVR_MAX_SPEED}, KVR_OK},
        {"no speed", 1, {.set = KVR_SET_SPEED, .speed = 0}, KVR_OK},
        {"too fast", 1, {.set = KVR_SET_SPEED, .speed = 1.1 * KVR_MAX_SPEED}, KVR_RANGE},
        {"backwards", 1, {.set = KVR_SET_SPEED, .speed = -1}, KVR_RANGE},
        {"not a speed", 1, {.set = KVR_SET_SPEED, .speed = NAN}, KVR_RANGE},
        {"many labels",
         1,
         {.set = KVR_SET_LABELS, .labels = labels, .n_labels = KVR_MAX_LABELS},
         KVR_OK},
        {"too many labels",
         1,
         {.set = KVR_SET_LABELS, .labels = labels, .n_labels = KVR_MAX_LABELS + 1},
         KVR_RANGE},
        {"an empty label", 1, {.set = KVR_SET_LABELS, .labels = &empty, .n_labels = 1}, KVR_RANGE},
        {"a long label", 1, {.set = KVR_SET_LABELS, .labels = &long_one, .n_labels = 1}, KVR_OK},
        {"too long a label",
         1,
         {.set = KVR_SET_LABELS, .labels = &too_long, .n_labels = 1},
         KVR_RANGE},
        {"no labels", 1, {.set = KVR_SET_LABELS}, KVR_OK},
        {"fields that aren't named",
         1,
         {.ranks = 9999, .ttl = -7, .state = 77, .speed = -1, .n_labels = 999},
         KVR_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect(&p, unit_pair_worker_set(&p, of_length(cases[i].name), &cases[i].set), cases[i].want,
               cases[i].what);
    expect(&p, unit_pair_worker_del(&p, text("nobody")), KVR_NOWORKER, "deleting nobody");
    unit_pair_free(&p);
}

Test(limits, instances) {
    static struct unit_pair p;
    start(&p);
    struct kvr_worker_settings w = {.set = KVR_SET_RANKS, .ranks = KVR_MAX_RANKS};
    char name[16];
    for (int i = 0; i < 63; i++) {
        snprintf(name, sizeof name, "w%d", i);
        cr_assert(unit_pair_worker_set(&p, text(name), &w) == KVR_OK);
    }
    unit_pair_check(&p);
    cr_assert(unit_pair_worker_set(&p, text("last"), &w) == KVR_LIMIT);
    w.ranks = 1021;
    cr_assert(unit_pair_worker_set(&p, text("last"), &w) == KVR_OK);
    w.ranks = 2; // 65,534 there are: one more may come
    cr_assert(unit_pair_worker_set(&p, text("other"), &w) == KVR_LIMIT);
    cr_assert(unit_pair_worker_set(&p, text("w"), &w) == KVR_OK);
    w.ranks = 3;
    cr_assert(unit_pair_worker_set(&p, text("w"), &w) == KVR_LIMIT);
    w.ranks = 1;
    cr_assert(unit_pair_worker_set(&p, text("other"), &w) == KVR_LIMIT);
    unit_pair_check(&p);
    cr_assert(unit_pair_worker_del(&p, text("w7")) == KVR_OK);
    cr_assert(unit_pair_worker_set(&p, text("other"), &w) == KVR_OK);
    unit_pair_reload(&p);
    unit_pair_check(&p);
    unit_pair_free(&p);
}

enum {
    UNIT_LIMITS_WEIGHTS = 5,
    UNIT_LIMITS_DOUBLES = 7,
    UNIT_LIMITS_OPTIONS = 15,
    UNIT_LIMITS_FROM_ONE = 12
}; // the last three begin at 1
static void set_option(struct kvr_options *o, int field, double x) {
    double *doubles[] = {
        &o->rule.overlap, &o->rule.prefill, &o->rule.requests, &o->rule.temperature,
        &o->stick,        &o->host,         &o->disk};
    int64_t *times[] = {&o->lease,       &o->worker_ttl, &o->worker_grace, &o->predict,
                        &o->session_ttl, &o->slo_ttft,   &o->slo_tbt,      &o->open_time};
    if (field < UNIT_LIMITS_DOUBLES)
        *doubles[field] = x;
    else
        *times[field - UNIT_LIMITS_DOUBLES] = x < 0   ? -1
                                              : x > 1 ? KVR_MAX_MS + (x > 2)
                                                      : (int64_t)x;
}

Test(limits, options) {
    static struct unit_pair p;
    start(&p);
    struct kvr_options o = *kvr_pool_options(p.pool);
    for (int field = 0; field < UNIT_LIMITS_OPTIONS; field++) {
        double most = field < UNIT_LIMITS_WEIGHTS   ? KVR_MAX_WEIGHT
                      : field < UNIT_LIMITS_DOUBLES ? 1
                                                    : 2;
        double above = field < UNIT_LIMITS_DOUBLES ? nextafter(most, INFINITY) : 3;
        const double good[] = {field >= UNIT_LIMITS_FROM_ONE, most},
                     bad[] = {-1, above, -INFINITY, INFINITY};
        for (int i = 0; i < 2; i++) {
            struct kvr_options with = o;
            set_option(&with, field, good[i]);
            expect(&p, unit_pair_alter(&p, &with), KVR_OK, "an option within");
        }
        for (int i = 0; i < 4; i++) {
            struct kvr_options with = o;
            set_option(&with, field, bad[i]);
            expect(&p, unit_pair_alter(&p, &with), KVR_RANGE, "an option without");
        }
        if (field >= UNIT_LIMITS_DOUBLES) continue;
        struct kvr_options with = o;
        set_option(&with, field, NAN);
        expect(&p, unit_pair_alter(&p, &with), KVR_RANGE, "not a number");
    }
    struct kvr_alloc a = support_alloc_use(&p.mem);
    static const uint32_t sizes[] = {0, 4097, UINT32_MAX};
    for (int i = 0; i < 3; i++) {
        struct kvr_options with = o;
        with.block_size = sizes[i];
        cr_assert(!kvr_pool_new(&a, &with, 1));
        expect(&p, unit_pair_alter(&p, &with), KVR_RANGE, "another block size");
    }
    o.rule.policy = -1;
    expect(&p, unit_pair_alter(&p, &o), KVR_RANGE, "no policy");
    o.rule.policy = 1000;
    expect(&p, unit_pair_alter(&p, &o), KVR_RANGE, "no such policy");
    unit_pair_free(&p);
}

Test(limits, events) {
    static struct unit_pair p;
    start(&p);
    static uint64_t hashes[KVR_MAX_BLOCKS + 1];
    for (size_t i = 0; i <= KVR_MAX_BLOCKS; i++)
        hashes[i] = i * 0x9e3779b97f4a7c15u;
    struct kvr_pool_op op = {.kind = KVR_STORED, .hashes = hashes, .n = 1};
    struct kvr_bytes w = text("w");
    expect(&p, unit_pair_event(&p, w, 0, 0, 1, &op, 1, true), KVR_RANGE, "epoch 0");
    expect(&p, unit_pair_event(&p, w, 0, 1, 0, &op, 1, true), KVR_RANGE, "seq 0");
    expect(&p, unit_pair_event(&p, w, 0, (uint64_t)1 << 63, 1, &op, 1, true), KVR_RANGE,
           "epoch 2^63");
    expect(&p, unit_pair_event(&p, w, 1, 1, 1, &op, 1, true), KVR_NOWORKER, "no such rank");
    expect(&p, unit_pair_event(&p, text("v"), 0, 1, 1, &op, 1, true), KVR_NOWORKER,
           "no such worker");
    struct kvr_event_result out;
    op.tier = KVR_TIERS;
    cr_assert(kvr_event(p.pool, w, 0, 1, 1, &op, 1, true, &out) == KVR_RANGE);
    op.tier = -1;
    cr_assert(kvr_event(p.pool, w, 0, 1, 1, &op, 1, true, &out) == KVR_RANGE);
    op.tier = 0;
    op.n = KVR_MAX_BLOCKS + 1;
    cr_assert(kvr_event(p.pool, w, 0, 1, 1, &op, 1, true, &out) == KVR_LIMIT);
    unit_pair_check_all(&p);
    op.n = 1;
    expect(&p, unit_pair_event(&p, w, 0, INT64_MAX, 1, &op, 1, true), KVR_OK, "the last epoch");
    expect(&p, unit_pair_event(&p, w, 0, 1, 1, &op, 1, true), KVR_STALE, "an earlier epoch");
    expect(&p, unit_pair_event(&p, w, 0, INT64_MAX, 3, &op, 1, true), KVR_GAP, "a gap");
    expect(&p, unit_pair_event(&p, w, 0, INT64_MAX, 2, NULL, 0, true), KVR_OK, "no ops");
    op.has_parent = true;
    op.parent = 12345;
    op.n = 0;
    expect(&p, unit_pair_event(&p, w, 0, INT64_MAX, 3, &op, 1, true), KVR_NOPARENT,
           "nothing under a parent that isn't known");
    unit_pair_free(&p);
}

static int load_bytes(void *ctx, const void *bytes, size_t n) {
    struct kvr_loader **l = ctx;
    return kvr_loader_feed(*l, bytes, n) == KVR_OK ? 0 : -1;
}

// Times that no pool can be loaded with are refused; those that are taken can be.
Test(limits, times_of_workers) {
    static const int64_t bad[] = {-1, INT64_MIN, KVR_MAX_MS + 1, INT64_MAX};
    static const int64_t good[] = {0, 1, KVR_MAX_MS};
    struct support_alloc mem = {0};
    struct kvr_alloc a = support_alloc_use(&mem);
    struct kvr_options o;
    kvr_options_default(&o);
    struct kvr_worker_settings w = {0};
    int created;
    for (size_t i = 0; i < 4 + 3; i++) {
        struct kvr_pool *p = kvr_pool_new(&a, &o, 1);
        int64_t at = i < 4 ? bad[i] : good[i - 4];
        enum kvr_err want = i < 4 ? KVR_RANGE : KVR_OK;
        cr_expect(kvr_worker_set(p, at, text("w"), &w, &created) == want, "%lld", (long long)at);
        cr_assert(kvr_worker_set(p, 1, text("w"), &w, &created) == KVR_OK);
        cr_expect(kvr_worker_set(p, at, text("w"), &w, &created) == want, "%lld", (long long)at);
        struct kvr_loader *l = kvr_loader_new(&a, 1);
        cr_expect(kvr_pool_save(p, load_bytes, &l) == KVR_OK, "%lld", (long long)at);
        struct kvr_pool *again = kvr_loader_finish(l);
        cr_expect(again, "it can't be loaded again: %lld", (long long)at);
        kvr_pool_free(again);
        kvr_pool_free(p);
    }
    support_alloc_check_freed(&mem, "times");
}

// The longest list: stored, chosen, predicted, released.
Test(limits, longest_list) {
    struct support_alloc mem = {0};
    struct kvr_alloc a = support_alloc_use(&mem);
    struct kvr_options o;
    kvr_options_default(&o);
    o.predict = 10;
    struct kvr_pool *p = kvr_pool_new(&a, &o, 1);
    struct kvr_worker_settings w = {0};
    int created;
    cr_assert(kvr_worker_set(p, 1, text("w"), &w, &created) == KVR_OK);
    static uint64_t hashes[KVR_MAX_BLOCKS];
    for (size_t i = 0; i < KVR_MAX_BLOCKS; i++)
        hashes[i] = i * 0x9e3779b97f4a7c15u;
    struct kvr_pool_op op = {.kind = KVR_STORED, .hashes = hashes, .n = KVR_MAX_BLOCKS};
    struct kvr_event_result out;
    cr_assert(kvr_event(p, text("w"), 0, 1, 1, &op, 1, true, &out) == KVR_OK);
    struct kvr_query q = {.hashes = hashes, .n = KVR_MAX_BLOCKS, .isl = -1, .rule = o.rule};
    struct kvr_pool_choice c;
    struct kvr_booking b;
    cr_assert(kvr_select(p, 1, text("r"), &q, -1, 0, &c, &b) == KVR_OK);
    cr_assert(c.score.overlap == KVR_MAX_BLOCKS && c.blocks == KVR_MAX_BLOCKS);
    q.n++;
    cr_assert(kvr_select(p, 1, text("s"), &q, -1, 0, &c, &b) == KVR_LIMIT);
    struct kvr_stats s;
    kvr_pool_stats(p, 1, &s);
    cr_assert(s.holdings == KVR_MAX_BLOCKS && s.predicted == KVR_MAX_BLOCKS);
    cr_assert(!kvr_pool_validate(p));
    struct kvr_bytes id = text("r");
    int live;
    cr_assert(kvr_update(p, 2, id, true, -1, -1, &live) == KVR_OK && live);
    cr_assert(kvr_release(p, 3, &id, 1, KVR_RELEASED) == 1 && kvr_forget(p, 100, 1) == 1);
    op.kind = KVR_REMOVED;
    cr_assert(kvr_event(p, text("w"), 0, 1, 2, &op, 1, true, &out) == KVR_OK);
    kvr_pool_stats(p, 1, &s);
    cr_assert(s.holdings == 0 && s.blocks == 0 && s.predicted == 0);
    cr_assert(!kvr_pool_validate(p));
    kvr_pool_free(p);
    support_alloc_check_freed(&mem, "the longest list");
}

Test(limits, bookings) {
    static struct unit_pair p;
    start(&p);
    static const uint64_t hashes[] = {1, 2, 3, 4};
    static const struct {
        const char *what;
        size_t id;
        struct kvr_booking b;
        enum kvr_err want;
    } cases[] = {
        {"an empty id", 0, {.isl = 1}, KVR_RANGE},
        {"a long id", KVR_MAX_ID, {.isl = 1}, KVR_OK},
        {"too long an id", KVR_MAX_ID + 1, {.isl = 1}, KVR_RANGE},
        {"nothing at all", 1, {.isl = 0}, KVR_OK},
        {"the default length", 2, {.hashes = hashes, .n = 4, .isl = -1, .cached = 64}, KVR_OK},
        {"too much cached", 3, {.hashes = hashes, .n = 4, .isl = -1, .cached = 65}, KVR_RANGE},
        {"less than none cached", 3, {.isl = 5, .cached = -1}, KVR_RANGE},
        {"the longest prompt", 3, {.isl = KVR_MAX_TOKENS}, KVR_OK},
        {"too long a prompt", 4, {.isl = KVR_MAX_TOKENS + 1}, KVR_RANGE},
        {"the longest output", 4, {.isl = 1, .output = KVR_MAX_TOKENS}, KVR_OK},
        {"too long an output", 5, {.isl = 1, .output = KVR_MAX_TOKENS + 1}, KVR_RANGE},
        {"an output before", 5, {.isl = 1, .output = -1}, KVR_RANGE},
        {"the longest expected", 5, {.isl = 1, .osl = KVR_MAX_TOKENS}, KVR_OK},
        {"too much expected", 6, {.isl = 1, .osl = KVR_MAX_TOKENS + 1}, KVR_RANGE},
        {"less than none expected", 6, {.isl = 1, .osl = -1}, KVR_RANGE},
        {"the longest lease", 6, {.isl = 1, .lease = KVR_MAX_MS}, KVR_OK},
        {"too long a lease", 7, {.isl = 1, .lease = KVR_MAX_MS + 1}, KVR_RANGE},
        {"the longest session", 7, {.isl = 1, .session = {letters, KVR_MAX_ID}}, KVR_OK},
        {"too long a session", 8, {.isl = 1, .session = {letters, KVR_MAX_ID + 1}}, KVR_RANGE},
        {"before the epoch", 7, {.isl = 1, .created = -1}, KVR_RANGE},
        {"renewed before the epoch", 7, {.isl = 1, .renewed = -1}, KVR_RANGE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect(&p, unit_pair_claim(&p, of_length(cases[i].id), text("w"), 0, &cases[i].b),
               cases[i].want, cases[i].what);
    struct kvr_booking b = {.isl = 1};
    expect(&p, unit_pair_claim(&p, text("x"), text("w"), 1, &b), KVR_NOWORKER, "no such rank");
    expect(&p, unit_pair_claim(&p, text("x"), text("v"), 0, &b), KVR_NOWORKER, "no such worker");
    struct kvr_bytes live = of_length(1);
    expect(&p, unit_pair_update(&p, live, false, KVR_MAX_TOKENS, KVR_MAX_MS), KVR_OK, "the most");
    expect(&p, unit_pair_update(&p, live, false, KVR_MAX_TOKENS + 1, -1), KVR_RANGE, "too much");
    expect(&p, unit_pair_update(&p, live, false, -1, KVR_MAX_MS + 1), KVR_RANGE, "too long");
    unit_pair_free(&p);
}

Test(limits, queries) {
    static struct unit_pair p;
    start(&p);
    static const struct {
        struct kvr_rule rule;
        int64_t isl;
    } bad[] = {
        {{.overlap = -1}, 1},
        {{.prefill = NAN}, 1},
        {{.requests = 2e9}, 1},
        {{.temperature = INFINITY}, 1},
        {{.policy = 99}, 1},
        {{.policy = -1}, 1},
        {{.overlap = 1}, KVR_MAX_TOKENS + 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct kvr_query q = {.isl = bad[i].isl, .rule = bad[i].rule};
        const struct kvr_pool_score *s;
        struct kvr_pool_choice c;
        struct kvr_booking b;
        size_t n;
        cr_assert(kvr_scores(p.pool, p.now, &q, &s, &n) == KVR_RANGE, "case %zu", i);
        cr_assert(kvr_select(p.pool, p.now, text("r"), &q, -1, 0, &c, &b) == KVR_RANGE);
        unit_pair_check_all(&p);
    }
    struct kvr_query q = {.isl = 1};
    struct kvr_pool_choice c;
    struct kvr_booking b;
    static const int64_t too_much[] = {-1, KVR_MAX_TOKENS + 1};
    for (int i = 0; i < 2; i++) {
        q.osl = too_much[i];
        cr_assert(kvr_select(p.pool, p.now, text("r"), &q, -1, 0, &c, &b) == KVR_RANGE);
    }
    q.osl = 0;
    static struct kvr_bytes labels[KVR_MAX_LABELS + 1];
    q.with = q.without = labels;
    q.n_with = KVR_MAX_LABELS + 1;
    cr_assert(kvr_select(p.pool, p.now, text("r"), &q, -1, 0, &c, &b) == KVR_RANGE);
    q.n_with = 0;
    q.n_without = KVR_MAX_LABELS + 1;
    cr_assert(kvr_select(p.pool, p.now, text("r"), &q, -1, 0, &c, &b) == KVR_RANGE);
    q.n_without = 0;
    q.session = of_length(KVR_MAX_ID + 1);
    cr_assert(kvr_select(p.pool, p.now, text("r"), &q, -1, 0, &c, &b) == KVR_RANGE);
    q.session.n = 0;
    cr_assert(kvr_select(p.pool, p.now, text("r"), &q, KVR_MAX_MS + 1, 0, &c, &b) == KVR_RANGE);
    cr_assert(kvr_select(p.pool, p.now, of_length(0), &q, -1, 0, &c, &b) == KVR_RANGE);
    cr_assert(kvr_select(p.pool, p.now, of_length(257), &q, -1, 0, &c, &b) == KVR_RANGE);
    unit_pair_check_all(&p);
    unit_pair_free(&p);
}

Test(limits, classes) {
    static struct unit_pair p;
    start(&p);
    static const struct {
        const char *what;
        size_t name;
        unsigned set;
        struct kvr_class_info c;
        enum kvr_err want;
    } cases[] = {
        {"an empty name", 0, 0, {.priority = 0}, KVR_RANGE},
        {"a long name", KVR_MAX_ID, 0, {.priority = 0}, KVR_OK},
        {"too long a name", KVR_MAX_ID + 1, 0, {.priority = 0}, KVR_RANGE},
        {"the highest", 1, KVR_CLASS_PRIORITY, {.priority = KVR_MAX_PRIORITY}, KVR_OK},
        {"too high", 1, KVR_CLASS_PRIORITY, {.priority = KVR_MAX_PRIORITY + 1}, KVR_RANGE},
        {"the lowest", 1, KVR_CLASS_PRIORITY, {.priority = -KVR_MAX_PRIORITY}, KVR_OK},
        {"too low", 1, KVR_CLASS_PRIORITY, {.priority = -KVR_MAX_PRIORITY - 1}, KVR_RANGE},
        {"no weight", 1, KVR_CLASS_WEIGHT, {.weight = 0}, KVR_RANGE},
        {"less than no weight", 1, KVR_CLASS_WEIGHT, {.weight = -1}, KVR_RANGE},
        {"not a weight", 1, KVR_CLASS_WEIGHT, {.weight = NAN}, KVR_RANGE},
        {"a little weight", 1, KVR_CLASS_WEIGHT, {.weight = 1e-6}, KVR_OK},
        {"the largest weight", 1, KVR_CLASS_WEIGHT, {.weight = KVR_MAX_SHARE}, KVR_OK},
        {"too large a weight", 1, KVR_CLASS_WEIGHT, {.weight = 2 * KVR_MAX_SHARE}, KVR_RANGE},
        {"no end of weight", 1, KVR_CLASS_WEIGHT, {.weight = INFINITY}, KVR_RANGE},
        {"many", 1, KVR_CLASS_WAITING, {.max_waiting = KVR_MAX_WAITING}, KVR_OK},
        {"too many", 1, KVR_CLASS_WAITING, {.max_waiting = KVR_MAX_WAITING + 1}, KVR_RANGE},
        {"no room", 1, KVR_CLASS_ROOM, {.room = 0}, KVR_OK},
        {"all room", 1, KVR_CLASS_ROOM, {.room = 100}, KVR_OK},
        {"more room than there is", 1, KVR_CLASS_ROOM, {.room = 101}, KVR_RANGE},
        {"what isn't named", 1, 0, {.priority = 999, .weight = -1, .room = 999}, KVR_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect(&p, unit_pair_class_set(&p, of_length(cases[i].name), cases[i].set, &cases[i].c),
               cases[i].want, cases[i].what);
    struct kvr_class_info c = {0};
    for (unsigned i = 0; p.model.queue.n_classes < KVR_MAX_CLASSES; i++) {
        char name[16];
        snprintf(name, sizeof name, "class %u", i);
        cr_assert(unit_pair_class_set(&p, text(name), 0, &c) == KVR_OK);
    }
    expect(&p, unit_pair_class_set(&p, text("one more"), 0, &c), KVR_LIMIT, "one class more");
    expect(&p, unit_pair_class_set(&p, text("class 0"), 0, &c), KVR_OK, "one of them");
    expect(&p, unit_pair_class_del(&p, text("class 0")), KVR_OK, "deleting");
    expect(&p, unit_pair_class_set(&p, text("one more"), 0, &c), KVR_OK, "in its place");
    unit_pair_reload(&p);
    unit_pair_check_all(&p);
    unit_pair_free(&p);
}

Test(limits, flows) {
    static struct unit_pair p;
    start(&p);
    static const struct {
        const char *what;
        size_t name;
        unsigned set;
        struct kvr_flow_info f;
        enum kvr_err want;
    } cases[] = {
        {"an empty name", 0, 0, {.rate = 0}, KVR_RANGE},
        {"a long name", KVR_MAX_ID, 0, {.rate = 0}, KVR_OK},
        {"too long a name", KVR_MAX_ID + 1, 0, {.rate = 0}, KVR_RANGE},
        {"no weight", 1, KVR_FLOW_WEIGHT, {.weight = 0}, KVR_RANGE},
        {"not a weight", 1, KVR_FLOW_WEIGHT, {.weight = NAN}, KVR_RANGE},
        {"the largest weight", 1, KVR_FLOW_WEIGHT, {.weight = KVR_MAX_SHARE}, KVR_OK},
        {"too large a weight", 1, KVR_FLOW_WEIGHT, {.weight = 2 * KVR_MAX_SHARE}, KVR_RANGE},
        {"a rate below nothing", 1, KVR_FLOW_RATE, {.rate = -1}, KVR_RANGE},
        {"the highest rate", 1, KVR_FLOW_RATE, {.rate = KVR_MAX_TOKENS}, KVR_OK},
        {"too high a rate", 1, KVR_FLOW_RATE, {.rate = KVR_MAX_TOKENS + 1}, KVR_RANGE},
        {"a burst below nothing", 1, KVR_FLOW_BURST, {.burst = -1}, KVR_RANGE},
        {"the largest burst", 1, KVR_FLOW_BURST, {.burst = KVR_MAX_TOKENS}, KVR_OK},
        {"too large a burst", 1, KVR_FLOW_BURST, {.burst = KVR_MAX_TOKENS + 1}, KVR_RANGE},
        {"what isn't named", 1, 0, {.weight = -1, .rate = -1, .burst = -1}, KVR_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect(&p, unit_pair_flow_set(&p, of_length(cases[i].name), cases[i].set, &cases[i].f),
               cases[i].want, cases[i].what);
    // The largest numbers that may be put together.
    struct kvr_flow_info f = {.rate = KVR_MAX_TOKENS, .burst = KVR_MAX_TOKENS};
    cr_assert(unit_pair_flow_set(&p, text("f"), KVR_FLOW_RATE | KVR_FLOW_BURST, &f) == KVR_OK);
    struct kvr_booking b = {
        .isl = KVR_MAX_TOKENS, .osl = KVR_MAX_TOKENS, .created = p.now, .flow = text("f")};
    for (int i = 0; i < 3; i++) {
        char id[8];
        snprintf(id, sizeof id, "r%d", i);
        expect(&p, unit_pair_claim(&p, text(id), text("w"), 0, &b), KVR_OK, "a large one");
    }
    p.now += KVR_MAX_MS;
    unit_pair_check_all(&p);
    unit_pair_reload(&p);
    unit_pair_check_all(&p);
    unit_pair_free(&p);
}

Test(limits, waiting) {
    static struct unit_pair p;
    start(&p);
    struct kvr_options o = *kvr_pool_options(p.pool);
    o.max_requests = 1;
    cr_assert(unit_pair_alter(&p, &o) == KVR_OK);
    struct kvr_booking busy = {.isl = 1};
    cr_assert(unit_pair_claim(&p, text("busy"), text("w"), 0, &busy) == KVR_OK);
    struct kvr_pool_choice c;
    struct kvr_booking b;
    bool applied;
    for (int i = 0; i < 6; i++) {
        struct kvr_query q = {.isl = 1, .wait = 5, .rule = o.rule};
        if (i == 0) q.wait = -1;
        if (i == 1) q.wait = KVR_MAX_MS + 1;
        if (i == 2) q.service_class = of_length(KVR_MAX_ID + 1);
        if (i == 3) q.flow = of_length(KVR_MAX_ID + 1);
        if (i == 4) q.notify = of_length(KVR_MAX_ID + 1);
        int64_t lease = i == 5 ? KVR_MAX_MS + 1 : -1;
        cr_expect(kvr_select(p.pool, p.now, text("r"), &q, lease, 0, &c, &b) == KVR_RANGE, "%d", i);
        cr_expect(kvr_enqueue(p.pool, p.now, text("r"), &q, lease, &applied) == KVR_RANGE, "%d", i);
        unit_pair_check_all(&p);
    }
    struct kvr_query q = {.isl = KVR_MAX_TOKENS, .wait = KVR_MAX_MS, .rule = o.rule};
    q.flow = q.notify = of_length(KVR_MAX_ID);
    expect(&p, unit_pair_select(&p, text("r"), &q, KVR_MAX_MS, 0), KVR_OK, "the most of all");
    struct kvr_booking a = {.cached = -1};
    cr_assert(kvr_admitted(p.pool, text("r"), text("w"), 0, &a, &applied) == KVR_RANGE);
    a.cached = KVR_MAX_TOKENS + 1;
    cr_assert(kvr_admitted(p.pool, text("r"), text("w"), 0, &a, &applied) == KVR_RANGE);
    a.cached = 0;
    cr_assert(kvr_admitted(p.pool, text("r"), text("w"), 1, &a, &applied) == KVR_NOWORKER);
    cr_assert(kvr_admitted(p.pool, text("nobody"), text("w"), 0, &a, &applied) == KVR_OK);
    cr_assert(!applied);
    unit_pair_check_all(&p);
    static const struct {
        uint64_t waiting, percent;
        int64_t accept;
        enum kvr_err want;
    } options[] = {
        {0, 0, 1, KVR_OK},
        {KVR_MAX_WAITING, KVR_MAX_PERCENT, KVR_MAX_MS, KVR_OK},
        {KVR_MAX_WAITING + 1, 0, 1, KVR_RANGE},
        {1, KVR_MAX_PERCENT + 1, 1, KVR_RANGE},
        {1, 1, 0, KVR_RANGE},
        {1, 1, KVR_MAX_MS + 1, KVR_RANGE},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        o.max_waiting = options[i].waiting;
        o.max_blocks = options[i].percent;
        o.accept = options[i].accept;
        expect(&p, unit_pair_alter(&p, &o), options[i].want, "options");
    }
    unit_pair_free(&p);
}
