// SPDX-License-Identifier: Apache-2.0
// SELECT … PAIR: the prompt is computed by one instance, the answer by another, chosen and booked together.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "flow_queue.h"
#include "tests/support/support_home.h"

TestSuite(pair, .fini = flow_harness_end, .timeout = 120);

static const char POOL[] = "BLOCKSIZE 1 POLICY linear TRANSFER 0";

// A pool with p1 and p2 for prompts, d1 and d2 for answers; their addresses are their names.
static void add_four(struct flow_conn *c) {
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p p1 ROLE prefill ADDR at-p1");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p p2 ROLE prefill ADDR at-p2");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p d1 ROLE decode ADDR at-d1");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p d2 ROLE decode ADDR at-d2");
}

static struct flow_conn *start(const char *options) {
    char words[300];
    snprintf(words, sizeof words, "%s %s", POOL, options);
    struct flow_conn *c = flow_start_pool(words);
    add_four(c);
    return c;
}

static void expect_pair(const struct flow_reply *r, const char *worker, const char *prefill) {
    char addr[40] = "";
    if (*prefill) snprintf(addr, sizeof addr, "at-%s", prefill);
    cr_expect_str_eq(flow_map_str(r, "worker"), worker);
    cr_expect_str_eq(flow_map_str(r, "prefill_worker"), prefill);
    cr_expect_str_eq(flow_map_str(r, "prefill_addr"), addr);
    cr_expect(flow_map_int(r, "prefill_rank") == (*prefill ? 0 : -1));
}

static int64_t load_of(struct flow_conn *c, const char *worker, const char *what) {
    const struct flow_reply *w = flow_call(c, "KVROUTE.WORKER GET p %s", worker);
    return flow_map_int(&flow_map_get(w, "ranks")->items[0], what);
}

static void expect_load(struct flow_conn *c, const char *worker, int64_t requests, int64_t prefill,
                        int64_t decode) {
    cr_expect(load_of(c, worker, "requests") == requests, "requests of %s", worker);
    cr_expect(load_of(c, worker, "prefill_tokens") == prefill, "prefill_tokens of %s", worker);
    cr_expect(load_of(c, worker, "decode_blocks") == decode, "decode_blocks of %s", worker);
}

// ---- The choice ----------------------------------------------------------------------------------

Test(pair, both_are_chosen_and_booked) {
    struct flow_conn *c = start("");
    flow_expect_int(c, 1, "KVROUTE.EVENT p p2 0 1 1 STORED - IDS 2 1 2");
    int64_t version = flow_pool_info(c, "p", "version");
    const struct flow_reply *r = flow_call(c, "KVROUTE.SELECT p r IDS 3 1 2 3 PAIR");
    expect_pair(r, "d1", "p2");
    cr_expect(flow_map_int(r, "overlap") == 0 && flow_map_int(r, "cached") == 0);
    cr_expect(flow_map_int(r, "prefill_overlap") == 2);
    cr_expect(flow_map_int(r, "version") == version + 1);
    expect_load(c, "p2", 1, 1, 0);
    expect_load(c, "d1", 1, 0, 3);
    expect_load(c, "p1", 0, 0, 0);
    r = flow_call(c, "KVROUTE.REQUEST GET p r");
    cr_expect_str_eq(flow_map_str(r, "worker"), "d1");
    cr_expect_str_eq(flow_map_str(r, "prefill_worker"), "p2");
    cr_expect(flow_map_int(r, "prefill_rank") == 0);
    flow_expect_int(c, 1, "KVROUTE.RELEASE p r");
    expect_load(c, "p2", 0, 0, 0);
    expect_load(c, "d1", 0, 0, 0);
}

static void expect_fields(const struct flow_reply *map, const char *names) {
    char got[400] = "";
    for (size_t i = 0; i < map->count; i += 2) {
        strncat(got, i ? " " : "", sizeof got - strlen(got) - 1);
        strncat(got, map->items[i].bytes, sizeof got - strlen(got) - 1);
    }
    cr_expect_str_eq(got, names);
}

