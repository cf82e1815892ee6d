// SPDX-License-Identifier: Apache-2.0
// SELECT, CLAIM, UPDATE, RELEASE, REQUEST GET and LIST: what instances are doing.
#include <criterion/criterion.h>
#include <hiredis/hiredis.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow_harness.h"
#include "tests/support/support_home.h"

TestSuite(request, .fini = flow_harness_end, .timeout = 120);

// Two workers; a holds 1 2 3 4, b holds 1 2.
static struct flow_conn *start(const char *options) {
    struct flow_conn *c = flow_start_pool(options);
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p a ADDR host-a");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p b ADDR host-b");
    flow_expect_int(c, 1, "KVROUTE.EVENT p a 0 1 1 STORED - IDS 4 1 2 3 4");
    flow_expect_int(c, 1, "KVROUTE.EVENT p b 0 1 1 STORED - IDS 2 1 2");
    return c;
}

static const struct flow_reply *load(struct flow_conn *c, const char *worker) {
    return &flow_map_get(flow_call(c, "KVROUTE.WORKER GET p %s", worker), "ranks")->items[0];
}

Test(request, select_books_and_says_what) {
    struct flow_conn *c = start("BLOCKSIZE 1 POLICY linear");
    int64_t version = flow_pool_info(c, "p", "version");
    const struct flow_reply *r =
        flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.SELECT p r1 IDS 5 1 2 3 4 5");
    cr_expect_str_eq(flow_map_str(r, "worker"), "a");
    cr_expect(flow_map_int(r, "rank") == 0);
    cr_expect_str_eq(flow_map_str(r, "addr"), "host-a");
    cr_expect(flow_map_int(r, "overlap") == 4);
    cr_expect(flow_map_int(r, "cached") == 4);
    cr_expect(flow_map_int(r, "blocks") == 5);
    cr_expect(flow_map_get(r, "cost")->kind == FLOW_REPLY_BULK);
    cr_expect(flow_map_real(r, "cost") == 6); // one block of prefill, five of decode
    cr_expect(flow_map_int(r, "repeat") == 0);
    cr_expect(flow_map_int(r, "version") == version + 1);
    r = load(c, "a");
    cr_expect(flow_map_int(r, "requests") == 1);
    cr_expect(flow_map_int(r, "prefill_tokens") == 1);
    cr_expect(flow_map_int(r, "decode_blocks") == 5);

    r = flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.REQUEST GET p r1");
    cr_expect_str_eq(flow_map_str(r, "request"), "r1");
    cr_expect_str_eq(flow_map_str(r, "worker"), "a");
    cr_expect(flow_map_int(r, "rank") == 0);
    cr_expect(flow_map_int(r, "isl") == 5);
    cr_expect(flow_map_int(r, "cached") == 4);
    cr_expect(flow_map_int(r, "output") == 0);
    cr_expect(flow_map_int(r, "blocks") == 5);
    cr_expect(flow_map_int(r, "prefilled") == 0);
    cr_expect(flow_map_int(r, "age") >= 0 && flow_map_int(r, "age") < FLOW_PATIENCE_MS);
    cr_expect(flow_map_int(r, "lease_left") > 0 && flow_map_int(r, "lease_left") <= 300000);
    flow_expect_null(c, "KVROUTE.REQUEST GET p nosuch");
}

Test(request, the_same_id_gets_the_same_answer) {
    struct flow_conn *c = start("BLOCKSIZE 1");
    flow_call(c, "KVROUTE.SELECT p r1 IDS 4 1 2 3 9");
    int64_t version = flow_pool_info(c, "p", "version");
    struct flow_digest before = flow_pool_digest(c, "p");
    static const char *const again[] = {"IDS 4 1 2 3 9", "IDS 1 7", "IDS 0 EXCLUDE 1 a",
                                        "IDS 0 AMONG 1 b LEASE 5"};
    for (size_t i = 0; i < 4; i++) {
        const struct flow_reply *r = flow_call_words(c, "KVROUTE.SELECT p r1", again[i]);
        cr_expect_str_eq(flow_map_str(r, "worker"), "a");
        cr_expect(flow_map_int(r, "overlap") == 3);
        cr_expect(flow_map_int(r, "cached") == 3);
        cr_expect(flow_map_int(r, "blocks") == 4);
        cr_expect(flow_map_int(r, "repeat") == 1);
        cr_expect(flow_map_int(r, "version") == version);
    }
    cr_expect(flow_same_digest(before, flow_pool_digest(c, "p")));
    cr_expect(flow_pool_info(c, "p", "repeats") == 4);
    cr_expect(flow_pool_info(c, "p", "selects") == 1);
    flow_expect_int(c, 1, "KVROUTE.RELEASE p r1");
    cr_expect(flow_map_int(flow_call(c, "KVROUTE.SELECT p r1 IDS 4 1 2 3 9"), "repeat") == 0);
}

