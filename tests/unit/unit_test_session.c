// SPDX-License-Identifier: Apache-2.0
// Sessions, labels, and what is expected to be cached: who stays where, and for how long.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "module/core/rule/policy.h"
#include "unit_pair.h"

static void start(struct unit_pair *p, double stick) {
    struct kvr_options o;
    kvr_options_default(&o);
    o.rule.policy = KVR_LINEAR; // whose costs are easily told
    o.session_ttl = 1000;
    o.stick = stick;
    unit_pair_init(p, &o, "sessions");
    unit_pair_add_worker(p, "a", 1);
    unit_pair_add_worker(p, "b", 1);
    unit_pair_add_worker(p, "c", 1);
}

// The worker of a request of so many tokens; "" if there is none.
static const char *choose(struct unit_pair *p, const char *id, const char *session, int64_t isl) {
    static char name[KVR_MAX_NAME + 1];
    struct kvr_query q = {.isl = isl, .session = text(session)};
    q.rule = kvr_pool_options(p->pool)->rule;
    enum kvr_err err = unit_pair_select(p, text(id), &q, -1, 0);
    unit_pair_check_all(p);
    if (err) return "";
    struct kvr_request_info r;
    cr_assert(kvr_request_get(p->pool, p->now, text(id), &r));
    snprintf(name, sizeof name, "%.*s", (int)r.worker.n, r.worker.p);
    return name;
}

// Books on the worker, in the session, and ends it.
static void visit(struct unit_pair *p, const char *name, const char *session) {
    struct kvr_booking b = {
        .isl = 0, .created = p->now, .renewed = p->now, .session = text(session)};
    cr_assert(unit_pair_claim(p, text("visit"), text(name), 0, &b) == KVR_OK);
    unit_pair_end(p, "visit");
}

static bool goes_to(struct unit_pair *p, const char *session, int64_t isl, const char *want) {
    bool as_wanted = strcmp(choose(p, "r", session, isl), want) == 0;
    unit_pair_end(p, "r");
    return as_wanted;
}

static uint64_t sessions(struct unit_pair *p) {
    struct kvr_stats s;
    kvr_pool_stats(p->pool, p->now, &s);
    return s.sessions;
}

// ---- Where a session goes ------------------------------------------------------------------------

// Without STICK it breaks ties, and nothing else: `a` was booked last, so others would come first.
Test(session, breaks_ties) {
    static struct unit_pair p;
    start(&p, 0);
    visit(&p, "b", "s");
    visit(&p, "a", "t");
    cr_assert(goes_to(&p, "s", 16, "b"));
    cr_assert(goes_to(&p, "t", 16, "a"));
    cr_assert(goes_to(&p, "", 16, "c"));
    cr_assert(goes_to(&p, "new", 16, "b"));
    visit(&p, "b", "s");
    struct kvr_booking busy = {.isl = 1, .created = p.now, .renewed = p.now};
    cr_assert(unit_pair_claim(&p, text("busy"), text("b"), 0, &busy) == KVR_OK);
    cr_assert(!goes_to(&p, "s", 16, "b"));
    unit_pair_free(&p);
}

// With it, its instance may cost so many tokens of prefill more, and not one.
Test(session, sticks_up_to_a_cost) {
    static const double weights[] = {1, 2, 0.5};
    for (int i = 0; i < 3; i++) {
        static struct unit_pair p;
        start(&p, 320);
        struct kvr_options o = *kvr_pool_options(p.pool);
        o.rule.prefill = weights[i];
        cr_assert(unit_pair_alter(&p, &o) == KVR_OK);
        struct kvr_booking busy = {.isl = 320, .created = p.now, .renewed = p.now};
        cr_assert(unit_pair_claim(&p, text("busy"), text("b"), 0, &busy) == KVR_OK);
        visit(&p, "b", "s");
        cr_assert(goes_to(&p, "s", 16, "b"), "weight %g", weights[i]);
        busy.isl = 16;
        cr_assert(unit_pair_claim(&p, text("more"), text("b"), 0, &busy) == KVR_OK);
        cr_assert(!goes_to(&p, "s", 16, "b"), "weight %g", weights[i]);
        unit_pair_free(&p);
    }
}

