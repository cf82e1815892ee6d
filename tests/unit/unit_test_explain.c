// SPDX-License-Identifier: Apache-2.0
// EXPLAIN: each reason by name, what decides, what is told of costs. That it agrees with SELECT is checked with every
// choice of the random traffic (unit_pair_explain.c).
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "unit_waiting.h"

static const uint64_t prompt[] = {1, 2, 3, 4, 5, 6, 7, 8};

static void start(struct unit_pair *p, const char *const *workers) {
    struct kvr_options o;
    kvr_options_default(&o);
    o.block_size = 4;
    o.failures = 1;
    unit_pair_init(p, &o, "explain");
    p->now = 1000;
    for (; *workers; workers++)
        unit_pair_add_worker(p, *workers, 1);
}

static struct kvr_query query(const struct unit_pair *p, size_t n) {
    return (struct kvr_query){
        .hashes = prompt, .n = n, .isl = -1, .rule = kvr_pool_options(p->pool)->rule};
}

static void alter(struct unit_pair *p, void (*change)(struct kvr_options *o)) {
    struct kvr_options o = p->model.options;
    change(&o);
    cr_assert(unit_pair_alter(p, &o) == KVR_OK);
}

static const struct kvr_pool_candidate *candidate(const struct unit_pair_told *t,
                                                  const char *worker) {
    size_t i = 0;
    while (i < t->all.n && unit_bytes_compare(t->candidates[i].score.worker, text(worker)) != 0)
        i++;
    cr_assert(i < t->all.n, "%s isn't told of", worker);
    return &t->candidates[i];
}

static void expect_reason(const struct unit_pair_told *t, const char *worker, const char *reason) {
    const char *got = kvr_reason_names[candidate(t, worker)->reason];
    cr_expect_str_eq(got, reason, "%s: '%s' instead of '%s'", worker, got, reason);
}

static void expect_first(const struct unit_pair_told *t, const char *worker, enum kvr_decider by) {
    cr_expect(t->all.result == KVR_OK);
    cr_expect(!unit_bytes_compare(t->candidates[0].score.worker, text(worker)));
    cr_expect_str_eq(kvr_decider_names[t->all.by], kvr_decider_names[by]);
}

static void book(struct unit_pair *p, const char *id, const char *worker, size_t n) {
    struct kvr_booking b = {
        .hashes = prompt, .n = n, .isl = -1, .lease = -1, .created = p->now, .renewed = p->now};
    cr_assert(unit_pair_claim(p, text(id), text(worker), 0, &b) == KVR_OK);
}

// Who has nothing is asked all the same, and who is asked for nothing.
Test(explain, nobody_there) {
    static const char *const workers[] = {NULL};
    static struct unit_pair p;
    static struct unit_pair_told t;
    start(&p, workers);
    struct kvr_query q = query(&p, 0);
    for (int pair = 0; pair < 2; pair++) {
        q.pair = pair;
        unit_pair_explain(&p, &q, &t);
        cr_expect(t.err == KVR_OK && t.all.n == 0 && t.all.instances == 0);
        cr_expect(t.all.result == KVR_NOWORKER && t.all.by == KVR_DECIDED_ELIGIBLE);
    }
    cr_expect(kvr_explain(p.pool, p.now, &q, 0, t.candidates, &t.all) == KVR_RANGE);
    cr_expect(kvr_explain(p.pool, p.now, &q, KVR_MAX_TOP + 1, t.candidates, &t.all) == KVR_RANGE);
    q.service_class = text("none of these");
    cr_expect(kvr_explain(p.pool, p.now, &q, 1, t.candidates, &t.all) == KVR_NOCLASS);
    unit_pair_free(&p);
}