Test(request, select_under_resp3_and_through_hiredis) {
    struct flow_server *s = flow_server_start(NULL);
    struct flow_conn *c = flow_server_connect(s, 3);
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1 POLICY linear");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    const struct flow_reply *r = flow_call_kind(c, FLOW_REPLY_MAP, "KVROUTE.SELECT p r IDS 2 1 2");
    cr_expect(flow_map_get(r, "cost")->kind == FLOW_REPLY_DOUBLE);
    cr_expect(flow_map_get(r, "cost")->real == 4);
    cr_expect(flow_map_get(r, "worker")->kind == FLOW_REPLY_BULK);
    flow_call_kind(c, FLOW_REPLY_MAP, "KVROUTE.REQUEST GET p r");
    flow_call_kind(c, FLOW_REPLY_NULL, "KVROUTE.REQUEST GET p nosuch");
    r = flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.SCORE p IDS 2 1 2");
    cr_expect(r->count == 1 && r->items[0].kind == FLOW_REPLY_MAP);
    cr_expect(flow_map_get(&r->items[0], "cost")->kind == FLOW_REPLY_DOUBLE);

    redisContext *h = redisConnectUnix(s->redis.socket);
    cr_assert(h && !h->err);
    redisReply *got = redisCommand(h, "KVROUTE.SELECT p r2 IDS 2 1 2");
    cr_assert(got && got->type == REDIS_REPLY_ARRAY && got->elements == 26);
    cr_expect_str_eq(got->element[0]->str, "worker");
    cr_expect_str_eq(got->element[1]->str, "w");
    freeReplyObject(got);
    redisFree(h);
}

Test(request, isl_osl_and_tokens_given) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 4");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    flow_expect_int(c, 1, "KVROUTE.EVENT p w 0 1 1 STORED - IDS 8 1 2 3 4 5 6 7 8");
    static const struct {
        const char *blocks;
        int64_t isl, cached, blocks_n;
    } cases[] = {
        {"IDS 10 1 2 3 4 5 6 7 8 9 9", 10, 8, 2}, // the tokens given, also those of no full block
        {"IDS 3 1 2 3", 3, 0, 0},
        {"IDS 10 1 2 3 4 5 6 7 8 9 9 ISL 100", 100, 8, 2},
        {"IDS 8 1 2 3 4 5 6 7 8 ISL 5", 5, 5, 2}, // cached is at most what was asked for
        {"IDS 8 1 2 3 4 5 6 7 8 OSL 50", 8, 8, 2},
        {"IDS 0", 0, 0, 0},
        {"IDS 0 ISL 7", 7, 0, 0},
        {"HEX 0000000000000001", 4, 0, 1}, // blocks × BLOCKSIZE
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct flow_reply *r = flow_call_words(c, "KVROUTE.SELECT p r", cases[i].blocks);
        cr_expect(flow_map_int(r, "cached") == cases[i].cached, "%s", cases[i].blocks);
        cr_expect(flow_map_int(r, "blocks") == cases[i].blocks_n, "%s", cases[i].blocks);
        r = flow_call(c, "KVROUTE.REQUEST GET p r");
        cr_expect(flow_map_int(r, "isl") == cases[i].isl, "%s", cases[i].blocks);
        cr_expect(flow_map_int(r, "cached") == cases[i].cached, "%s", cases[i].blocks);
        cr_expect(flow_map_int(load(c, "w"), "prefill_tokens") == cases[i].isl - cases[i].cached);
        flow_expect_int(c, 1, "KVROUTE.RELEASE p r");
    }
}

