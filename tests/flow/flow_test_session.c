// SPDX-License-Identifier: Apache-2.0
// Sessions, labels, speeds, what is expected and what is learnt: over the socket, on replicas, after
// restarts.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow_traffic.h"
#include "tests/support/support_home.h"

TestSuite(session, .fini = flow_harness_end, .timeout = 120);

static void expect_worker(struct flow_conn *c, const char *request, const char *worker) {
    char command[400];
    snprintf(command, sizeof command, "KVROUTE.SELECT p %s", request);
    const struct flow_reply *r = flow_call(c, command);
    cr_assert(r->kind == FLOW_REPLY_ARRAY, "%s: %s", command, r->bytes);
    cr_assert_str_eq(flow_map_str(r, "worker"), worker, "%s went to %s", command,
                     flow_map_str(r, "worker"));
}

// ---- Replies -------------------------------------------------------------------------------------

Test(session, fields_in_order) {
    struct flow_server *s = flow_server_start(NULL);
    struct flow_conn *both[] = {s->conn, flow_server_connect(s, 3)};
    flow_call_ok(s->conn, "KVROUTE.CREATE p BLOCKSIZE 1");
    flow_expect_int(s->conn, 1, "KVROUTE.WORKER SET p w ADDR x LABELS 2 b a SPEED 1.5");
    flow_call(s->conn, "KVROUTE.SELECT p r IDS 3 1 2 3 SESSION chat");
    for (int i = 0; i < 2; i++) {
        struct flow_conn *c = both[i];
        flow_expect_fields(
            flow_call(c, "KVROUTE.SELECT p r IDS 0"),
            "worker rank addr overlap cached blocks cost repeat version expected ttft "
            "tpot waited");
        flow_expect_fields(&flow_call(c, "KVROUTE.SCORE p IDS 3 1 2 3")->items[0],
                           "worker rank addr overlap device host disk cached prefill_tokens "
                           "decode_blocks requests cost expected ttft tpot room");
        flow_expect_fields(
            flow_call(c, "KVROUTE.REQUEST GET p r"),
            "request worker rank isl cached output blocks prefilled age lease_left osl "
            "session class flow prefill_worker prefill_rank");
        flow_expect_fields(flow_call(c, "KVROUTE.SESSION GET p chat"),
                           "session worker rank requests ttl_left");
        const struct flow_reply *w = flow_call(c, "KVROUTE.WORKER GET p w");
        flow_expect_fields(
            w, "worker addr state capacity ttl_left ranks circuit failures role speed labels "
               "maxrequests drain_left");
        flow_expect_fields(&flow_map_get(w, "ranks")->items[0],
                           "rank epoch seq device_blocks host_blocks disk_blocks requests "
                           "prefill_tokens decode_blocks ttft tpot");
        enum flow_reply_kind number = i ? FLOW_REPLY_DOUBLE : FLOW_REPLY_BULK;
        cr_expect(flow_map_get(w, "speed")->kind == number && flow_map_real(w, "speed") == 1.5);
        const struct flow_reply *labels = flow_map_get(w, "labels");
        cr_assert(labels->kind == FLOW_REPLY_ARRAY && labels->count == 2);
        cr_expect_str_eq(labels->items[0].bytes, "a"); // bytewise, whatever the order given
        cr_expect_str_eq(labels->items[1].bytes, "b");
        const struct flow_reply *r = flow_call(c, "KVROUTE.SELECT p r IDS 0");
        cr_expect(flow_map_get(r, "ttft")->kind == number && flow_map_real(r, "ttft") == -1);
        cr_expect(flow_map_real(r, "tpot") == -1 && flow_map_int(r, "waited") == 0);
        cr_expect(flow_map_int(&flow_call(c, "KVROUTE.SCORE p IDS 0")->items[0], "room") == 1);
    }
}