Test(explain, reasons_of_workers) {
    static const char *const workers[] = {"chosen", "circuit", "draining", "excluded", "expired",
                                          "labels", "other",   "prefill",  NULL};
    static struct unit_pair p;
    static struct unit_pair_told t;
    start(&p, workers);
    struct kvr_worker_settings drains = {.set = KVR_SET_STATE, .state = KVR_DRAINING};
    struct kvr_worker_settings short_lived = {.set = KVR_SET_TTL, .ttl = 10};
    struct kvr_worker_settings prompts = {.set = KVR_SET_ROLE, .role = KVR_ROLE_PREFILL};
    struct kvr_bytes label = text("gpu=old"), excluded = text("excluded");
    struct kvr_worker_settings labelled = {.set = KVR_SET_LABELS, .labels = &label, .n_labels = 1};
    unit_pair_worker_set(&p, text("draining"), &drains);
    unit_pair_worker_set(&p, text("expired"), &short_lived);
    unit_pair_worker_set(&p, text("prefill"), &prompts);
    unit_pair_worker_set(&p, text("labels"), &labelled);
    unit_pair_report(&p, text("circuit"), false);
    p.now += 20;
    struct kvr_bytes among[] = {text("chosen"),  text("circuit"), text("excluded"),
                                text("expired"), text("labels"),  text("nobody")};
    struct kvr_query q = query(&p, 8);
    q.without = &label;
    q.n_without = 1;
    q.exclude = &excluded;
    q.n_exclude = 1;
    q.has_among = true;
    q.among = among;
    q.n_among = sizeof among / sizeof *among;
    unit_pair_explain(&p, &q, &t);
    expect_first(&t, "chosen", KVR_DECIDED_COST);
    cr_expect(t.all.places == 1);
    static const char *const reasons[][2] = {{"chosen", ""},           {"circuit", "circuit"},
                                             {"draining", "draining"}, {"excluded", "excluded"},
                                             {"expired", "expired"},   {"labels", "labels"},
                                             {"other", "among"},       {"prefill", "role"}};
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        expect_reason(&t, reasons[i][0], reasons[i][1]);
    q.has_among = false;
    q.pair = true;
    unit_pair_explain(&p, &q, &t);
    expect_reason(&t, "prefill", "role");
    cr_expect(candidate(&t, "prefill")->prefill_reason == KVR_REASON_NONE);
    cr_expect(candidate(&t, "prefill")->prompt_cost > 0);
    unit_pair_free(&p);
}

static void limit_all(struct kvr_options *o) {
    o->max_requests = 2;
    o->max_prefill = 30;
    o->max_blocks = 100;
}

Test(explain, reasons_of_room) {
    static const char *const workers[] = {"blocks", "idle", "prefill", "requests", NULL};
    static struct unit_pair p;
    static struct unit_pair_told t;
    start(&p, workers);
    alter(&p, limit_all);
    struct kvr_worker_settings small = {.set = KVR_SET_CAPACITY, .capacity = 6};
    unit_pair_worker_set(&p, text("blocks"), &small);
    book(&p, "one", "requests", 1);
    book(&p, "two", "requests", 1);
    book(&p, "three", "prefill", 8);
    book(&p, "four", "blocks", 1);
    struct kvr_query q = query(&p, 8);
    unit_pair_explain(&p, &q, &t);
    expect_first(&t, "idle", KVR_DECIDED_COST);
    expect_reason(&t, "requests", "maxrequests");
    expect_reason(&t, "prefill", "maxprefill");
    expect_reason(&t, "blocks", "maxblocks");
    unit_pair_worker_del(&p, text("idle"));
    unit_pair_explain(&p, &q, &t);
    cr_expect(t.all.result == KVR_NOROOM && t.all.by == KVR_DECIDED_ROOM && t.all.places == 0);
    cr_expect(kvr_pool_version(p.pool) == p.model.stats.version);
    unit_pair_free(&p);
}

