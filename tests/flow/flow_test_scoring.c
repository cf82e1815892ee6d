// SPDX-License-Identifier: Apache-2.0
// SCORE and the choice: the rule's formula, ties, temperature, predictions.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow_harness.h"

TestSuite(scoring, .fini = flow_harness_end, .timeout = 120);

static const struct flow_reply *score(struct flow_conn *c, const char *worker, const char *rest) {
    const struct flow_reply *row =
        flow_row_of(flow_call_words(c, "KVROUTE.SCORE p", rest), worker, 0);
    cr_assert(row, "no row of %s", worker);
    return row;
}

static int64_t decode_blocks(struct flow_conn *c) {
    return flow_map_int(&flow_map_get(flow_call(c, "KVROUTE.WORKER GET p w"), "ranks")->items[0],
                        "decode_blocks");
}

Test(scoring, shared_prefixes_weigh_once) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 4");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    flow_expect_int(c, 1, "KVROUTE.CLAIM p A w 0 IDS 12 1 1 1 1 2 2 2 2 3 3 3 3");
    cr_expect(decode_blocks(c) == 3);
    flow_expect_int(c, 1, "KVROUTE.CLAIM p B w 0 IDS 12 1 1 1 1 2 2 2 2 4 4 4 4");
    cr_expect(decode_blocks(c) == 4);
    flow_expect_int(c, 1, "KVROUTE.CLAIM p C w 0 IDS 16 1 1 1 1 2 2 2 2 3 3 3 3 5 5 5 5");
    cr_expect(decode_blocks(c) == 5);
    flow_expect_int(c, 1, "KVROUTE.RELEASE p A");
    cr_expect(decode_blocks(c) == 5);
    flow_expect_int(c, 1, "KVROUTE.RELEASE p C");
    cr_expect(decode_blocks(c) == 3);
    flow_expect_int(c, 1, "KVROUTE.RELEASE p B");
    cr_expect(decode_blocks(c) == 0);
}

// Ten blocks; overlaps 2, 5 and 8 without queued prefill; decode 10, 10 and 14.
Test(scoring, balances_cache_and_load) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1 POLICY linear");
    for (const char *w = "abc"; *w; w++)
        flow_expect_int(c, 1, "KVROUTE.WORKER SET p %b", w, (size_t)1);
    flow_expect_int(c, 1, "KVROUTE.EVENT p a 0 1 1 STORED - IDS 2 1 2");
    flow_expect_int(c, 1, "KVROUTE.EVENT p b 0 1 1 STORED - IDS 5 1 2 3 4 5");
    flow_expect_int(c, 1, "KVROUTE.EVENT p c 0 1 1 STORED - IDS 8 1 2 3 4 5 6 7 8");
    flow_expect_int(c, 1, "KVROUTE.CLAIM p x c 0 IDS 4 91 92 93 94 PREFILLED");
    const char *const ten = "IDS 10 1 2 3 4 5 6 7 8 9 10";
    cr_expect(flow_map_real(score(c, "a", ten), "cost") == 18);
    cr_expect(flow_map_real(score(c, "b", ten), "cost") == 15);
    cr_expect(flow_map_real(score(c, "c", ten), "cost") == 16);
    const struct flow_reply *rows = flow_call(c, "KVROUTE.SCORE p IDS 10 1 2 3 4 5 6 7 8 9 10");
    cr_assert(rows->count == 3);
    for (int i = 0; i < 3; i++) {
        const char name[2] = {"bca"[i], 0};
        cr_expect_str_eq(flow_map_str(&rows->items[i], "worker"), name);
    }
    cr_expect_str_eq(
        flow_map_str(flow_call(c, "KVROUTE.SELECT p r IDS 10 1 2 3 4 5 6 7 8 9 10"), "worker"),
        "b");
}