Test(pair, fields_in_order_in_both_protocols) {
    static const char alone[] = "worker rank addr overlap cached blocks cost repeat version "
                                "expected ttft tpot waited";
    struct flow_server *s = flow_server_start(NULL);
    flow_call_ok(s->conn, "KVROUTE.CREATE p BLOCKSIZE 1");
    add_four(s->conn);
    for (int protocol = 2; protocol <= 3; protocol++) {
        struct flow_conn *c = flow_server_connect(s, protocol);
        char all[300];
        snprintf(all, sizeof all, "%s prefill_worker prefill_rank prefill_addr prefill_overlap",
                 alone);
        const struct flow_reply *r =
            flow_call_kind(c, protocol == 3 ? FLOW_REPLY_MAP : FLOW_REPLY_ARRAY,
                           "KVROUTE.SELECT p r%d IDS 1 1 PAIR", protocol);
        expect_fields(r, all);
        cr_expect(flow_map_get(r, "prefill_rank")->kind == FLOW_REPLY_INTEGER);
        cr_expect(flow_map_get(r, "prefill_worker")->kind == FLOW_REPLY_BULK);
        expect_fields(flow_call(c, "KVROUTE.SELECT p s%d IDS 1 1", protocol), alone);
        expect_fields(
            flow_call(c, "KVROUTE.WORKER GET p d1"),
            "worker addr state capacity ttl_left ranks circuit failures role speed labels "
            "maxrequests drain_left");
        expect_fields(flow_call(c, "KVROUTE.REQUEST GET p r%d", protocol),
                      "request worker rank isl cached output blocks prefilled age lease_left osl "
                      "session class flow prefill_worker prefill_rank");
    }
}

Test(pair, a_repeat_says_the_same) {
    struct flow_conn *c = start("");
    flow_expect_int(c, 1, "KVROUTE.EVENT p p2 0 1 1 STORED - IDS 1 1");
    expect_pair(flow_call(c, "KVROUTE.SELECT p r IDS 2 1 2 PAIR"), "d1", "p2");
    struct flow_digest before = flow_pool_digest(c, "p");
    static const char *const again[] = {"IDS 2 1 2 PAIR", "IDS 2 1 2", "IDS 0 EXCLUDE 1 d1 PAIR"};
    for (size_t i = 0; i < 3; i++) {
        const struct flow_reply *r = flow_call_words(c, "KVROUTE.SELECT p r", again[i]);
        expect_pair(r, "d1", "p2");
        cr_expect(flow_map_int(r, "repeat") == 1 && flow_map_int(r, "prefill_overlap") == 1);
    }
    cr_expect(flow_same_digest(before, flow_pool_digest(c, "p")));
    // Also when the prompt is computed, and when who computed it has gone.
    flow_expect_int(c, 1, "KVROUTE.UPDATE p r PREFILLED");
    expect_pair(flow_call(c, "KVROUTE.SELECT p r IDS 0 PAIR"), "d1", "p2");
    flow_expect_int(c, 1, "KVROUTE.WORKER DEL p p2");
    const struct flow_reply *r = flow_call(c, "KVROUTE.SELECT p r IDS 0 PAIR");
    cr_expect_str_eq(flow_map_str(r, "prefill_worker"), "p2");
    cr_expect_str_eq(flow_map_str(r, "prefill_addr"), "");
    // Of one that is no pair the fields are empty.
    flow_call(c, "KVROUTE.SELECT p s IDS 1 9");
    expect_pair(flow_call(c, "KVROUTE.SELECT p s IDS 1 9 PAIR"), "d2", "");
}

Test(pair, the_prompt_weighs_until_its_first_token) {
    struct flow_conn *c = start("");
    flow_call(c, "KVROUTE.SELECT p r IDS 4 1 2 3 4 PAIR");
    expect_load(c, "p1", 1, 4, 0);
    expect_load(c, "d1", 1, 0, 4);
    flow_expect_int(c, 1, "KVROUTE.UPDATE p r OUTPUT 1");
    expect_load(c, "p1", 1, 4, 0);
    flow_expect_int(c, 1, "KVROUTE.UPDATE p r PREFILLED");
    expect_load(c, "p1", 0, 0, 0);
    expect_load(c, "d1", 1, 0, 5);
    flow_expect_int(c, 1, "KVROUTE.RELEASE p r");
    expect_load(c, "d1", 0, 0, 0);
}

