// SPDX-License-Identifier: Apache-2.0
// Pairs beside the random traffic: the best of all of them in a fleet of many, what goes with a decoding worker, saved
// forms that are spoiled, and what is kept for others.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit_saved.h"
#include "unit_source.h"
#include "unit_waiting.h"

static void add_role(struct unit_pair *p, const char *name, enum kvr_role role, const char *label) {
    struct kvr_bytes labels[] = {text(label ? label : "none")};
    struct kvr_worker_settings w = {.set = KVR_SET_ROLE | KVR_SET_LABELS,
                                    .role = role,
                                    .labels = labels,
                                    .n_labels = label != NULL};
    cr_assert(unit_pair_worker_set(p, text(name), &w) == KVR_OK);
}

static struct kvr_query pair_query(const struct unit_pair *p, const uint64_t *hashes, size_t n) {
    struct kvr_query q = {.hashes = hashes, .n = n, .isl = -1, .pair = true};
    q.rule = kvr_pool_options(p->pool)->rule;
    return q;
}

// What is booked is compared with the best of all pairs, tried one by one by the model, by either rule.
Test(pairs, the_best_of_all_of_them) {
    enum { PAIR_WORKERS = 40, PAIR_REQUESTS = 300 };
    static const char *const links[] = {NULL, "link=a", "link=b", "link=c", "zone=d"};
    for (int policy = 0; policy < 2; policy++) {
        static struct unit_pair p;
        struct unit_source s = {.state = 77 + (uint64_t)policy};
        struct kvr_options o;
        kvr_options_default(&o);
        o.rule.policy = policy;
        o.rule.requests = 0.5;
        o.local_prefill = 32;
        unit_pair_init(&p, &o, "the best of all pairs");
        for (int i = 0; i < PAIR_WORKERS; i++) {
            char name[16];
            snprintf(name, sizeof name, "w%d", i);
            add_role(&p, name, (enum kvr_role)unit_source_below(&s, 3),
                     links[unit_source_below(&s, 5)]);
        }
        for (int i = 0; i < PAIR_REQUESTS; i++) {
            uint64_t hashes[12];
            char id[16];
            size_t n = unit_source_below(&s, 13);
            for (size_t k = 0; k < n; k++)
                hashes[k] = 1000 * (1 + i % 7) + k;
            snprintf(id, sizeof id, "r%d", i);
            struct kvr_query q = pair_query(&p, hashes, n);
            cr_assert(unit_pair_select(&p, text(id), &q, -1, 0) == KVR_OK);
            snprintf(id, sizeof id, "r%d", i - 60);
            if (i % 3 == 0) unit_pair_update(&p, text(id), true, 5, -1);
            if (i % 4 == 0) unit_pair_end(&p, id);
            p.now += 10;
            unit_pair_check(&p);
        }
        unit_pair_check_all(&p);
        unit_pair_free(&p);
    }
}

// Far more than one call sweeps: what they have to compute elsewhere is gone at once all the same, on every copy, and
// in what is saved before the sweep is through.
Test(pairs, all_that_go_with_their_decoding_worker) {
    enum { PAIR_CROWD = 2500 };
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 0);
    struct kvr_options o = p.model.options;
    o.predict = 100000;
    unit_waiting_alter(&p, &o);
    add_role(&p, "prompts", KVR_ROLE_PREFILL, NULL);
    add_role(&p, "answers", KVR_ROLE_DECODE, NULL);
    for (int i = 0; i < PAIR_CROWD; i++) {
        const uint64_t hash = 5000 + (uint64_t)i;
        char id[16];
        snprintf(id, sizeof id, "r%d", i);
        struct kvr_booking b = {.hashes = &hash,
                                .n = 1,
                                .isl = 16,
                                .lease = -1,
                                .created = p.now,
                                .renewed = p.now,
                                .predict_until = p.now + 100000,
                                .prefill_worker = text("prompts")};
        cr_assert(unit_pair_claim(&p, text(id), text("answers"), 0, &b) == KVR_OK);
        if (i % 2) unit_pair_update(&p, text(id), true, 1, -1);
    }
    unit_pair_check_all(&p);
    cr_assert(unit_pair_worker_del(&p, text("answers")) == KVR_OK);
    struct kvr_stats stats;
    kvr_pool_stats(p.pool, p.now, &stats);
    cr_assert(stats.unswept > 0, "too few to be seen");
    unit_pair_check_all(&p);
    unit_pair_sweep(&p, 100); // the copy has swept less
    struct kvr_booking b = {.isl = 70,
                            .lease = -1,
                            .created = p.now,
                            .renewed = p.now,
                            .prefill_worker = text("prompts")};
    cr_assert(unit_pair_claim(&p, text("next"), text("a"), 0, &b) == KVR_OK);
    unit_pair_check_all(&p);
    unit_pair_reload(&p);
    unit_pair_renew_all(&p);
    unit_pair_check_all(&p);
    unit_waiting_end(&p);
}