Test(session, worker_set_speed_and_labels) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    const struct flow_reply *w = flow_call(c, "KVROUTE.WORKER GET p w");
    cr_expect(flow_map_real(w, "speed") == 0 && flow_map_get(w, "labels")->count == 0);
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p w LABELS 3 zone=1 gpu=a zone=1 SPEED 0.25");
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p w TTL 0"); // what isn't named stays
    w = flow_call(c, "KVROUTE.WORKER GET p w");
    cr_expect(flow_map_real(w, "speed") == 0.25 && flow_map_get(w, "labels")->count == 2);
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p w LABELS 0");
    cr_expect(flow_map_get(flow_call(c, "KVROUTE.WORKER GET p w"), "labels")->count == 0);
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p w LABELS 1 %b", "a\0\r\n\xff", (size_t)5);
    const struct flow_reply *label =
        &flow_map_get(flow_call(c, "KVROUTE.WORKER GET p w"), "labels")->items[0];
    cr_expect(label->n == 5 && memcmp(label->bytes, "a\0\r\n\xff", 5) == 0);
    struct flow_digest d = flow_pool_digest(c, "p");
    flow_call_ok(c, "DEBUG RELOAD");
    cr_expect(flow_same_digest(d, flow_pool_digest(c, "p")));
    label = &flow_map_get(flow_call(c, "KVROUTE.WORKER GET p w"), "labels")->items[0];
    cr_expect(label->n == 5 && memcmp(label->bytes, "a\0\r\n\xff", 5) == 0);
}

Test(session, with_and_without) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p a LABELS 2 gpu=a zone=1");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p b LABELS 1 gpu=a");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p c");
    static const struct {
        const char *options;
        size_t n;
    } cases[] = {
        {"WITH 0", 3},
        {"WITH 1 gpu=a", 2},
        {"WITH 2 gpu=a zone=1", 1},
        {"WITH 1 gpu", 0},
        {"WITHOUT 1 gpu=a", 1},
        {"WITHOUT 2 zone=1 nosuch", 2},
        {"WITH 1 gpu=a WITHOUT 1 zone=1", 1},
        {"WITH 1 gpu=a WITHOUT 1 gpu=a", 0},
        {"WITH 1 gpu=a AMONG 2 b c", 1},
        {"WITH 1 gpu=a EXCLUDE 2 a b", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char command[200];
        snprintf(command, sizeof command, "KVROUTE.SCORE p IDS 0 %s", cases[i].options);
        cr_expect(flow_call(c, command)->count == cases[i].n, "%s", command);
        snprintf(command, sizeof command, "KVROUTE.SELECT p r IDS 0 %s", cases[i].options);
        const struct flow_reply *r = flow_call(c, command);
        cr_expect(cases[i].n ? r->kind == FLOW_REPLY_ARRAY : flow_is_error(r, "NOWORKER"), "%s",
                  command);
        flow_call(c, "KVROUTE.RELEASE p r");
    }
}

// What one request is waiting for, the next needn't compute; the overlap says what is held alone.
Test(session, expected_beside_overlap) {
    struct flow_server *s = flow_server_start(NULL), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, s);
    struct flow_conn *c = s->conn;
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 4");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    const struct flow_reply *r = flow_call(c, "KVROUTE.SELECT p one IDS 9 1 1 1 1 2 2 2 2 3");
    cr_expect(flow_map_int(r, "cached") == 0 && flow_map_int(r, "expected") == 0);
    for (int i = 0; i < 3; i++) { // and again, and again after a reload
        r = flow_call(c, "KVROUTE.SELECT p two IDS 13 1 1 1 1 2 2 2 2 4 4 4 4 5");
        cr_expect(flow_map_int(r, "repeat") == (i > 0) && flow_map_int(r, "overlap") == 0);
        cr_expect(flow_map_int(r, "expected") == 2 && flow_map_int(r, "cached") == 8);
        if (i == 1) flow_call_ok(c, "DEBUG RELOAD");
    }
    cr_expect(flow_map_int(&flow_map_get(flow_call(c, "KVROUTE.WORKER GET p w"), "ranks")->items[0],
                           "prefill_tokens") == 9 + 5);
    cr_expect(flow_pool_info(c, "p", "expected_blocks") == 2);
    flow_server_wait_link(replica, s);
    flow_expect_equal(s, replica, "p");
    // A promoted replica gives the same answer again.
    flow_call_ok(replica->conn, "REPLICAOF NO ONE");
    r = flow_call(replica->conn, "KVROUTE.SELECT p two IDS 0");
    cr_expect(flow_map_int(r, "repeat") == 1 && flow_map_int(r, "overlap") == 0);
    cr_expect(flow_map_int(r, "expected") == 2 && flow_map_int(r, "cached") == 8);
}