Test(request, among_exclude_and_nobody) {
    struct flow_conn *c = start("BLOCKSIZE 1");
    static const struct {
        const char *options, *worker; // NULL: NOWORKER
    } cases[] = {
        {"", "a"},
        {"AMONG 1 b", "b"},
        {"AMONG 2 b a", "a"},
        {"AMONG 3 nosuch b b", "b"},
        {"AMONG 0", NULL},
        {"AMONG 1 nosuch", NULL},
        {"EXCLUDE 1 a", "b"},
        {"EXCLUDE 0", "a"},
        {"EXCLUDE 2 a b", NULL},
        {"EXCLUDE 1 nosuch", "a"},
        {"AMONG 2 a b EXCLUDE 1 a", "b"},
        {"EXCLUDE 1 b AMONG 1 b", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t version = flow_pool_info(c, "p", "version");
        const struct flow_reply *r =
            flow_call_words(c, "KVROUTE.SELECT p r IDS 3 1 2 3", cases[i].options);
        if (!cases[i].worker) {
            cr_expect(flow_is_error(r, "NOWORKER"), "%s", cases[i].options);
            flow_expect_version(c, "p", version);
            continue;
        }
        cr_assert(r->kind == FLOW_REPLY_ARRAY, "%s: %s", cases[i].options,
                  r->bytes ? r->bytes : "");
        cr_expect_str_eq(flow_map_str(r, "worker"), cases[i].worker, "%s", cases[i].options);
        flow_expect_int(c, 1, "KVROUTE.RELEASE p r");
    }
    cr_expect(flow_call(c, "KVROUTE.SCORE p IDS 1 1 AMONG 1 b")->count == 1);
    cr_expect(flow_call(c, "KVROUTE.SCORE p IDS 1 1 EXCLUDE 2 a b")->count == 0);
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p a STATE draining");
    cr_expect_str_eq(flow_map_str(flow_call(c, "KVROUTE.SELECT p r IDS 3 1 2 3"), "worker"), "b");
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p b STATE draining");
    flow_expect_error(c, "NOWORKER", "KVROUTE.SELECT p other IDS 3 1 2 3");
    // What is booked stays, and a repeat is answered even now.
    cr_expect_str_eq(flow_map_str(flow_call(c, "KVROUTE.SELECT p r IDS 3 1 2 3"), "worker"), "b");
}

// A request that ended before its engine had computed anything takes its prediction back. That it was
// computed is said by PREFILLED, or, by who saw only the end of its answer, by OUTPUT.
Test(request, what_is_predicted_of_a_request_that_ended) {
    static const struct {
        const char *update;
        int overlap;
    } ends[] = {{"KVROUTE.UPDATE p r%d LEASE 1000", 0},
                {"KVROUTE.UPDATE p r%d PREFILLED", 3},
                {"KVROUTE.UPDATE p r%d OUTPUT 1", 3}};
    struct flow_conn *c = start("BLOCKSIZE 1 PREDICT 100000");
    for (int i = 0; i < 3; i++) {
        flow_call(c, "KVROUTE.SELECT p r%d IDS 3 %d8 2 3 AMONG 1 b", i, i + 1);
        flow_expect_int(c, 1, ends[i].update, i);
        flow_expect_int(c, 1, "KVROUTE.RELEASE p r%d", i);
        const struct flow_reply *r = flow_call(c, "KVROUTE.SCORE p IDS 3 %d8 2 3 AMONG 1 b", i + 1);
        cr_expect(flow_map_int(&r->items[0], "overlap") == ends[i].overlap, "%s", ends[i].update);
    }
}

Test(request, claim_books_without_choosing) {
    struct flow_conn *c = start("BLOCKSIZE 1");
    flow_expect_error(c, "NOWORKER", "KVROUTE.CLAIM p r nosuch 0 IDS 1 1");
    flow_expect_error(c, "NOWORKER", "KVROUTE.CLAIM p r a 1 IDS 1 1");
    flow_expect_int(c, 1, "KVROUTE.CLAIM p r b 0 IDS 3 1 2 3");
    int64_t version = flow_pool_info(c, "p", "version");
    flow_expect_int(c, 0, "KVROUTE.CLAIM p r a 0 IDS 3 1 2 3");
    flow_expect_version(c, "p", version);
    const struct flow_reply *r = flow_call(c, "KVROUTE.REQUEST GET p r");
    cr_expect_str_eq(flow_map_str(r, "worker"), "b");
    cr_expect(flow_map_int(r, "isl") == 3);
    cr_expect(flow_map_int(r, "prefilled") == 0);
    flow_expect_int(c, 1,
                    "KVROUTE.CLAIM p q a 0 IDS 2 1 2 ISL 20 CACHED 15 OUTPUT 3 PREFILLED LEASE 0");
    r = flow_call(c, "KVROUTE.REQUEST GET p q");
    cr_expect(flow_map_int(r, "isl") == 20);
    cr_expect(flow_map_int(r, "cached") == 15);
    cr_expect(flow_map_int(r, "output") == 3);
    cr_expect(flow_map_int(r, "prefilled") == 1);
    cr_expect(flow_map_int(r, "lease_left") == -1);
    r = load(c, "a");
    cr_expect(flow_map_int(r, "prefill_tokens") == 0);
    cr_expect(flow_map_int(r, "decode_blocks") == 5);
    flow_expect_int(c, 1, "KVROUTE.CLAIM p s a 0 IDS 2 1 2 ISL 20 CACHED 15");
    cr_expect(flow_map_int(load(c, "a"), "prefill_tokens") == 5);
    // Booked on a draining worker too: the caller knows that it runs there.
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p b STATE draining");
    flow_expect_int(c, 1, "KVROUTE.CLAIM p t b 0 IDS 0");
    // A SELECT of its id is a repeat.
    r = flow_call(c, "KVROUTE.SELECT p q IDS 1 9");
    cr_expect(flow_map_int(r, "repeat") == 1);
    cr_expect(flow_map_int(r, "cached") == 15);
    flow_expect_refused(c, "KVROUTE.CLAIM p new a 0",
                        "IDS 2 1 2 CACHED 3|IDS 2 1 2 CACHED -1|IDS 2 1 2 ISL 5 CACHED 6|"
                        "IDS 2 1 2 ISL -1|IDS 2 1 2 OUTPUT -1|IDS 2 1 2 LEASE -1|"
                        "IDS 2 1 2 NOSUCH|IDS 2 1 2 ISL|IDS 2 1 2 ISL 99999999999999999||IDS 2 1|"
                        "IDS 2 1 2 AMONG 1 a");
    flow_expect_null(c, "KVROUTE.REQUEST GET p new");
}

Test(request, update_and_its_repeats) {
    struct flow_conn *c = start("BLOCKSIZE 4");
    flow_expect_int(c, 0, "KVROUTE.UPDATE p nosuch PREFILLED");
    flow_call(c, "KVROUTE.SELECT p r IDS 8 9 9 9 9 9 9 9 9 AMONG 1 a");
    int64_t version = flow_pool_info(c, "p", "version");
    cr_expect(flow_map_int(load(c, "a"), "prefill_tokens") == 8);
    flow_expect_int(c, 1, "KVROUTE.UPDATE p r PREFILLED");
    flow_expect_int(c, 1, "KVROUTE.UPDATE p r PREFILLED");
    cr_expect(flow_map_int(load(c, "a"), "prefill_tokens") == 0);
    static const int outputs[][2] = {{1, 3}, {4, 3}, {5, 4}, {3, 4}, {5, 4}, {0, 4}, {17, 7}};
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++) {
        flow_expect_int(c, 1, "KVROUTE.UPDATE p r OUTPUT %d", outputs[i][0]);
        cr_expect(flow_map_int(load(c, "a"), "decode_blocks") == outputs[i][1], "after %d",
                  outputs[i][0]);
    }
    cr_expect(flow_map_int(flow_call(c, "KVROUTE.REQUEST GET p r"), "output") == 17);
    flow_expect_int(c, 1, "KVROUTE.UPDATE p r LEASE 0");
    cr_expect(flow_map_int(flow_call(c, "KVROUTE.REQUEST GET p r"), "lease_left") == -1);
    flow_expect_int(c, 1, "KVROUTE.UPDATE p r LEASE 5000 OUTPUT 18 PREFILLED");
    int64_t left = flow_map_int(flow_call(c, "KVROUTE.REQUEST GET p r"), "lease_left");
    cr_expect(left > 0 && left <= 5000);
    cr_expect(flow_pool_info(c, "p", "version") > version);
    flow_expect_refused(c, "KVROUTE.UPDATE p r",
                        "OUTPUT|OUTPUT -1|OUTPUT x|LEASE -1|NOSUCH|PREFILLED 1");
    flow_expect_int(c, 1, "KVROUTE.UPDATE p r"); // a bare one renews
    flow_expect_int(c, 0, "KVROUTE.UPDATE p nosuch");
}