Test(explain, what_decides) {
    static const char *const workers[] = {"a", "b", "c", NULL};
    static struct unit_pair p;
    static struct unit_pair_told t;
    start(&p, workers);
    struct kvr_query q = query(&p, 2);
    unit_pair_explain(&p, &q, &t);
    expect_first(&t, "a", KVR_DECIDED_NAME);
    const char *const order[] = {"b", "c", "a"};
    for (int i = 0; i < 3; i++) {
        book(&p, order[i], order[i], 0);
        unit_pair_end(&p, order[i]);
    }
    unit_pair_explain(&p, &q, &t);
    expect_first(&t, "b", KVR_DECIDED_BOOKED);
    book(&p, "here", "b", 0);
    book(&p, "there", "c", 0);
    unit_pair_explain(&p, &q, &t);
    expect_first(&t, "a", KVR_DECIDED_COST);
    q.rule.temperature = 1;
    unit_pair_explain(&p, &q, &t);
    expect_first(&t, "a", KVR_DECIDED_DRAW);
    cr_expect(t.candidates[0].chance > t.candidates[1].chance && t.candidates[2].chance > 0);
    unit_pair_free(&p);
}

static void let_stick(struct kvr_options *o) {
    o->stick = 1e6;
}

// It stands first, and its place says that it isn't the cheapest.
Test(explain, a_session) {
    static const char *const workers[] = {"a", "b", "c", NULL};
    static struct unit_pair p;
    static struct unit_pair_told t;
    start(&p, workers);
    alter(&p, let_stick);
    struct kvr_query q = query(&p, 2);
    struct kvr_booking b = {
        .isl = 400, .lease = -1, .created = p.now, .renewed = p.now, .session = text("chat")};
    cr_assert(unit_pair_claim(&p, text("before"), text("c"), 0, &b) == KVR_OK);
    q.session = text("chat");
    unit_pair_explain(&p, &q, &t);
    expect_first(&t, "c", KVR_DECIDED_SESSION);
    cr_expect(t.candidates[0].place == 3 && t.candidates[1].place == 1 && t.all.session);
    cr_expect(!unit_bytes_compare(t.all.session_worker, text("c")) && t.all.allowance > 0);
    cr_expect(unit_pair_select(&p, text("next"), &q, -1, 0) == KVR_OK);
    unit_pair_free(&p);
}

// An instance that is kept for one who lacks nothing but blocks has room for a short one, but not for him.
Test(explain, kept_for_another) {
    static const uint64_t other[] = {11, 12, 13, 14, 15};
    static struct unit_pair p;
    static struct unit_pair_told t;
    unit_waiting_start(&p, 1, 0);
    struct kvr_options o = p.model.options;
    o.block_size = 16;
    o.max_blocks = 100;
    o.accept = 1;
    unit_waiting_alter(&p, &o);
    struct kvr_worker_settings w = {.set = KVR_SET_CAPACITY, .capacity = 10};
    unit_pair_worker_set(&p, text("a"), &w);
    book(&p, "live", "a", 8);
    struct kvr_query q = query(&p, 5);
    q.hashes = other;
    q.wait = 60000;
    cr_assert(!unit_waiting_ask(&p, "lacks blocks", &q));
    p.now += 200;
    unit_pair_admit_all(&p);
    q = query(&p, 1);
    unit_pair_explain(&p, &q, &t);
    cr_expect(t.all.result == KVR_NOROOM && t.all.by == KVR_DECIDED_ROOM);
    expect_reason(&t, "a", "kept");
    cr_expect(unit_pair_select(&p, text("short"), &q, -1, 0) == KVR_NOROOM);
    unit_waiting_end(&p);
}

static void limit_requests(struct kvr_options *o) {
    o->max_requests = 1;
}