// What is being computed there counts as expected there, and so does what is live where it decodes.
Test(pair, the_prompt_is_expected_where_it_is_computed) {
    struct flow_conn *c = start("");
    expect_pair(flow_call(c, "KVROUTE.SELECT p r IDS 3 1 2 3 PAIR"), "d1", "p1");
    const struct flow_reply *r = flow_call(c, "KVROUTE.SELECT p s IDS 3 1 2 3 PAIR");
    cr_expect(flow_map_int(r, "prefill_overlap") == 0);
    flow_call(c, "KVROUTE.ALTER p POLICY delay");
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p p1 ROLE both");
    r = flow_row_of(flow_call(c, "KVROUTE.SCORE p IDS 3 1 2 3"), "p1", 0);
    cr_assert(r);
    cr_expect(flow_map_int(r, "overlap") == 0 && flow_map_int(r, "expected") == 3);
    cr_expect(flow_map_int(r, "decode_blocks") == 0 && flow_map_int(r, "requests") >= 1);
}

Test(pair, without_the_word_no_worker_of_prompts_is_chosen) {
    struct flow_conn *c = flow_start_pool(POOL);
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p p1 ROLE prefill");
    flow_expect_error(c, "NOWORKER", "KVROUTE.SELECT p r IDS 1 1");
    cr_expect(flow_call(c, "KVROUTE.SCORE p IDS 1 1")->count == 0);
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p d1 ROLE decode");
    cr_expect_str_eq(flow_map_str(flow_call(c, "KVROUTE.SELECT p r IDS 1 1"), "worker"), "d1");
    cr_expect(flow_call(c, "KVROUTE.SCORE p IDS 1 1")->count == 1);
}

Test(pair, nobody_to_compute_or_to_decode_is_no_worker) {
    struct flow_conn *c = start("");
    static const char *const none[] = {"EXCLUDE 2 p1 p2", "EXCLUDE 2 d1 d2", "AMONG 1 p1",
                                       "AMONG 2 d1 d2", "WITH 1 gpu=a"};
    for (size_t i = 0; i < 5; i++) {
        const struct flow_reply *r = flow_call_words(c, "KVROUTE.SELECT p r IDS 1 1 PAIR", none[i]);
        cr_expect(flow_is_error(r, "NOWORKER"), "%s", none[i]);
    }
    flow_expect_null(c, "KVROUTE.REQUEST GET p r");
    // The lists hold for both.
    expect_pair(flow_call(c, "KVROUTE.SELECT p r IDS 1 1 PAIR AMONG 2 p2 d2"), "d2", "p2");
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p p1 LABELS 1 gpu=a");
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p d2 LABELS 1 gpu=a");
    expect_pair(flow_call(c, "KVROUTE.SELECT p s IDS 1 2 PAIR WITH 1 gpu=a"), "d2", "p1");
    expect_pair(flow_call(c, "KVROUTE.SELECT p t IDS 1 3 PAIR WITHOUT 1 gpu=a"), "d1", "p2");
}

Test(pair, one_instance_that_does_both_computes_by_itself) {
    struct flow_conn *c = flow_start_pool(POOL);
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p b1");
    expect_pair(flow_call(c, "KVROUTE.SELECT p r IDS 3 1 2 3 PAIR"), "b1", "");
    expect_load(c, "b1", 1, 3, 3);
    cr_expect_str_eq(flow_map_str(flow_call(c, "KVROUTE.REQUEST GET p r"), "prefill_worker"), "");
    cr_expect(flow_map_int(flow_call(c, "KVROUTE.REQUEST GET p r"), "prefill_rank") == -1);
}

Test(pair, a_short_rest_is_computed_where_it_is_decoded) {
    struct flow_conn *c = start("LOCALPREFILL 2");
    flow_expect_int(c, 1, "KVROUTE.EVENT p d1 0 1 1 STORED - IDS 3 1 2 3");
    expect_pair(flow_call(c, "KVROUTE.SELECT p r IDS 5 1 2 3 4 5 PAIR AMONG 3 p1 p2 d1"), "d1", "");
    expect_load(c, "d1", 1, 2, 5);
    expect_pair(flow_call(c, "KVROUTE.SELECT p s IDS 6 1 2 3 7 8 9 PAIR AMONG 3 p1 p2 d1"), "d1",
                "p1");
    // Prompts could be computed by nobody else all the same: that is asked first.
    flow_expect_error(c, "NOWORKER", "KVROUTE.SELECT p t IDS 3 1 2 3 PAIR AMONG 1 d1");
}