// Every combination of what is held and what is live, as the effect that a replica gets tells it.
Test(session, a_replica_repeats_what_was_answered) {
    struct flow_server *s = flow_server_start(NULL), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, s);
    struct flow_conn *c = s->conn;
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1");
    enum { FLOW_SESSION_CASES = 7 };
    static const struct {
        int held, live, isl;
    } cases[FLOW_SESSION_CASES] = {{0, 0, 9}, {3, 0, 9}, {0, 3, 9}, {3, 3, 9},
                                   {2, 5, 9}, {5, 2, 9}, {6, 8, 4}};
    static const char *const ids = "1 2 3 4 5 6 7 8 9";
    for (int i = 0; i < FLOW_SESSION_CASES; i++) {
        char command[200];
        flow_expect_int(c, 1, "KVROUTE.WORKER SET p w%d", i);
        snprintf(command, sizeof command, "KVROUTE.EVENT p w%d 0 1 1 STORED - IDS %d %.*s", i,
                 cases[i].held, cases[i].held ? 2 * cases[i].held - 1 : 0, ids);
        cr_assert(flow_call(c, command)->integer == 1);
        snprintf(command, sizeof command, "KVROUTE.CLAIM p c%d w%d 0 IDS %d %.*s", i, i,
                 cases[i].live, cases[i].live ? 2 * cases[i].live - 1 : 0, ids);
        cr_assert(flow_call(c, command)->integer == 1);
        snprintf(command, sizeof command, "KVROUTE.SELECT p r%d IDS 9 %s ISL %d AMONG 1 w%d", i,
                 ids, cases[i].isl, i);
        const struct flow_reply *r = flow_call(c, command);
        int most = cases[i].held > cases[i].live ? cases[i].held : cases[i].live;
        cr_assert(flow_map_int(r, "overlap") == cases[i].held &&
                  flow_map_int(r, "expected") == most);
        cr_assert(flow_map_int(r, "cached") == (most < cases[i].isl ? most : cases[i].isl));
    }
    flow_expect_equal(s, replica, "p");
    flow_call_ok(replica->conn, "REPLICAOF NO ONE");
    for (int i = 0; i < FLOW_SESSION_CASES; i++) {
        static const char *const fields[] = {"overlap", "expected", "cached", "blocks"};
        for (int k = 0; k < 4; k++) {
            int64_t want = flow_map_int(flow_call(c, "KVROUTE.SELECT p r%d IDS 0", i), fields[k]);
            int64_t got =
                flow_map_int(flow_call(replica->conn, "KVROUTE.SELECT p r%d IDS 0", i), fields[k]);
            cr_expect(got == want, "%s of case %d: %d instead of %d", fields[k], i, (int)got,
                      (int)want);
        }
        double cost = flow_map_real(flow_call(c, "KVROUTE.SELECT p r%d IDS 0", i), "cost");
        cr_expect(flow_map_real(flow_call(replica->conn, "KVROUTE.SELECT p r%d IDS 0", i),
                                "cost") == cost);
    }
}

// ---- Sessions ------------------------------------------------------------------------------------