// By the delay rule it is weighed as its costs are.
Test(session, sticks_by_the_delay_rule) {
    static struct unit_pair p;
    start(&p, 0);
    struct kvr_options o = *kvr_pool_options(p.pool);
    o.rule.policy = KVR_DELAY;
    cr_assert(unit_pair_alter(&p, &o) == KVR_OK);
    struct kvr_booking busy = {.isl = 320, .created = p.now, .renewed = p.now};
    cr_assert(unit_pair_claim(&p, text("busy"), text("b"), 0, &busy) == KVR_OK);
    visit(&p, "b", "s");
    cr_assert(!goes_to(&p, "s", 160, "b"));
    o.stick = 1e6;
    cr_assert(unit_pair_alter(&p, &o) == KVR_OK);
    visit(&p, "b", "s");
    cr_assert(goes_to(&p, "s", 160, "b"));
    unit_pair_free(&p);
}

// Also where the rest is drawn.
Test(session, before_a_draw) {
    static struct unit_pair p;
    start(&p, 0);
    struct kvr_options o = *kvr_pool_options(p.pool);
    o.rule.temperature = 1;
    cr_assert(unit_pair_alter(&p, &o) == KVR_OK);
    visit(&p, "c", "s");
    for (int i = 0; i < 20; i++)
        cr_assert(goes_to(&p, "s", 16, "c"));
    unit_pair_free(&p);
}

// An instance that can't be chosen doesn't hold its sessions; they stay where they went then.
Test(session, moves_when_it_must) {
    static struct unit_pair p;
    start(&p, 1e9);
    visit(&p, "b", "s");
    struct kvr_worker_settings w = {.set = KVR_SET_STATE, .state = KVR_DRAINING};
    cr_assert(unit_pair_worker_set(&p, text("b"), &w) == KVR_OK);
    cr_assert(goes_to(&p, "s", 16, "a"));
    w.state = KVR_READY;
    cr_assert(unit_pair_worker_set(&p, text("b"), &w) == KVR_OK);
    cr_assert(goes_to(&p, "s", 16, "a"));
    for (int i = 0; i < 3; i++)
        unit_pair_report(&p, text("a"), false);
    cr_assert(goes_to(&p, "s", 16, "c"));
    struct kvr_bytes name = text("c");
    struct kvr_query q = {.isl = 16, .session = text("s"), .exclude = &name, .n_exclude = 1};
    q.rule = kvr_pool_options(p.pool)->rule;
    cr_assert(unit_pair_select(&p, text("r"), &q, -1, 0) == KVR_OK);
    unit_pair_end(&p, "r");
    cr_assert(goes_to(&p, "s", 16, "b"));
    unit_pair_free(&p);
}

// ---- How long ------------------------------------------------------------------------------------

Test(session, lasts_from_its_last_booking) {
    static struct unit_pair p;
    start(&p, 1e9);
    struct kvr_session_info s;
    struct kvr_bytes due;
    visit(&p, "b", "s");
    p.now += 999;
    cr_assert(kvr_session_get(p.pool, p.now, text("s"), &s) && s.ttl_left == 1);
    cr_assert(!kvr_due_session(p.pool, p.now, &due));
    p.now += 1;
    unit_pair_check_due(&p);
    cr_assert(!kvr_session_get(p.pool, p.now, text("s"), &s));
    cr_assert(kvr_due_session(p.pool, p.now, &due) && unit_bytes_compare(due, text("s")) == 0);
    cr_assert(!goes_to(&p, "s", 16, "b")); // over, though nobody has taken it away
    visit(&p, "b", "s");
    p.now += 900;
    cr_assert(goes_to(&p, "s", 16, "b"));
    p.now += 900; // renewed by it
    cr_assert(goes_to(&p, "s", 16, "b"));
    unit_pair_free(&p);
}

Test(session, lasts_while_a_request_is_live) {
    static struct unit_pair p;
    start(&p, 1e9);
    struct kvr_session_info s;
    struct kvr_bytes due;
    struct kvr_booking b = {.isl = 0, .created = p.now, .renewed = p.now, .session = text("s")};
    cr_assert(unit_pair_claim(&p, text("long"), text("b"), 0, &b) == KVR_OK);
    cr_assert(unit_pair_claim(&p, text("longer"), text("b"), 0, &b) == KVR_OK);
    p.now += 5000;
    unit_pair_check_due(&p);
    cr_assert(!kvr_due_session(p.pool, p.now, &due));
    cr_assert(kvr_session_get(p.pool, p.now, text("s"), &s) && s.requests == 2 && !s.ttl_left);
    unit_pair_end(&p, "long");
    unit_pair_check_due(&p);
    unit_pair_reload(&p);
    unit_pair_check_all(&p);
    unit_pair_renew_all(&p);
    unit_pair_end(&p, "longer");
    unit_pair_check_due(&p);
    cr_assert(!kvr_due_session(p.pool, p.now, &due)); // renewed
    p.now += 1000;
    unit_pair_check_due(&p);
    cr_assert(kvr_due_session(p.pool, p.now, &due));
    unit_pair_free(&p);
}