// Moving what the decoding instance lacks costs; a tenth of it over a link that both are on.
Test(pair, what_has_to_be_moved_costs) {
    struct flow_conn *c = start("");
    flow_call_ok(c, "KVROUTE.ALTER p TRANSFER 1");
    flow_expect_int(c, 1, "KVROUTE.EVENT p d2 0 1 1 STORED - IDS 4 1 2 3 4");
    expect_pair(flow_call(c, "KVROUTE.SELECT p r IDS 4 1 2 3 4 PAIR"), "d2", "");
    const struct flow_reply *r =
        flow_call(c, "KVROUTE.SELECT p s IDS 4 5 6 7 8 PAIR AMONG 2 p1 d1");
    cr_expect(flow_map_real(r, "cost") == 4 + 4 + 4); // computed, decoded, moved
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p p1 LABELS 1 link=a");
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p d1 LABELS 2 gpu=h link=a");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p s");
    r = flow_call(c, "KVROUTE.SELECT p t IDS 4 5 6 7 8 PAIR AMONG 2 p1 d1");
    cr_expect_float_eq(flow_map_real(r, "cost"), 4 + 4 + 0.4, 1e-9);
    flow_expect_int(c, 1, "KVROUTE.RELEASE p t");
    // So the pair on one link is the best one.
    expect_pair(flow_call(c, "KVROUTE.SELECT p u IDS 4 5 6 7 8 PAIR EXCLUDE 1 d2"), "d1", "p1");
}

Test(pair, a_session_holds_where_it_is_decoded) {
    struct flow_conn *c = start("");
    expect_pair(flow_call(c, "KVROUTE.SELECT p r IDS 1 1 PAIR SESSION chat AMONG 2 p1 d2"), "d2",
                "p1");
    cr_expect_str_eq(flow_map_str(flow_call(c, "KVROUTE.SESSION GET p chat"), "worker"), "d2");
    flow_call_ok(c, "KVROUTE.ALTER p STICK 1000000");
    cr_expect_str_eq(
        flow_map_str(flow_call(c, "KVROUTE.SELECT p s IDS 1 9 PAIR SESSION chat"), "worker"), "d2");
}

// ---- Workers that go -----------------------------------------------------------------------------

Test(pair, without_the_prefilling_worker_it_lives_on) {
    struct flow_conn *c = start("");
    flow_call(c, "KVROUTE.SELECT p r IDS 4 1 2 3 4 PAIR");
    flow_expect_int(c, 1, "KVROUTE.WORKER DEL p p1");
    expect_load(c, "d1", 1, 0, 4);
    expect_load(c, "p2", 0, 0, 0);
    const struct flow_reply *r = flow_call(c, "KVROUTE.REQUEST GET p r");
    cr_expect_str_eq(flow_map_str(r, "prefill_worker"), "p1");
    cr_expect(flow_map_int(r, "prefilled") == 0);
    flow_expect_int(c, 1, "KVROUTE.UPDATE p r PREFILLED OUTPUT 3");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p r");
    cr_expect(flow_pool_info(c, "p", "requests") == 0);
}

Test(pair, without_the_decoding_worker_all_of_it_goes) {
    struct flow_conn *c = start("");
    for (int i = 0; i < 2000; i++)
        flow_post(c, "KVROUTE.SELECT p r%d IDS 2 %d 1 PAIR AMONG 2 p1 d1", i, i);
    for (int i = 0; i < 2000; i++)
        flow_collect(c);
    expect_load(c, "p1", 2000, 4000, 0);
    flow_expect_int(c, 1, "KVROUTE.WORKER DEL p d1");
    // At once, however much memory is still to be swept.
    expect_load(c, "p1", 0, 0, 0);
    flow_expect_null(c, "KVROUTE.REQUEST GET p r0");
    cr_expect(flow_pool_info(c, "p", "requests") == 0);
}