Test(session, get_list_del) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1 SESSIONTTL 100000");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w RANKS 2");
    flow_expect_null(c, "KVROUTE.SESSION GET p chat");
    cr_expect(flow_call(c, "KVROUTE.SESSION LIST p")->items[1].count == 0);
    flow_expect_int(c, 1, "KVROUTE.CLAIM p one w 1 IDS 0 SESSION chat");
    flow_expect_int(c, 1, "KVROUTE.CLAIM p two w 1 IDS 0 SESSION chat");
    const struct flow_reply *r = flow_call(c, "KVROUTE.SESSION GET p chat");
    cr_expect_str_eq(flow_map_str(r, "session"), "chat");
    cr_expect_str_eq(flow_map_str(r, "worker"), "w");
    cr_expect(flow_map_int(r, "rank") == 1 && flow_map_int(r, "requests") == 2);
    cr_expect(flow_map_int(r, "ttl_left") > 50000 && flow_map_int(r, "ttl_left") <= 100000);
    cr_expect_str_eq(flow_map_str(flow_call(c, "KVROUTE.REQUEST GET p one"), "session"), "chat");
    flow_expect_int(c, 1, "KVROUTE.CLAIM p none w 0 IDS 0");
    cr_expect_str_eq(flow_map_str(flow_call(c, "KVROUTE.REQUEST GET p none"), "session"), "");
    for (int i = 0; i < 200; i++) {
        flow_call(c, "KVROUTE.SELECT p r%d IDS 0 SESSION s%d", i, i);
        flow_expect_int(c, 1, "KVROUTE.RELEASE p r%d", i);
    }
    cr_expect(flow_pool_info(c, "p", "sessions") == 201);
    bool seen[201] = {false};
    char cursor[24] = "0";
    int rounds = 0;
    do {
        r = flow_call(c, "KVROUTE.SESSION LIST p %s COUNT 7", cursor);
        snprintf(cursor, sizeof cursor, "%s", r->items[0].bytes);
        for (size_t i = 0; i < r->items[1].count; i++) {
            const char *name = r->items[1].items[i].bytes;
            seen[strcmp(name, "chat") == 0 ? 200 : atoi(name + 1)] = true;
        }
        cr_assert(rounds++ < 1000);
    } while (strcmp(cursor, "0") != 0);
    cr_expect(rounds > 5);
    for (int i = 0; i <= 200; i++)
        cr_expect(seen[i], "session %d isn't listed", i);
    // Forgotten; its live requests go on, and are of the session if that comes again.
    int64_t version = flow_pool_info(c, "p", "version");
    flow_expect_int(c, 2, "KVROUTE.SESSION DEL p chat nosuch s3 chat");
    flow_expect_version(c, "p", version + 1);
    flow_expect_int(c, 0, "KVROUTE.SESSION DEL p chat");
    flow_expect_version(c, "p", version + 1);
    flow_expect_null(c, "KVROUTE.SESSION GET p chat");
    cr_expect_str_eq(flow_map_str(flow_call(c, "KVROUTE.REQUEST GET p one"), "session"), "chat");
    flow_call_ok(c, "DEBUG RELOAD");
    flow_expect_null(c, "KVROUTE.SESSION GET p chat");
    flow_expect_int(c, 1, "KVROUTE.CLAIM p again w 0 IDS 0 SESSION chat");
    r = flow_call(c, "KVROUTE.SESSION GET p chat");
    cr_expect(flow_map_int(r, "rank") == 0 && flow_map_int(r, "requests") == 3);
    flow_expect_int(c, 1, "KVROUTE.WORKER DEL p w");
    cr_expect(flow_pool_info(c, "p", "sessions") == 0);
    flow_expect_null(c, "KVROUTE.SESSION GET p s5");
}