// ---- Saved ---------------------------------------------------------------------------------------

// A prompt that is being computed, one that is through, one whose prefilling worker has gone, and one that waits.
static void build(struct unit_pair *p) {
    static const uint64_t prompt[] = {7, 0, UINT64_MAX};
    unit_waiting_start(p, 1, 0);
    struct kvr_options o = p->model.options;
    o.max_requests = 2;
    o.predict = 100000;
    o.transfer = 0.625;
    o.local_prefill = 3;
    unit_waiting_alter(p, &o);
    add_role(p, "p", KVR_ROLE_PREFILL, "link=x");
    add_role(p, "q", KVR_ROLE_PREFILL, "link=x");
    struct kvr_worker_settings drains = {
        .set = KVR_SET_STATE | KVR_SET_DRAIN, .state = KVR_DRAINING, .drain = 12345};
    unit_pair_worker_set(p, text("d"), &drains);
    struct kvr_booking b = {.hashes = prompt,
                            .n = 3,
                            .isl = 50,
                            .lease = -1,
                            .created = p->now,
                            .renewed = p->now,
                            .predict_until = p->now + 100000,
                            .prefill_worker = text("p"),
                            .prefill_overlap = 2,
                            .prefill_cached = 31};
    unit_pair_claim(p, text("being"), text("a"), 0, &b);
    unit_pair_claim(p, text("through"), text("a"), 0, &b);
    unit_pair_update(p, text("through"), true, 9, -1);
    b.prefill_worker = text("q");
    unit_pair_claim(p, text("lost"), text("a"), 0, &b);
    unit_pair_worker_del(p, text("q"));
    struct kvr_query q = pair_query(p, prompt, 2);
    q.wait = 60000;
    q.isl = 400;
    cr_assert(unit_pair_select(p, text("waits"), &q, -1, 0) == KVR_OK);
    cr_assert(unit_waiting_is(p, "waits"));
    unit_pair_check_all(p);
}

Test(pairs, saved_and_loaded) {
    static struct unit_pair p;
    build(&p);
    for (int i = 0; i < 3; i++) {
        unit_pair_reload(&p);
        unit_pair_renew_all(&p);
        unit_pair_check_all(&p);
        unit_pair_end(&p, i ? "lost" : "through");
        unit_pair_admit_all(&p);
        unit_pair_check_all(&p);
    }
    cr_assert(!unit_waiting_is(&p, "waits"));
    unit_waiting_end(&p);
}

Test(pairs, spoiled) {
    static struct unit_pair p;
    build(&p);
    cr_assert(unit_saved_spoil(p.pool) > 0);
    unit_waiting_end(&p);
}

// ---- Waiting -------------------------------------------------------------------------------------

// An instance that is kept for who lacks nothing but blocks isn't taken for another's prompt either.
Test(pairs, what_is_kept_computes_no_prompt_for_others) {
    static const uint64_t prompt[] = {1, 2, 3, 4, 5, 6, 7, 8};
    static struct unit_pair p;
    unit_waiting_start(&p, 1, 0);
    struct kvr_options o = p.model.options;
    o.block_size = 16;
    o.max_blocks = 100;
    o.accept = 1;
    unit_waiting_alter(&p, &o);
    struct kvr_worker_settings w = {.set = KVR_SET_CAPACITY, .capacity = 10};
    unit_pair_worker_set(&p, text("a"), &w);
    add_role(&p, "d", KVR_ROLE_DECODE, NULL);
    struct kvr_booking b = {
        .hashes = prompt, .n = 8, .isl = -1, .lease = -1, .created = p.now, .renewed = p.now};
    unit_pair_claim(&p, text("live"), text("a"), 0, &b);
    static const uint64_t other[] = {11, 12, 13, 14, 15};
    struct kvr_bytes only = text("a");
    struct kvr_query q = pair_query(&p, other, 5);
    q.pair = false;
    q.wait = 60000;
    q.has_among = true;
    q.among = &only;
    q.n_among = 1;
    cr_assert(!unit_waiting_ask(&p, "lacks blocks", &q));
    p.now += 200;
    unit_pair_admit_all(&p);
    struct unit_model_holds holds;
    unit_pair_holds(&p, &holds);
    cr_assert(holds.n == 1, "nothing is kept for it");
    free(holds.all);
    struct kvr_query pair = pair_query(&p, prompt, 3);
    pair.isl = 500;
    cr_assert(unit_pair_select(&p, text("pair"), &pair, -1, 0) == KVR_NOROOM);
    unit_pair_end(&p, "live");
    cr_assert(unit_pair_admit_all(&p) == 1);
    cr_assert(unit_pair_select(&p, text("pair"), &pair, -1, 0) == KVR_OK);
    unit_waiting_end(&p);
}