Test(pair, ranks_that_go_take_their_prompts_along) {
    struct flow_conn *c = flow_start_pool(POOL);
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p p1 ROLE prefill RANKS 2");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p d1 ROLE decode");
    flow_expect_int(c, 1, "KVROUTE.CLAIM p r d1 0 IDS 2 1 2 PREFILLER p1 1");
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p p1 RANKS 1");
    expect_load(c, "p1", 0, 0, 0);
    expect_load(c, "d1", 1, 0, 2);
}

// ---- CLAIM ---------------------------------------------------------------------------------------

Test(pair, a_claim_books_both) {
    struct flow_conn *c = start("");
    flow_expect_int(c, 1, "KVROUTE.EVENT p p1 0 1 1 STORED - IDS 2 1 2");
    flow_expect_int(c, 1, "KVROUTE.CLAIM p r d2 0 IDS 4 1 2 3 4 PREFILLER p1 0");
    expect_load(c, "p1", 1, 2, 0);
    expect_load(c, "d2", 1, 0, 4);
    const struct flow_reply *r = flow_call(c, "KVROUTE.SELECT p r IDS 0 PAIR");
    expect_pair(r, "d2", "p1");
    cr_expect(flow_map_int(r, "prefill_overlap") == 2);
    // Live already: nothing, whoever is named.
    flow_expect_int(c, 0, "KVROUTE.CLAIM p r d2 0 IDS 0 PREFILLER nobody 0");
    flow_expect_error(c, "NOWORKER", "KVROUTE.CLAIM p s d2 0 IDS 0 PREFILLER nobody 0");
    flow_expect_error(c, "NOWORKER", "KVROUTE.CLAIM p s d2 0 IDS 0 PREFILLER p1 1");
    flow_expect_null(c, "KVROUTE.REQUEST GET p s");
    // Computed already: it is remembered alone, also of one that has gone.
    flow_expect_int(c, 1, "KVROUTE.CLAIM p t d1 0 IDS 1 1 PREFILLED PREFILLER nobody 3");
    r = flow_call(c, "KVROUTE.REQUEST GET p t");
    cr_expect_str_eq(flow_map_str(r, "prefill_worker"), "nobody");
    cr_expect(flow_map_int(r, "prefill_rank") == 3);
    // One instance is no pair.
    flow_expect_int(c, 1, "KVROUTE.CLAIM p u d1 0 IDS 3 5 6 7 PREFILLER d1 0");
    cr_expect_str_eq(flow_map_str(flow_call(c, "KVROUTE.REQUEST GET p u"), "prefill_worker"), "");
    cr_expect(load_of(c, "d1", "prefill_tokens") == 3);
}

// ---- Room and waiting ----------------------------------------------------------------------------

Test(pair, both_need_room) {
    struct flow_conn *c = start("MAXREQUESTS 1");
    flow_call(c, "KVROUTE.SELECT p r IDS 2 1 2 PAIR");
    flow_call(c, "KVROUTE.SELECT p s IDS 2 1 2 PAIR");
    flow_expect_refusal(c, "NOROOM", "KVROUTE.SELECT p t IDS 2 3 4 PAIR");
    // Decoding instances are full, however many prompts are through.
    flow_expect_int(c, 1, "KVROUTE.UPDATE p r PREFILLED");
    flow_expect_refusal(c, "NOROOM", "KVROUTE.SELECT p t IDS 2 3 4 PAIR");
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p d1 MAXREQUESTS 2");
    expect_pair(flow_call(c, "KVROUTE.SELECT p t IDS 2 3 4 PAIR"), "d1", "p1");
    // And now those for prompts are.
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p d1 MAXREQUESTS 9");
    flow_expect_refusal(c, "NOROOM", "KVROUTE.SELECT p u IDS 2 5 6 PAIR");
}