Test(session, stays_where_it_was) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1 POLICY linear STICK 0");
    for (const char *w = "abc"; *w; w++)
        flow_expect_int(c, 1, "KVROUTE.WORKER SET p %b", w, (size_t)1);
    expect_worker(c, "r1 IDS 0 SESSION s", "a");
    expect_worker(c, "r2 IDS 0", "b");
    expect_worker(c, "r3 IDS 0", "c");
    flow_expect_int(c, 3, "KVROUTE.RELEASE p r1 r2 r3");
    for (int i = 0; i < 3; i++) { // a tie is the session's
        expect_worker(c, "r IDS 0 SESSION s", "a");
        flow_expect_int(c, 1, "KVROUTE.RELEASE p r");
    }
    flow_expect_int(c, 1, "KVROUTE.CLAIM p busy a 0 IDS 0 ISL 10");
    expect_worker(c, "r IDS 0 SESSION t", "b");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p r");
    // Ten tokens of prefill may be waited for, and not nine.
    flow_call_ok(c, "KVROUTE.ALTER p STICK 9");
    expect_worker(c, "r IDS 0 SESSION s", "c");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p r");
    flow_expect_int(c, 1, "KVROUTE.CLAIM p visit a 0 IDS 0 SESSION s");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p visit");
    flow_call_ok(c, "KVROUTE.ALTER p STICK 10");
    expect_worker(c, "r IDS 0 SESSION s", "a");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p r");
    flow_call_ok(c, "DEBUG RELOAD");
    expect_worker(c, "r IDS 0 SESSION s", "a");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p r");
    expect_worker(c, "r IDS 0 SESSION s EXCLUDE 1 a", "b");
}

Test(session, ends_by_the_timer_everywhere) {
    struct flow_server *s = flow_server_start(NULL), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, s);
    struct flow_conn *c = s->conn, *watch = flow_server_connect(replica, 2);
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1 LEASE 0");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    for (int i = 0; i < 50; i++) {
        flow_call(c, "KVROUTE.SELECT p r%d IDS 0 SESSION s%d", i, i);
        if (i % 2) flow_expect_int(c, 1, "KVROUTE.RELEASE p r%d", i);
    }
    flow_expect_equal(s, replica, "p");
    cr_expect(flow_pool_info(replica->conn, "p", "sessions") == 50);
    flow_call_ok(watch, "MONITOR");
    flow_call_ok(c, "KVROUTE.ALTER p SESSIONTTL 1");
    flow_wait_info(c, "sessions", 25);
    support_sleep_ms(200);
    cr_expect(flow_pool_info(c, "p", "sessions") == 25); // the others have some
    flow_expect_null(c, "KVROUTE.SESSION GET p s1");
    cr_expect(flow_map_int(flow_call(c, "KVROUTE.SESSION GET p s2"), "ttl_left") == 0);
    for (int i = 0; i < 50; i += 2)
        flow_expect_int(c, 1, "KVROUTE.RELEASE p r%d", i);
    flow_wait_info(c, "sessions", 0);
    flow_expect_equal(s, replica, "p");
    flow_call_ok(c, "SET the-end x");
    size_t forgotten = 0;
    for (;;) {
        const struct flow_reply *r = flow_collect(watch);
        const char *name = strstr(r->bytes, "\"KVROUTE.SESSION\" \"DEL\" \"p\"");
        while (name && (name = strstr(name + 1, "\"s"))) // several, as many as ended at once
            forgotten++;
        if (strstr(r->bytes, "the-end")) break;
    }
    cr_expect(forgotten == 50, "%d", (int)forgotten);
}

// A new primary gives them their time anew.
Test(session, promotion_renews) {
    struct flow_server *s = flow_server_start(NULL), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, s);
    flow_call_ok(s->conn, "KVROUTE.CREATE p BLOCKSIZE 1 SESSIONTTL 2000");
    flow_expect_int(s->conn, 1, "KVROUTE.WORKER SET p w");
    flow_call(s->conn, "KVROUTE.SELECT p r IDS 0 SESSION s");
    flow_expect_int(s->conn, 1, "KVROUTE.RELEASE p r");
    flow_expect_equal(s, replica, "p");
    flow_server_kill(s, SIGKILL);
    support_sleep_ms(2200);
    cr_expect(flow_pool_info(replica->conn, "p", "sessions") == 1); // a replica consults no clock
    flow_call_ok(replica->conn, "REPLICAOF NO ONE");
    cr_expect(flow_map_int(flow_call(replica->conn, "KVROUTE.SESSION GET p s"), "ttl_left") > 0);
    flow_wait_info(replica->conn, "sessions", 0);
}