// The other rule, the default, of the pool and of one call: by what it has to say, not by its numbers.
Test(scoring, delay) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 16");
    cr_expect_str_eq(flow_map_str(flow_call(c, "KVROUTE.INFO p"), "policy"), "delay");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p half");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p none");
    char hex[10 * 16 + 1], five[5 * 16 + 1];
    for (int i = 0; i < 10; i++)
        snprintf(hex + i * 16, 17, "%016x", i + 1);
    snprintf(five, sizeof five, "%.80s", hex);
    flow_expect_int(c, 1, "KVROUTE.EVENT p half 0 1 1 STORED - HEX %s", five);
    char blocks[sizeof hex + 64];
    snprintf(blocks, sizeof blocks, "HEX %s ISL 160", hex);
    double half = flow_map_real(score(c, "half", blocks), "cost");
    double none = flow_map_real(score(c, "none", blocks), "cost");
    cr_expect(half > 0 && half < none, "%g, %g", half, none);
    // Whoever has the half of it is worth a short queue, but not a long one, and not many requests.
    flow_expect_int(c, 1, "KVROUTE.CLAIM p a half 0 HEX %016x ISL 16", 77);
    double queue = flow_map_real(score(c, "half", blocks), "cost");
    cr_expect(queue > half);
    flow_expect_int(c, 1, "KVROUTE.CLAIM p b half 0 HEX %016x ISL 50000", 78);
    cr_expect(flow_map_real(score(c, "half", blocks), "cost") > none);
    snprintf(blocks, sizeof blocks, "HEX %s ISL 160 POLICY linear", hex);
    cr_expect(flow_map_real(score(c, "none", blocks), "cost") == 20);
    // An engine said to be slow costs more, one said to be fast less.
    flow_expect_int(c, 1, "KVROUTE.CLAIM p x none 0 HEX %016x PREFILLED", 79);
    snprintf(blocks, sizeof blocks, "HEX %s ISL 160", hex);
    none = flow_map_real(score(c, "none", blocks), "cost");
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p none SPEED 0.25");
    cr_expect(flow_map_real(score(c, "none", blocks), "cost") > none);
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p none SPEED 4");
    cr_expect(flow_map_real(score(c, "none", blocks), "cost") < none);
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p none SPEED 0");
    cr_expect(flow_map_real(score(c, "none", blocks), "cost") == none);
    flow_call_ok(c, "KVROUTE.ALTER p POLICY linear");
    cr_expect_str_eq(flow_map_str(flow_call(c, "KVROUTE.INFO p"), "policy"), "linear");
}

Test(scoring, every_term_of_the_rule) {
    struct flow_conn *c = flow_start_pool(
        "BLOCKSIZE 4 POLICY linear OVERLAP 2 PREFILL 0.5 REQUESTS 3 HOST 0.5 DISK 0.25");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w ADDR here");
    // Of 1 1 1 1 … 6 6 6 6: device 1 2, host 2 3 4, disk 5 and 1.
    flow_expect_int(c, 1,
                    "KVROUTE.EVENT p w 0 1 1 STORED - IDS 8 1 1 1 1 2 2 2 2"
                    " TIER host STORED %s IDS 12 2 2 2 2 3 3 3 3 4 4 4 4"
                    " TIER disk STORED %s IDS 4 5 5 5 5 TIER disk STORED - IDS 4 1 1 1 1",
                    flow_prefix_of(c, 4, "IDS 4 1 1 1 1").digits,
                    flow_prefix_of(c, 4, "IDS 16 1 1 1 1 2 2 2 2 3 3 3 3 4 4 4 4").digits);
    flow_expect_int(c, 1, "KVROUTE.CLAIM p r1 w 0 IDS 12 1 1 1 1 2 2 2 2 9 9 9 9 ISL 30 CACHED 10");
    flow_expect_int(c, 1, "KVROUTE.CLAIM p r2 w 0 IDS 4 8 8 8 8 PREFILLED OUTPUT 9");
    const char *const blocks = "IDS 25 1 1 1 1 2 2 2 2 3 3 3 3 4 4 4 4 5 5 5 5 6 6 6 6 7";
    const struct flow_reply *r = score(c, "w", blocks);
    cr_expect_str_eq(flow_map_str(r, "addr"), "here");
    cr_expect(flow_map_int(r, "overlap") == 5);
    cr_expect(flow_map_int(r, "expected") == 5);
    cr_expect(flow_map_int(r, "device") == 2);
    cr_expect(flow_map_int(r, "host") == 2);
    cr_expect(flow_map_int(r, "disk") == 1);
    cr_expect(flow_map_int(r, "cached") == 20);
    cr_expect(flow_map_int(r, "prefill_tokens") == 20);
    cr_expect(flow_map_int(r, "decode_blocks") == 7); // 1 2 9, 8, and three of output
    cr_expect(flow_map_int(r, "requests") == 2);
    // prefill (20 + 25)/4 − 2·(2 + 1 + ¼) = 4.75; decode 7 + 6 − 2 = 11; 0.5·4.75 + 11 + 3·2
    cr_expect(flow_map_real(r, "cost") == 19.375);
    char with[200];
    static const struct {
        const char *options;
        double cost;
    } cases[] = {
        {"OVERLAP 0", 0.5 * 11.25 + 11 + 6},
        {"PREFILL 0", 17},
        {"REQUESTS 0", 13.375},
        {"OVERLAP 100", 17},
        {"PREFILL 2", 26.5},
        {"ISL 45", 21.875},
        {"POLICY linear", 19.375},
        {"OSL 1000", 19.375},
        {"TEMPERATURE 5", 19.375},
        {"OVERLAP 0 PREFILL 1 REQUESTS 0", 22.25},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(with, sizeof with, "%s %s", blocks, cases[i].options);
        double cost = flow_map_real(score(c, "w", with), "cost");
        cr_expect(cost == cases[i].cost, "%s: %.17g", cases[i].options, cost);
    }
    // The choice books exactly what was scored.
    r = flow_call(c, "KVROUTE.SELECT p r IDS 25 1 1 1 1 2 2 2 2 3 3 3 3 4 4 4 4 5 5 5 5 6 6 6 6 7");
    cr_expect(flow_map_real(r, "cost") == 19.375);
    cr_expect(flow_map_int(r, "overlap") == 5);
}