Test(pair, a_first_token_or_an_end_admits_who_waits) {
    struct flow_conn *c = start("MAXREQUESTS 1");
    flow_call(c, "KVROUTE.WORKER SET p d1 MAXREQUESTS 9");
    for (int i = 0; i < 2; i++)
        flow_expect_booked(c, "KVROUTE.SELECT p r%d IDS 1 %d PAIR AMONG 3 p1 p2 d1", i, i + 1);
    flow_expect_waiting(c, "KVROUTE.SELECT p w1 IDS 1 8 PAIR WAIT 1000000");
    flow_expect_waiting(c, "KVROUTE.SELECT p w2 IDS 1 9 PAIR WAIT 1000000");
    cr_expect(flow_waiting(c) == 2);
    flow_expect_int(c, 1, "KVROUTE.UPDATE p r0 PREFILLED");
    flow_wait_live(c, "w1");
    cr_expect_str_eq(flow_map_str(flow_call(c, "KVROUTE.REQUEST GET p w1"), "prefill_worker"),
                     "p1");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p r1");
    flow_wait_live(c, "w2");
    cr_expect_str_eq(flow_map_str(flow_call(c, "KVROUTE.REQUEST GET p w2"), "prefill_worker"),
                     "p2");
}

Test(pair, a_blocked_caller_is_told_both) {
    struct flow_server *s = flow_server_start(NULL);
    flow_call_ok(s->conn, "KVROUTE.CREATE p BLOCKSIZE 1 MAXREQUESTS 1");
    flow_expect_int(s->conn, 1, "KVROUTE.WORKER SET p p1 ROLE prefill ADDR at-p1");
    flow_expect_int(s->conn, 1, "KVROUTE.WORKER SET p d1 ROLE decode ADDR at-d1 MAXREQUESTS 9");
    flow_expect_booked(s->conn, "KVROUTE.SELECT p x IDS 1 1 PAIR");
    for (int protocol = 2; protocol <= 3; protocol++) {
        struct flow_conn *c = flow_server_connect(s, protocol);
        flow_post(c, "KVROUTE.SELECT p b%d IDS 1 %d WAIT 1000000 BLOCK PAIR", protocol, protocol);
        flow_wait_waiting(s->conn, 1);
        flow_expect_int(s->conn, 1, "KVROUTE.UPDATE p %s PREFILLED", protocol == 2 ? "x" : "b2");
        const struct flow_reply *r = flow_collect(c);
        cr_assert(r->count == 34);
        expect_pair(r, "d1", "p1");
    }
}

// ---- Options, words and what is refused ----------------------------------------------------------

Test(pair, roles_are_kept_and_shown) {
    struct flow_conn *c = start("");
    static const char *const roles[] = {"both", "prefill", "decode"};
    for (int i = 0; i < 3; i++) {
        flow_expect_int(c, 0, "KVROUTE.WORKER SET p d1 ROLE %s", roles[i]);
        flow_expect_int(c, 0, "KVROUTE.WORKER SET p d1"); // a heartbeat changes nothing
        cr_expect_str_eq(flow_map_str(flow_call(c, "KVROUTE.WORKER GET p d1"), "role"), roles[i]);
    }
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p n");
    cr_expect_str_eq(flow_map_str(flow_call(c, "KVROUTE.WORKER GET p n"), "role"), "both");
}

Test(pair, draining_may_have_an_end) {
    struct flow_conn *c = start("");
    cr_expect(flow_map_int(flow_call(c, "KVROUTE.WORKER GET p d1"), "drain_left") == -1);
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p d1 STATE draining DRAIN 100000000");
    const struct flow_reply *r = flow_call(c, "KVROUTE.WORKER GET p d1");
    cr_expect_str_eq(flow_map_str(r, "state"), "draining");
    int64_t left = flow_map_int(r, "drain_left");
    cr_expect(left > 0 && left <= 100000000);
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p d1");
    cr_expect(flow_map_int(flow_call(c, "KVROUTE.WORKER GET p d1"), "drain_left") > 0);
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p d1 STATE draining DRAIN 0");
    cr_expect(flow_map_int(flow_call(c, "KVROUTE.WORKER GET p d1"), "drain_left") == 0);
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p d1 STATE ready");
    cr_expect(flow_map_int(flow_call(c, "KVROUTE.WORKER GET p d1"), "drain_left") == -1);
}