// What goes with a worker goes on every copy alike, one that has loaded the pool since included, so that
// the count of changes stays the same.
Test(session, copies_agree_on_what_went_with_a_worker) {
    struct flow_server *s = flow_server_start(NULL), *early = flow_server_start(NULL),
                       *late = flow_server_start(NULL);
    flow_server_replica_of(early, s);
    struct flow_conn *c = s->conn;
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1 SESSIONTTL 100000");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p v");
    for (int i = 0; i < 100; i++) {
        flow_call(c, "KVROUTE.SELECT p r%d IDS 0 SESSION s%d", i, i);
        if (i % 3) flow_expect_int(c, 1, "KVROUTE.RELEASE p r%d", i);
    }
    flow_expect_int(c, 1, "KVROUTE.WORKER DEL p w");
    flow_server_replica_of(late, s);
    flow_expect_equal(s, early, "p");
    flow_expect_equal(s, late, "p");
    flow_call(c, "KVROUTE.SESSION DEL p s0 s1 s2 s3 s4 s5");
    flow_expect_equal(s, late, "p");
    for (int i = 0; i < 100; i++)
        flow_call(c, "KVROUTE.RELEASE p r%d", i);
    flow_call_ok(c, "KVROUTE.ALTER p SESSIONTTL 1");
    flow_wait_info(c, "sessions", 0);
    flow_expect_equal(s, early, "p");
    flow_expect_equal(s, late, "p");
}

// ---- How requests end ----------------------------------------------------------------------------

// Ids are bytes: those that look like words of an effect are released as any other, and the effect
// that tells of it isn't mistaken.
Test(session, ids_like_the_words_of_effects) {
    struct flow_server *s = flow_server_start(flow_with_aof), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, s);
    struct flow_conn *c = s->conn;
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    static const struct {
        const char *ids;
        int64_t live;
    } cases[] = {
        {"AT", 1},       {"LAPSED", 1},    {"AT 5", 2},
        {"LAPSED 5", 2}, {"r AT 5", 3},    {"r LAPSED 123456", 3},
        {"AT AT", 1},    {"AT LAPSED", 2}, {"r AT LAPSED 5", 4},
        {"r at 5", 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct flow_args a = {0};
        flow_args_words(&a, cases[i].ids);
        for (size_t k = 0; k < a.n; k++)
            flow_call(c, "KVROUTE.CLAIM p %b w 0 IDS 1 1 PREFILLED", a.v[k], a.len[k]);
        flow_args_clear(&a);
        char command[100];
        snprintf(command, sizeof command, "KVROUTE.RELEASE p %s", cases[i].ids);
        cr_expect(flow_call(c, command)->integer == cases[i].live, "%s", command);
        cr_expect(flow_pool_info(c, "p", "requests") == 0);
        flow_expect_equal(s, replica, "p");
    }
    struct flow_digest d = flow_pool_digest(c, "p");
    flow_call_ok(c, "DEBUG LOADAOF");
    cr_expect(flow_same_digest(d, flow_pool_digest(c, "p")));
}