Test(request, released) {
    struct flow_conn *c = start("BLOCKSIZE 1");
    struct flow_digest before = flow_pool_digest(c, "p");
    for (int i = 0; i < 10; i++)
        flow_call(c, "KVROUTE.SELECT p r%d IDS 2 1 %d", i, i);
    int64_t version = flow_pool_info(c, "p", "version");
    flow_expect_int(c, 0, "KVROUTE.RELEASE p nosuch other");
    flow_expect_version(c, "p", version);
    flow_expect_int(c, 3, "KVROUTE.RELEASE p r1 nosuch r2 r1 r3");
    flow_expect_int(c, 0, "KVROUTE.RELEASE p r1");
    flow_expect_int(c, 7, "KVROUTE.RELEASE p r0 r4 r5 r6 r7 r8 r9");
    cr_expect(flow_same_state(before, flow_pool_digest(c, "p")));
    cr_expect(flow_map_int(load(c, "a"), "decode_blocks") == 0);
    flow_expect_error(c, "ERR", "KVROUTE.RELEASE p");
}

Test(request, listed_as_scan_does) {
    struct flow_conn *c = start("BLOCKSIZE 1");
    const struct flow_reply *r = flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.REQUEST LIST p");
    cr_assert(r->count == 2 && r->items[0].kind == FLOW_REPLY_BULK &&
              r->items[1].kind == FLOW_REPLY_ARRAY);
    cr_expect_str_eq(r->items[0].bytes, "0");
    enum { FLOW_REQUEST_N = 1000 };
    for (int i = 0; i < FLOW_REQUEST_N; i++)
        flow_call(c, "KVROUTE.SELECT p r%d IDS 0", i);
    static bool seen[FLOW_REQUEST_N];
    char cursor[32] = "0";
    int calls = 0, found = 0;
    do {
        r = calls
                ? flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.REQUEST LIST p %s COUNT 50", cursor)
                : flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.REQUEST LIST p");
        cr_assert(++calls < 2 * FLOW_REQUEST_N);
        snprintf(cursor, sizeof cursor, "%s", r->items[0].bytes);
        for (size_t i = 0; i < r->items[1].count; i++) {
            int id = atoi(r->items[1].items[i].bytes + 1);
            cr_assert(id >= 0 && id < FLOW_REQUEST_N);
            found += !seen[id];
            seen[id] = true;
        }
    } while (strcmp(cursor, "0") != 0);
    cr_expect(found == FLOW_REQUEST_N);
    cr_expect(calls > 1);
    flow_expect_refused(c, "KVROUTE.REQUEST LIST p",
                        "x|-1|0 COUNT|0 COUNT 0|0 COUNT -1|0 COUNT x|0 NOSUCH 1");
    flow_expect_error(c, "ERR", "KVROUTE.REQUEST NOSUCH p");
    flow_expect_error(c, "ERR", "KVROUTE.REQUEST GET p");
    flow_expect_error(c, "ERR", "KVROUTE.REQUEST GET p r r");
    flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.REQUEST LIST p 18446744073709551615");
    flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.REQUEST LIST p 0 COUNT 9223372036854775807");
}