Test(pair, options_are_shown_and_checked) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1");
    cr_expect(flow_map_real(flow_call(c, "KVROUTE.INFO p"), "transfer") == 0.1);
    cr_expect(flow_pool_info(c, "p", "localprefill") == 0);
    flow_call_ok(c, "KVROUTE.ALTER p TRANSFER 0.25 LOCALPREFILL 512");
    cr_expect(flow_map_real(flow_call(c, "KVROUTE.INFO p"), "transfer") == 0.25);
    cr_expect(flow_pool_info(c, "p", "localprefill") == 512);
    flow_expect_refused(c, "KVROUTE.ALTER p",
                        "TRANSFER -1|TRANSFER x|TRANSFER nan|TRANSFER inf|TRANSFER|LOCALPREFILL -1|"
                        "LOCALPREFILL 1.5|LOCALPREFILL 9007199254740993|LOCALPREFILL");
    cr_expect(flow_pool_info(c, "p", "localprefill") == 512);
}

Test(pair, what_is_malformed_is_refused) {
    struct flow_conn *c = start("");
    struct flow_digest before = flow_pool_digest(c, "p");
    flow_expect_refused(c, "KVROUTE.WORKER SET p d1",
                        "ROLE|ROLE x|ROLE prefil|DRAIN 1|STATE ready DRAIN 1|STATE draining DRAIN|"
                        "STATE draining DRAIN -1|STATE draining DRAIN 9223372036854775807");
    flow_expect_refused(c, "KVROUTE.SELECT p r IDS 0", "PAIR PAIR|PAIR 1|PREFILLER p1 0");
    flow_expect_refused(c, "KVROUTE.SCORE p IDS 0", "PAIR");
    flow_expect_refused(
        c, "KVROUTE.CLAIM p r d1 0 IDS 0",
        "PREFILLER|PREFILLER p1|PREFILLER p1 x|PREFILLER p1 -1|PREFILLER p1 0 "
        "PREFILLER p1 0|PREFILLER p1 4294967296|PREFILLCACHED 1|PREFILLOVERLAP 1|PAIR");
    char longest[140];
    memset(longest, 'x', sizeof longest);
    const struct flow_reply *r =
        flow_call(c, "KVROUTE.CLAIM p r d1 0 IDS 0 PREFILLER %b 0", longest, (size_t)129);
    cr_expect(flow_is_error(r, "ERR"));
    cr_expect(flow_same_digest(before, flow_pool_digest(c, "p")));
}

Test(pair, redis_cli_is_told_of_the_words) {
    struct flow_server *s = flow_server_start(NULL);
    static const struct {
        const char *command, *word;
    } words[] = {{"kvroute.select", "PAIR"},
                 {"kvroute.claim", "PREFILLER"},
                 {"kvroute.create", "TRANSFER"},
                 {"kvroute.alter", "LOCALPREFILL"}};
    for (size_t i = 0; i < 4; i++) {
        flow_post(s->conn, "COMMAND DOCS %s", words[i].command);
        const struct flow_reply *r = flow_collect(s->conn);
        bool found = false;
        // Tokens are somewhere in the nested reply: walk it.
        const struct flow_reply *stack[400] = {r};
        for (int n = 1; n > 0 && !found;) {
            const struct flow_reply *at = stack[--n];
            found = at->bytes && strcmp(at->bytes, words[i].word) == 0;
            for (size_t k = 0; k < at->count && n < 400; k++)
                stack[n++] = &at->items[k];
        }
        cr_expect(found, "%s of %s", words[i].word, words[i].command);
    }
}

Test(pair, rights_are_those_of_its_commands) {
    struct flow_server *s = flow_server_start(NULL);
    flow_call_ok(s->conn, "KVROUTE.CREATE p BLOCKSIZE 1");
    add_four(s->conn);
    flow_call_ok(s->conn, "ACL SETUSER reader on nopass +@all %%R~p*");
    struct flow_conn *c = flow_server_connect(s, 2);
    flow_call_ok(c, "AUTH reader x");
    flow_expect_error(c, "NOPERM", "KVROUTE.SELECT p r IDS 1 1 PAIR");
    flow_expect_error(c, "NOPERM", "KVROUTE.CLAIM p r d1 0 IDS 1 1 PREFILLER p1 0");
    flow_expect_error(c, "NOPERM", "KVROUTE.WORKER SET p p1 ROLE both");
    flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.WORKER GET p p1");
}

// ---- Copies --------------------------------------------------------------------------------------