// The owner's word teaches, the end of a lease doesn't; every copy learns the same.
Test(session, what_is_learnt_is_the_same_everywhere) {
    struct flow_server *s = flow_server_start(NULL), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, s);
    struct flow_conn *c = s->conn;
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    struct flow_digest before = flow_pool_digest(c, "p"), after;
    const struct flow_reply *r = flow_call(c, "KVROUTE.SELECT p r IDS 2 1 2 ISL 100");
    cr_expect(flow_map_real(r, "ttft") == -1 && flow_map_real(r, "tpot") == -1);
    for (int i = 0; i < 3; i++) {
        flow_call(c, "KVROUTE.SELECT p r IDS 2 1 %d ISL 100", i);
        support_sleep_ms(20);
        flow_expect_int(c, 1, "KVROUTE.UPDATE p r PREFILLED OUTPUT 1");
        support_sleep_ms(20);
        flow_expect_int(c, 1, "KVROUTE.UPDATE p r OUTPUT 10");
        flow_expect_int(c, 1, "KVROUTE.RELEASE p r");
    }
    after = flow_pool_digest(c, "p");
    cr_expect(flow_same_state(before, after) && !flow_same_digest(before, after));
    r = flow_call(c, "KVROUTE.SELECT p r IDS 2 7 8 ISL 100");
    double ttft = flow_map_real(r, "ttft"), tpot = flow_map_real(r, "tpot");
    cr_expect(ttft >= 10 && tpot >= 1, "%g %g", ttft, tpot);
    r = flow_call(c, "KVROUTE.SELECT p r IDS 0");
    cr_expect(flow_map_real(r, "ttft") == ttft && flow_map_real(r, "tpot") == tpot);
    const struct flow_reply *rank =
        &flow_map_get(flow_call(c, "KVROUTE.WORKER GET p w"), "ranks")->items[0];
    cr_expect(flow_map_real(rank, "ttft") >= 10 && flow_map_real(rank, "tpot") >= 1);
    flow_expect_int(c, 1, "KVROUTE.UPDATE p r PREFILLED OUTPUT 5 LEASE 50");
    double known = flow_map_real(&flow_call(c, "KVROUTE.SCORE p IDS 0")->items[0], "tpot");
    flow_wait_info(c, "requests", 0);
    cr_expect(flow_map_real(&flow_call(c, "KVROUTE.SCORE p IDS 0")->items[0], "tpot") == known);
    flow_expect_equal(s, replica, "p");
    double there =
        flow_map_real(&flow_call(replica->conn, "KVROUTE.SCORE p IDS 0")->items[0], "tpot");
    cr_expect(there == known);
    flow_call_ok(c, "DEBUG RELOAD");
    cr_expect(flow_map_real(&flow_call(c, "KVROUTE.SCORE p IDS 0")->items[0], "tpot") == known);
}

// Under traffic, through restarts of each kind and failovers: flow_expect_equal and the digests hold what was
// learnt to the same bits.
Test(session, what_is_learnt_survives) {
    struct flow_server *a = flow_server_start(flow_with_aof), *b = flow_server_start(flow_with_aof);
    flow_server_replica_of(b, a);
    struct flow_traffic t;
    flow_traffic_start(&t, a->conn, "p", "LEASE 200 PREDICT 100 SESSIONTTL 200");
    t.lease = 100;
    for (int round = 0; round < 3; round++) {
        flow_traffic_pipeline(&t, a->conn, 1500);
        flow_expect_equal(a, b, "p");
        flow_server_failover(&a, &b);
        flow_expect_equal(a, b, "p");
        flow_call_ok(a->conn, "CLIENT PAUSE 60000 WRITE"); // so that nothing ends meanwhile
        struct flow_digest d = flow_pool_digest(a->conn, "p");
        flow_call_ok(a->conn, "DEBUG RELOAD");
        cr_assert(flow_same_digest(d, flow_pool_digest(a->conn, "p")), "after a reload");
        flow_call_ok(a->conn, "CLIENT UNPAUSE");
        flow_server_wait_link(b, a);
        flow_expect_equal(a, b, "p");
    }
}

// ---- Bad arguments -------------------------------------------------------------------------------