// SESSIONTTL counts as it is now, for those that are remembered already, too.
Test(session, follows_the_pools_ttl) {
    static struct unit_pair p;
    start(&p, 0);
    struct kvr_options o = *kvr_pool_options(p.pool);
    struct kvr_bytes due;
    visit(&p, "a", "s");
    p.now += 500;
    o.session_ttl = 400;
    cr_assert(unit_pair_alter(&p, &o) == KVR_OK);
    unit_pair_check_due(&p);
    cr_assert(kvr_due_session(p.pool, p.now, &due));
    o.session_ttl = 600;
    cr_assert(unit_pair_alter(&p, &o) == KVR_OK);
    unit_pair_check_due(&p);
    cr_assert(!kvr_due_session(p.pool, p.now, &due));
    p.now += 100;
    unit_pair_check_due(&p);
    cr_assert(kvr_due_session(p.pool, p.now, &due));
    unit_pair_free(&p);
}

// Forgotten with its instance: another of the same name knows nothing of it. That takes no change of its
// own, so copies which never knew stay alike; and its memory goes with the sweeps that all copies do.
Test(session, goes_with_its_instance) {
    static struct unit_pair p;
    start(&p, 1e9);
    struct kvr_worker_settings w = {.set = KVR_SET_RANKS, .ranks = 2};
    cr_assert(unit_pair_worker_set(&p, text("b"), &w) == KVR_OK);
    struct kvr_booking one = {.isl = 0, .created = p.now, .renewed = p.now, .session = text("s")};
    cr_assert(unit_pair_claim(&p, text("visit"), text("b"), 1, &one) == KVR_OK);
    one.session = text("t");
    cr_assert(unit_pair_claim(&p, text("elsewhere"), text("a"), 0, &one) == KVR_OK);
    cr_assert(unit_pair_claim(&p, text("here"), text("b"), 1, &one) == KVR_OK);
    cr_assert(sessions(&p) == 2);
    w.ranks = 1;
    cr_assert(unit_pair_worker_set(&p, text("b"), &w) == KVR_OK);
    unit_pair_check_all(&p);
    cr_assert(sessions(&p) == 0);
    struct kvr_session_info s;
    cr_assert(!kvr_session_get(p.pool, p.now, text("s"), &s));
    cr_assert(!kvr_session_get(p.pool, p.now, text("t"), &s));
    w.ranks = 2;
    cr_assert(unit_pair_worker_set(&p, text("b"), &w) == KVR_OK);
    cr_assert(!kvr_session_get(p.pool, p.now, text("s"), &s));
    uint64_t version = kvr_pool_version(p.pool);
    struct kvr_bytes names[] = {text("s"), text("t")}, due;
    unit_pair_session_del(&p, names, 2);
    p.now += 2000;
    unit_pair_check_due(&p);
    cr_assert(!kvr_due_session(p.pool, p.now, &due) && kvr_pool_version(p.pool) == version);
    // The request that goes on elsewhere is of the session when it comes again.
    cr_assert(unit_pair_claim(&p, text("again"), text("c"), 0, &one) == KVR_OK);
    cr_assert(kvr_session_get(p.pool, p.now, text("t"), &s) && s.requests == 2);
    unit_pair_check_all(&p);
    unit_pair_reload(&p);
    unit_pair_check_all(&p);
    unit_pair_free(&p);
}

Test(session, memory_of_the_forgotten_is_swept) {
    static struct unit_pair p;
    start(&p, 0);
    for (int round = 0; round < 3; round++) {
        uint64_t before = 0;
        for (int i = 0; i < 3000; i++) {
            if (i == 1) before = p.mem.bytes;
            char name[16];
            sprintf(name, "s%d", i);
            visit(&p, "b", name);
        }
        uint64_t grown = p.mem.bytes - before;
        cr_assert(round || grown > 3000 * 40);
        cr_assert(unit_pair_worker_del(&p, text("b")) == KVR_OK);
        cr_assert(sessions(&p) == 0);
        unit_pair_check(&p);
        for (int i = 0; kvr_pool_sweep(p.pool, 100); i++) {
            unit_pair_check(&p);
            cr_assert(i < 10000);
        }
        unit_pair_check_all(&p);
        if (round) cr_assert(p.mem.bytes <= before, "%d", (int)(p.mem.bytes - before));
        struct kvr_worker_settings w = {0};
        cr_assert(unit_pair_worker_set(&p, text("b"), &w) == KVR_OK);
    }
    unit_pair_free(&p);
}