static void expect_choice(struct flow_conn *c, const char *id, const char *worker, int64_t rank) {
    const struct flow_reply *r = flow_call(c, "KVROUTE.SELECT p %s IDS 0", id);
    cr_assert_str_eq(flow_map_str(r, "worker"), worker, "%s went to %s", id,
                     flow_map_str(r, "worker"));
    cr_assert(flow_map_int(r, "rank") == rank, "%s", id);
    flow_expect_int(c, 1, "KVROUTE.RELEASE p %s", id);
}

Test(scoring, equals_take_turns) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p b");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p a RANKS 2");
    for (int round = 0; round < 3; round++) {
        expect_choice(c, "1", "a", 0);
        expect_choice(c, "2", "a", 1);
        expect_choice(c, "3", "b", 0);
        if (round == 1) flow_call_ok(c, "DEBUG RELOAD"); // the turns are part of the state
    }
    // One never booked comes first; a claim is a turn, an unsuccessful one isn't.
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p z");
    expect_choice(c, "4", "z", 0);
    flow_expect_int(c, 1, "KVROUTE.CLAIM p x a 0 IDS 0");
    flow_expect_int(c, 0, "KVROUTE.CLAIM p x a 1 IDS 0");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p x");
    expect_choice(c, "5", "a", 1);
    expect_choice(c, "6", "b", 0);
    expect_choice(c, "7", "z", 0);
    expect_choice(c, "8", "a", 0);
    // Who comes back is new.
    flow_expect_int(c, 1, "KVROUTE.WORKER DEL p z");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p z");
    expect_choice(c, "9", "z", 0);
    expect_choice(c, "10", "a", 1);
    // SCORE lists equals in the order in which they would be chosen.
    const struct flow_reply *rows = flow_call(c, "KVROUTE.SCORE p IDS 0");
    static const char *const order[] = {"b", "a", "z", "a"};
    for (size_t i = 0; i < 4; i++)
        cr_expect_str_eq(flow_map_str(&rows->items[i], "worker"), order[i]);
}

Test(scoring, temperature_draws) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1 POLICY linear TEMPERATURE 1");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p a");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p b");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p c");
    flow_expect_int(c, 1, "KVROUTE.CLAIM p x b 0 IDS 4 1 2 3 4 PREFILLED LEASE 0");
    flow_expect_int(c, 1, "KVROUTE.CLAIM p y c 0 IDS 2 1 2 PREFILLED LEASE 0");
    // Costs 0, 4 and 2 of an empty request: weights 1, e^-1, e^-½ at temperature 1.
    enum { FLOW_SCORING_N = 4000 };
    static const struct {
        const char *options;
        double p[3];
    } cases[] = {
        {"", {0.5065, 0.1863, 0.3072}},
        {"TEMPERATURE 0.25", {0.8668, 0.0159, 0.1173}},
        {"TEMPERATURE 0", {1, 0, 0}},
        {"TEMPERATURE 1000000", {0.3333, 0.3333, 0.3333}},
        {"AMONG 2 a b TEMPERATURE 0.000001", {1, 0, 0}},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        int drawn[3] = {0};
        for (int i = 0; i < FLOW_SCORING_N; i++) {
            struct flow_args a = {0};
            flow_args_words(&a, "KVROUTE.SELECT p r IDS 0");
            flow_args_words(&a, cases[k].options);
            flow_conn_write_args(c, &a);
            flow_args_clear(&a);
            flow_post(c, "KVROUTE.RELEASE p r");
            if (i % 100 != 99) continue;
            for (int n = 0; n < 100; n++) {
                const struct flow_reply *r = flow_collect(c);
                drawn[flow_map_str(r, "worker")[0] - 'a']++;
                cr_assert(flow_collect(c)->integer == 1);
            }
        }
        for (int i = 0; i < 3; i++) { // five standard deviations
            double p = cases[k].p[i], off = 5 * sqrt(p * (1 - p) / FLOW_SCORING_N) + 1e-3;
            cr_expect(fabs((double)drawn[i] / FLOW_SCORING_N - p) < off, "%s: %c drawn %d of %d",
                      cases[k].options, 'a' + i, drawn[i], FLOW_SCORING_N);
        }
    }
    // All equal: uniform, and finite.
    flow_expect_int(c, 2, "KVROUTE.RELEASE p x y");
    int drawn[3] = {0};
    for (int i = 0; i < FLOW_SCORING_N; i++) {
        const struct flow_reply *r = flow_call(c, "KVROUTE.SELECT p r IDS 0");
        cr_assert(flow_map_real(r, "cost") == 0);
        drawn[flow_map_str(r, "worker")[0] - 'a']++;
        flow_expect_int(c, 1, "KVROUTE.RELEASE p r");
    }
    for (int i = 0; i < 3; i++)
        cr_expect(abs(drawn[i] - FLOW_SCORING_N / 3) < 150, "%d", drawn[i]);
}