Test(session, refused) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    struct flow_digest before = flow_pool_digest(c, "p");
    int64_t version = flow_pool_info(c, "p", "version");
    flow_expect_refused(c, "KVROUTE.WORKER SET p w",
                        "SPEED -1|SPEED nan|SPEED inf|SPEED 1000001|SPEED x|SPEED|LABELS|"
                        "LABELS 1|LABELS 2 a|LABELS -1|LABELS x a|LABELS 1 a LABELS 1 b|"
                        "LABELS 18446744073709551615 a");
    flow_expect_refused(c, "KVROUTE.SELECT p r IDS 0",
                        "WITH 1|WITHOUT 2 a|WITH 4294967297 a|SESSION|SESSION a SESSION b");
    flow_expect_refused(c, "KVROUTE.SCORE p IDS 0", "WITH 1");
    flow_expect_refused(c, "KVROUTE.CLAIM p r w 0 IDS 0", "SESSION|EXPECTED 1");
    flow_expect_refused(c, "KVROUTE.ALTER p",
                        "STICK -1|STICK nan|STICK 2e9|SLOTTFT 0|SLOTBT 0|SLOTBT -1|SESSIONTTL -1|"
                        "SESSIONTTL 9223372036854775807");
    flow_expect_refused(c, "KVROUTE.DIGEST p", "NOSUCH|LEARNT LEARNT");
    flow_expect_refused(c, "KVROUTE.SESSION",
                        "GET p|GET p a b|LIST p x|LIST p 0 COUNT 0|LIST p 0 NOSUCH|DEL p|NOSUCH p");
    static char many[1000];
    memset(many, 's', sizeof many);
    static const char *const named[] = {"KVROUTE.SELECT p r IDS 0 SESSION %b",
                                        "KVROUTE.SCORE p IDS 0 SESSION %b",
                                        "KVROUTE.CLAIM p r w 0 IDS 0 SESSION %b"};
    for (int i = 0; i < 3; i++) {
        flow_expect_error(c, "ERR", named[i], many, (size_t)257);
        flow_expect_error(c, "ERR", named[i], many, (size_t)0);
    }
    static const char *const labelled[] = {"KVROUTE.SELECT p r IDS 0 WITH 1 %b",
                                           "KVROUTE.SCORE p IDS 0 WITHOUT 1 %b",
                                           "KVROUTE.WORKER SET p w LABELS 1 %b"};
    for (int i = 0; i < 3; i++) {
        flow_expect_error(c, "ERR", labelled[i], many, (size_t)129);
        flow_expect_error(c, "ERR", labelled[i], many, (size_t)0);
    }
    static const char *const lists[] = {"KVROUTE.WORKER SET p w LABELS",
                                        "KVROUTE.SCORE p IDS 0 WITH",
                                        "KVROUTE.SCORE p IDS 0 WITHOUT"};
    for (int i = 0; i < 3; i++)
        for (int n = 64; n <= 65; n++) {
            struct flow_args a = {0};
            flow_args_words(&a, lists[i]);
            flow_args_int(&a, n);
            for (int k = 0; k < n; k++)
                flow_args_int(&a, k);
            bool refused = flow_is_error(flow_call_args(c, &a), "ERR");
            cr_expect(refused == (n > 64), "%s %d", lists[i], n);
            flow_args_clear(&a);
        }
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p w LABELS 0");
    flow_expect_version(c, "p", version + 2);
    cr_expect(flow_same_digest(before, flow_pool_digest(c, "p")));
    // Errors of the pool and the key.
    flow_expect_error(c, "NOPOOL", "KVROUTE.SESSION GET nosuch s");
    flow_expect_error(c, "NOPOOL", "KVROUTE.SESSION DEL nosuch s");
    flow_call_ok(c, "SET text x");
    flow_expect_error(c, "WRONGTYPE", "KVROUTE.SESSION LIST text");
    cr_expect(flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.SESSION HELP")->count > 3);
    // The longest there may be.
    flow_expect_int(c, 1, "KVROUTE.CLAIM p r w 0 IDS 0 SESSION %b", many, (size_t)256);
    cr_expect(
        flow_map_int(flow_call(c, "KVROUTE.SESSION GET p %b", many, (size_t)256), "requests") == 1);
}