Test(request, refuses_bad_options) {
    struct flow_conn *c = start("BLOCKSIZE 1");
    struct flow_digest before = flow_pool_digest(c, "p");
    static const char bad[] =
        "|NOSUCH|HASHES|HASHES 1234567|HEX 1|IDS|IDS 1|IDS 2 1|IDS 0 NOSUCH|IDS 0 ISL|"
        "IDS 0 ISL -1|IDS 0 ISL x|IDS 0 OSL -1|IDS 0 LEASE -1|IDS 0 AMONG|IDS 0 AMONG x|"
        "IDS 0 AMONG -1|IDS 0 AMONG 2 a|IDS 0 AMONG 99999999999 a|IDS 0 EXCLUDE|IDS 0 EXCLUDE -1|"
        "IDS 0 EXCLUDE 2 a|IDS 0 EXCLUDE 9223372036854775807 a|IDS 0 POLICY|IDS 0 POLICY nosuch|"
        "IDS 0 OVERLAP|IDS 0 OVERLAP -1|IDS 0 OVERLAP nan|IDS 0 PREFILL inf|IDS 0 REQUESTS -0.1|"
        "IDS 0 TEMPERATURE -1|IDS 0 TEMPERATURE nan|IDS 0 HOST 0.5|IDS 0 HEX 0000000000000001|"
        "HEX 0000000000000001 NAMESPACE n";
    flow_expect_refused(c, "KVROUTE.SELECT p r", bad);
    flow_expect_refused(c, "KVROUTE.SCORE p", bad);
    flow_expect_refused(c, "KVROUTE.EXPLAIN p", bad);
    flow_expect_error(c, "ERR", "KVROUTE.SCORE p IDS 0 LEASE 5");
    cr_expect(flow_same_digest(before, flow_pool_digest(c, "p")));
    flow_call_kind(
        c, FLOW_REPLY_ARRAY,
        "kvroute.select p r ids 1 1 isl 4 osl 5 lease 100 among 1 a exclude 1 b policy LINEAR"
        " overlap 1 prefill 2.5 requests 1e1 temperature 0.5");
    flow_call_kind(c, FLOW_REPLY_ARRAY,
                   "KVROUTE.SCORE p IDS 1 1 ISL 4 OSL 5 POLICY linear TEMPERATURE 3");
}