// Who has no room for prompts, and so nobody who decodes finds one.
Test(explain, pairs_without_a_place_for_the_prompt) {
    static const char *const workers[] = {"answers", "prompts", NULL};
    static struct unit_pair p;
    static struct unit_pair_told t;
    start(&p, workers);
    struct kvr_worker_settings prompts = {.set = KVR_SET_ROLE, .role = KVR_ROLE_PREFILL};
    struct kvr_worker_settings answers = {.set = KVR_SET_ROLE, .role = KVR_ROLE_DECODE};
    unit_pair_worker_set(&p, text("prompts"), &prompts);
    unit_pair_worker_set(&p, text("answers"), &answers);
    struct kvr_query q = query(&p, 8);
    q.pair = true;
    unit_pair_explain(&p, &q, &t);
    expect_first(&t, "answers", KVR_DECIDED_COST);
    cr_expect(!unit_bytes_compare(t.candidates[0].prefill_worker, text("prompts")));
    cr_expect(t.candidates[0].transfer_cost > 0 && t.all.transfer > 0);
    cr_expect(t.candidates[0].prefill_reason == KVR_REASON_ROLE);
    alter(&p, limit_requests);
    cr_assert(unit_pair_select(&p, text("first"), &q, -1, 0) == KVR_OK);
    unit_pair_worker_del(&p, text("answers"));
    unit_pair_add_worker(&p, "answers", 1);
    unit_pair_worker_set(&p, text("answers"), &answers);
    book(&p, "prompt", "prompts", 0);
    unit_pair_explain(&p, &q, &t);
    cr_expect(t.all.result == KVR_NOROOM);
    expect_reason(&t, "answers", "noprefill");
    cr_expect(candidate(&t, "prompts")->prefill_reason == KVR_REASON_MAX_REQUESTS);
    unit_pair_free(&p);
}

// A worked example of each rule: what was booked weighs by the names of its terms.
Test(explain, terms) {
    static const char *const workers[] = {"a", NULL};
    static struct unit_pair p;
    static struct unit_pair_told t;
    start(&p, workers);
    book(&p, "before", "a", 8); // 32 tokens queued, one request
    struct kvr_query q = query(&p, 8);
    q.isl = 48;
    q.rule.requests = 2;
    unit_pair_explain(&p, &q, &t);
    const struct kvr_pool_candidate *c = &t.candidates[0];
    static const double delay[] = {16 * 32 / 4., 16 * 16 / 4., 16 / 4., 0, 0, 320 / 4., 2};
    for (size_t i = 0; i < sizeof delay / sizeof *delay; i++)
        cr_expect(c->terms[i] == delay[i], "%s is %g", kvr_policies[KVR_DELAY].terms[i],
                  c->terms[i]);
    cr_expect(kvr_policies[KVR_DELAY].terms[7] == NULL);
    cr_expect(c->known == 32 && c->own == 16 && c->queue == 32 && t.all.first_weight == 16);
    q.rule.policy = KVR_LINEAR;
    unit_pair_explain(&p, &q, &t);
    static const double linear[] = {(32 + 48) / 4., 8, 2};
    for (size_t i = 0; i < sizeof linear / sizeof *linear; i++)
        cr_expect(c->terms[i] == linear[i], "%s is %g", kvr_policies[KVR_LINEAR].terms[i],
                  c->terms[i]);
    cr_expect(c->score.cost == 30 && c->sum == 30);
    unit_pair_free(&p);
}

// The first of many, in the order of all.
Test(explain, no_more_than_asked_for) {
    static struct unit_pair p;
    static struct unit_pair_told t;
    static const char *const workers[] = {NULL};
    enum { EXPLAIN_CROWD = 70 };
    start(&p, workers);
    for (int i = 0; i < EXPLAIN_CROWD; i++) {
        char name[16];
        snprintf(name, sizeof name, "w%d", i);
        unit_pair_add_worker(&p, name, 1);
        struct kvr_booking b = {.isl = 100 * ((i * 37) % EXPLAIN_CROWD),
                                .lease = -1,
                                .created = p.now,
                                .renewed = p.now};
        cr_assert(unit_pair_claim(&p, text(name), text(name), 0, &b) == KVR_OK);
    }
    struct kvr_query q = query(&p, 3);
    q.rule.policy = KVR_LINEAR;
    const struct kvr_pool_score *scores;
    size_t n;
    unit_pair_explain(&p, &q, &t);
    cr_assert(kvr_scores(p.pool, p.now, &q, &scores, &n) == KVR_OK && n == EXPLAIN_CROWD);
    cr_expect(t.all.n == UNIT_PAIR_TOP && t.all.places == EXPLAIN_CROWD);
    for (size_t i = 0; i < UNIT_PAIR_TOP; i++)
        cr_expect(t.candidates[i].score.cost == scores[i].cost);
    unit_pair_free(&p);
}