Test(session, deleted_by_name) {
    static struct unit_pair p;
    start(&p, 1e9);
    visit(&p, "b", "s");
    struct kvr_booking b = {.isl = 0, .created = p.now, .renewed = p.now, .session = text("t")};
    cr_assert(unit_pair_claim(&p, text("live"), text("b"), 0, &b) == KVR_OK);
    struct kvr_bytes names[] = {text("s"), text("s"), text("t"), text("nobody")};
    cr_assert(kvr_session_del(p.pool, names, 4) == 2); // each once
    cr_assert(unit_model_session_del(&p.model, names, 4) == 2);
    unit_pair_check_all(&p);
    unit_pair_reload(&p);
    unit_pair_check_all(&p); // the request goes on, and still names it
    cr_assert(!goes_to(&p, "s", 16, "b"));
    unit_pair_free(&p);
}

// ---- Labels --------------------------------------------------------------------------------------

Test(session, labels_say_who_may_be_chosen) {
    static struct unit_pair p;
    start(&p, 0);
    struct kvr_bytes gpu = text("gpu=a"), zone = text("zone=1"), part = text("gpu=");
    struct kvr_bytes both[] = {gpu, zone};
    struct kvr_worker_settings w = {.set = KVR_SET_LABELS, .labels = both, .n_labels = 2};
    cr_assert(unit_pair_worker_set(&p, text("a"), &w) == KVR_OK);
    w.n_labels = 1;
    cr_assert(unit_pair_worker_set(&p, text("b"), &w) == KVR_OK);
    static const struct {
        int with, without; // bits: gpu, zone, part
        const char *who;
    } cases[] = {
        {0, 0, "abc"}, {1, 0, "ab"},  {3, 0, "a"}, {2, 0, "a"}, {4, 0, ""},  {0, 1, "c"},
        {0, 2, "bc"},  {0, 4, "abc"}, {1, 2, "b"}, {1, 1, ""},  {0, 3, "c"}, {5, 0, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kvr_bytes with[3], without[3];
        struct kvr_query q = {.isl = 0, .with = with, .without = without};
        struct kvr_bytes all[] = {gpu, zone, part};
        q.rule = kvr_pool_options(p.pool)->rule;
        for (int k = 0; k < 3; k++) {
            if (cases[i].with & 1 << k) with[q.n_with++] = all[k];
            if (cases[i].without & 1 << k) without[q.n_without++] = all[k];
        }
        cr_assert(unit_pair_scores(&p, &q) == KVR_OK);
        const struct kvr_pool_score *s;
        size_t n;
        cr_assert(kvr_scores(p.pool, p.now, &q, &s, &n) == KVR_OK);
        cr_assert(n == strlen(cases[i].who), "case %zu", i);
        for (size_t k = 0; k < n; k++)
            cr_assert(strchr(cases[i].who, s[k].worker.p[0]), "case %zu", i);
        enum kvr_err err = unit_pair_select(&p, text("r"), &q, -1, 0);
        cr_assert(err == (n ? KVR_OK : KVR_NOWORKER));
        unit_pair_end(&p, "r");
    }
    // Labels that aren't named any more are gone; other fields leave them.
    w = (struct kvr_worker_settings){.set = KVR_SET_CAPACITY, .capacity = 5};
    cr_assert(unit_pair_worker_set(&p, text("a"), &w) == KVR_OK);
    struct kvr_worker_info info;
    kvr_worker_at(p.pool, p.now, 0, &info);
    cr_assert(info.n_labels == 2);
    w = (struct kvr_worker_settings){.set = KVR_SET_LABELS};
    cr_assert(unit_pair_worker_set(&p, text("a"), &w) == KVR_OK);
    kvr_worker_at(p.pool, p.now, 0, &info);
    cr_assert(info.n_labels == 0);
    unit_pair_check_all(&p);
    unit_pair_free(&p);
}

// Circuits leave somebody among those whose labels fit, or count for nothing.
Test(session, labels_and_circuits) {
    static struct unit_pair p;
    start(&p, 0);
    struct kvr_bytes gpu = text("gpu=a");
    struct kvr_worker_settings w = {.set = KVR_SET_LABELS, .labels = &gpu, .n_labels = 1};
    cr_assert(unit_pair_worker_set(&p, text("a"), &w) == KVR_OK);
    for (int i = 0; i < 3; i++)
        unit_pair_report(&p, text("a"), false);
    struct kvr_query q = {.isl = 0, .with = &gpu, .n_with = 1};
    q.rule = kvr_pool_options(p.pool)->rule;
    cr_assert(unit_pair_select(&p, text("r"), &q, -1, 0) == KVR_OK);
    unit_pair_check_all(&p);
    unit_pair_free(&p);
}

// ---- What is expected ----------------------------------------------------------------------------

static const uint64_t prompt[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};

static struct kvr_pool_score first_score(struct unit_pair *p, size_t n, int64_t isl) {
    struct kvr_query q = {.hashes = prompt, .n = n, .isl = isl};
    struct kvr_bytes a = text("a");
    q.rule = kvr_pool_options(p->pool)->rule;
    q.has_among = true;
    q.among = &a;
    q.n_among = 1;
    cr_assert(unit_pair_scores(p, &q) == KVR_OK);
    const struct kvr_pool_score *s;
    cr_assert(kvr_scores(p->pool, p->now, &q, &s, &n) == KVR_OK);
    return s[0];
}

// Held, live, and held again behind what a live request fills.
Test(session, expected_is_what_is_held_or_live) {
    static struct unit_pair p;
    start(&p, 0);
    struct kvr_pool_op ops[] = {{.kind = KVR_STORED, .hashes = prompt, .n = 8},
                                {.kind = KVR_REMOVED, .hashes = prompt + 2, .n = 3},
                                {.kind = KVR_STORED, .tier = KVR_HOST, .hashes = prompt, .n = 9},
                                {.kind = KVR_REMOVED, .tier = KVR_HOST, .hashes = prompt, .n = 8}};
    cr_assert(unit_pair_event(&p, text("a"), 0, 1, 1, ops, 4, false) == KVR_OK);
    struct kvr_pool_score s = first_score(&p, 10, -1); // 1 2 _ _ _ 6 7 8 9h
    cr_assert(s.overlap == 2 && s.expected == 2 && s.cached == 32);
    struct kvr_booking b = {.hashes = prompt, .n = 4, .isl = -1};
    cr_assert(unit_pair_claim(&p, text("four"), text("a"), 0, &b) == KVR_OK);
    s = first_score(&p, 10, -1); // a hole is left
    cr_assert(s.overlap == 2 && s.expected == 4 && s.cached == 64);
    b.n = 5;
    cr_assert(unit_pair_claim(&p, text("five"), text("a"), 0, &b) == KVR_OK);
    s = first_score(&p, 10, -1);
    cr_assert(s.overlap == 2 && s.expected == 9 && s.cached == 144);
    s = first_score(&p, 10, 100);
    cr_assert(s.expected == 9 && s.cached == 100);
    s = first_score(&p, 3, -1);
    cr_assert(s.expected == 3 && s.cached == 48);
    unit_pair_end(&p, "five");
    cr_assert(first_score(&p, 10, -1).expected == 4);
    unit_pair_end(&p, "four");
    cr_assert(first_score(&p, 10, -1).expected == 2);
    unit_pair_free(&p);
}

// A prefix that several are waiting for is computed, and counted, once; and a repeat is told what the
// first was.
Test(session, a_shared_prompt_counts_once) {
    static struct unit_pair p;
    start(&p, 0);
    struct kvr_query q = {.hashes = prompt, .n = 10, .isl = 165};
    struct kvr_bytes a = text("a");
    q.rule = kvr_pool_options(p.pool)->rule;
    q.has_among = true;
    q.among = &a;
    q.n_among = 1;
    cr_assert(unit_pair_select(&p, text("one"), &q, -1, 0) == KVR_OK);
    cr_assert(unit_pair_select(&p, text("two"), &q, -1, 0) == KVR_OK);
    struct kvr_rank_info r;
    kvr_worker_rank(p.pool, 0, 0, &r);
    cr_assert(r.prefill_tokens == 165 + 5);
    for (int i = 0; i < 2; i++) {
        struct kvr_pool_choice c;
        struct kvr_booking b;
        cr_assert(unit_pair_select(&p, text("two"), &q, -1, 0) == KVR_OK);
        cr_assert(kvr_select(p.pool, p.now, text("two"), &q, -1, 0, &c, &b) == KVR_OK);
        p.model.stats.repeats++;
        cr_assert(c.repeat && c.score.overlap == 0 && c.score.expected == 10 &&
                  c.score.cached == 160);
        unit_pair_reload(&p);
    }
    struct kvr_stats s;
    kvr_pool_stats(p.pool, p.now, &s);
    cr_assert(s.select_blocks == 20 && s.overlap_blocks == 0 && s.expected_blocks == 10);
    unit_pair_check_all(&p);
    unit_pair_free(&p);
}