// Bookings of every kind: computed, being computed, by one that has gone, waiting.
static void fill(struct flow_conn *c) {
    flow_call_ok(c,
                 "KVROUTE.CREATE p BLOCKSIZE 1 MAXREQUESTS 3 TRANSFER 0.5 LOCALPREFILL 1 PREDICT "
                 "100000000 LEASE 0");
    add_four(c);
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p gone ROLE prefill LABELS 1 link=x");
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p d2 STATE draining DRAIN 100000000");
    flow_expect_int(c, 1, "KVROUTE.EVENT p p1 0 1 1 STORED - IDS 3 1 2 3");
    flow_expect_booked(c, "KVROUTE.SELECT p being IDS 4 1 2 3 4 PAIR AMONG 2 p1 d1");
    flow_expect_booked(c, "KVROUTE.SELECT p done IDS 4 11 12 13 14 PAIR AMONG 2 p2 d1");
    flow_expect_int(c, 1, "KVROUTE.UPDATE p done PREFILLED OUTPUT 7");
    flow_expect_int(c, 1, "KVROUTE.CLAIM p lost d1 0 IDS 2 7 8 PREFILLER gone 0");
    flow_expect_int(c, 1, "KVROUTE.WORKER DEL p gone");
    flow_expect_waiting(c, "KVROUTE.SELECT p waits IDS 2 8 9 PAIR WAIT 100000000 AMONG 2 p2 d1");
}

static void expect_filled(struct flow_conn *c) {
    expect_load(c, "p1", 1, 1, 0);
    expect_load(c, "p2", 0, 0, 0);
    cr_expect(load_of(c, "d1", "requests") == 3);
    cr_expect_str_eq(flow_map_str(flow_call(c, "KVROUTE.REQUEST GET p being"), "prefill_worker"),
                     "p1");
    cr_expect_str_eq(flow_map_str(flow_call(c, "KVROUTE.REQUEST GET p done"), "prefill_worker"),
                     "p2");
    cr_expect_str_eq(flow_map_str(flow_call(c, "KVROUTE.REQUEST GET p lost"), "prefill_worker"),
                     "gone");
    cr_expect(flow_map_int(flow_call(c, "KVROUTE.WORKER GET p d2"), "drain_left") > 0);
    cr_expect_str_eq(flow_map_str(flow_call(c, "KVROUTE.WORKER GET p p1"), "role"), "prefill");
    expect_pair(flow_call(c, "KVROUTE.SELECT p being IDS 0"), "d1", "p1");
}

Test(pair, a_replica_has_the_same_and_takes_over) {
    struct flow_server *a = flow_server_start(NULL), *b = flow_server_start(NULL);
    flow_server_replica_of(b, a);
    fill(a->conn);
    flow_expect_equal(a, b, "p");
    flow_server_failover(&a, &b);
    expect_filled(a->conn);
    flow_expect_int(a->conn, 1, "KVROUTE.RELEASE p lost");
    flow_wait_live(a->conn, "waits");
    cr_expect_str_eq(
        flow_map_str(flow_call(a->conn, "KVROUTE.REQUEST GET p waits"), "prefill_worker"), "p2");
    flow_expect_equal(a, b, "p");
}

Test(pair, a_reload_keeps_all_of_it) {
    static const char *const reload[] = {"DEBUG RELOAD", "DEBUG LOADAOF"};
    for (int i = 0; i < 2; i++) {
        struct flow_server *s = flow_server_start(flow_with_aof);
        fill(s->conn);
        struct flow_digest before = flow_pool_digest(s->conn, "p");
        flow_call_ok(s->conn, reload[i]);
        cr_expect(flow_same_digest(before, flow_pool_digest(s->conn, "p")), "%s", reload[i]);
        expect_filled(s->conn);
    }
}

Test(pair, a_restart_keeps_all_of_it) {
    struct flow_server *s = flow_server_start(flow_with_aof);
    fill(s->conn);
    struct flow_digest before = flow_pool_digest(s->conn, "p");
    flow_server_kill(s, SIGKILL);
    flow_server_restart(s);
    cr_expect(flow_same_digest(before, flow_pool_digest(s->conn, "p")));
    expect_filled(s->conn);
}