Test(request, leases_end_and_are_renewed) {
    struct flow_conn *c = start("BLOCKSIZE 1 LEASE 100");
    struct flow_digest before = flow_pool_digest(c, "p");
    for (int i = 0; i < 20; i++)
        flow_call(c, "KVROUTE.SELECT p r%d IDS 2 1 %d", i, i);
    flow_expect_int(c, 1, "KVROUTE.CLAIM p claimed a 0 IDS 1 1");
    flow_wait_info(c, "requests", 0);
    cr_expect(flow_same_state(before, flow_pool_digest(c, "p")));
    cr_expect(flow_pool_info(c, "p", "expired_requests") == 21);
    cr_expect(flow_map_int(load(c, "a"), "decode_blocks") == 0);

    flow_call(c, "KVROUTE.SELECT p kept IDS 1 1 LEASE 0");
    flow_call(c, "KVROUTE.SELECT p long IDS 1 1 LEASE 1000000");
    flow_call(c, "KVROUTE.SELECT p renewed IDS 1 1 LEASE 60000");
    flow_expect_int(c, 1, "KVROUTE.UPDATE p renewed LEASE 3000");
    for (int i = 0; i < 40; i++) { // its word comes every 100 ms for longer than the lease
        support_sleep_ms(100);
        if (flow_call_int(c, "KVROUTE.UPDATE p renewed OUTPUT %d", i) == 0) break;
        cr_expect(flow_map_int(flow_call(c, "KVROUTE.REQUEST GET p renewed"), "output") == i);
    }
    cr_expect(flow_call(c, "KVROUTE.REQUEST GET p renewed")->kind != FLOW_REPLY_NULL);
    flow_expect_int(c, 1, "KVROUTE.UPDATE p kept LEASE 50");
    flow_expect_int(c, 1, "KVROUTE.UPDATE p long LEASE 50");
    flow_wait_info(c, "requests", 0);
    cr_expect(flow_pool_info(c, "p", "expired_requests") == 24);
}