Test(scoring, predictions_count_as_held_and_go) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1 PREDICT 1000000");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p a CAPACITY 6");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p b");
    const struct flow_reply *r = flow_call(c, "KVROUTE.SELECT p r1 IDS 4 1 2 3 4");
    cr_expect_str_eq(flow_map_str(r, "worker"), "a");
    cr_expect(flow_map_int(r, "overlap") == 0);
    flow_expect_int(c, 1, "KVROUTE.UPDATE p r1 PREFILLED");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p r1");
    // Released, it is still expected there; it is no holding and no parent.
    cr_expect(flow_pool_info(c, "p", "predicted") == 4);
    cr_expect(flow_pool_info(c, "p", "holdings") == 0);
    cr_expect(flow_pool_info(c, "p", "blocks") == 0);
    r = score(c, "a", "IDS 5 1 2 3 4 5");
    cr_expect(flow_map_int(r, "overlap") == 4);
    cr_expect(flow_map_int(r, "device") == 4);
    cr_expect(flow_map_int(score(c, "b", "IDS 5 1 2 3 4 5"), "overlap") == 0);
    flow_expect_error(c, "NOPARENT", "KVROUTE.EVENT p a 0 1 1 STORED %s IDS 1 5",
                      flow_prefix_of(c, 1, "IDS 4 1 2 3 4").digits);
    // At most CAPACITY blocks, the oldest booking gives way.
    r = flow_call(c, "KVROUTE.SELECT p r2 IDS 4 7 7 7 7 AMONG 1 a");
    cr_expect(flow_pool_info(c, "p", "predicted") == 4);
    cr_expect(flow_map_int(score(c, "a", "IDS 4 1 2 3 4"), "overlap") == 0);
    cr_expect(flow_map_int(score(c, "a", "IDS 4 7 7 7 7"), "overlap") == 4);
    // A lower tier's clearing leaves what is expected on the device.
    flow_expect_int(c, 1, "KVROUTE.EVENT p a 0 1 1 TIER disk STORED - IDS 1 3");
    cr_expect(flow_pool_info(c, "p", "predicted") == 0, "a new epoch drops predictions");
    flow_call(c, "KVROUTE.SELECT p r3 IDS 2 8 8 AMONG 1 a");
    cr_expect(flow_pool_info(c, "p", "predicted") == 2);
    flow_expect_int(c, 2, "KVROUTE.EVENT p a 0 1 2 TIER disk CLEARED");
    cr_expect(flow_pool_info(c, "p", "predicted") == 2);
    flow_expect_int(c, 3, "KVROUTE.EVENT p a 0 1 3 CLEARED");
    cr_expect(flow_pool_info(c, "p", "predicted") == 0);
    // They end by themselves.
    flow_call_ok(c, "KVROUTE.ALTER p PREDICT 100");
    for (int i = 0; i < 50; i++)
        flow_call(c, "KVROUTE.SELECT p q%d IDS 3 1 2 %d", i, i);
    cr_expect(flow_pool_info(c, "p", "requests") == 52);
    flow_wait_info(c, "predicted", 0);
    cr_expect(flow_pool_info(c, "p", "requests") == 52);
    // Off, nothing is predicted.
    flow_call_ok(c, "KVROUTE.ALTER p PREDICT 0");
    flow_call(c, "KVROUTE.SELECT p last IDS 2 5 5");
    cr_expect(flow_pool_info(c, "p", "predicted") == 0);
}

Test(scoring, a_claim_of_a_caller_is_predicted_too_or_not_at_all) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1 PREDICT 1000000");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p a");
    flow_expect_int(c, 1, "KVROUTE.CLAIM p r a 0 IDS 2 1 2");
    int64_t predicted = flow_pool_info(c, "p", "predicted");
    cr_expect(flow_map_int(score(c, "a", "IDS 2 1 2"), "overlap") == predicted);
    cr_expect(predicted == 0 || predicted == 2);
}
