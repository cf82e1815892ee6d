// SPDX-License-Identifier: Apache-2.0
// Sessions, labels, speeds, what is expected and what is learnt: over the socket, on replicas, after
// restarts.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "traffic.h"

TestSuite(session, .fini = harness_end, .timeout = 120);

static const struct reply *words(struct conn *c, const char *command) {
    struct args a = {0};
    args_words(&a, command);
    const struct reply *r = call_args(c, &a);
    args_clear(&a);
    return r;
}

// A map's fields are these, in this order.
static void expect_fields(const struct reply *map, const char *names) {
    struct args a = {0};
    args_words(&a, names);
    cr_assert(map->kind == REPLY_ARRAY || map->kind == REPLY_MAP);
    cr_assert(map->count == 2 * a.n, "%d fields instead of %d", (int)map->count / 2, (int)a.n);
    for (size_t i = 0; i < a.n; i++)
        cr_expect_str_eq(map->items[2 * i].bytes, a.v[i]);
    args_clear(&a);
}

static void expect_worker(struct conn *c, const char *request, const char *worker) {
    char command[400];
    snprintf(command, sizeof command, "KVROUTE.SELECT p %s", request);
    const struct reply *r = words(c, command);
    cr_assert(r->kind == REPLY_ARRAY, "%s: %s", command, r->bytes);
    cr_assert_str_eq(map_str(r, "worker"), worker, "%s went to %s", command, map_str(r, "worker"));
}

// ---- Replies -------------------------------------------------------------------------------------

Test(session, fields_in_order) {
    struct server *s = server_start(NULL);
    struct conn *both[] = {s->conn, server_connect(s, 3)};
    call_ok(s->conn, "KVROUTE.CREATE p BLOCKSIZE 1");
    expect_int(s->conn, 1, "KVROUTE.WORKER SET p w ADDR x LABELS 2 b a SPEED 1.5");
    call(s->conn, "KVROUTE.SELECT p r IDS 3 1 2 3 SESSION chat");
    for (int i = 0; i < 2; i++) {
        struct conn *c = both[i];
        expect_fields(call(c, "KVROUTE.SELECT p r IDS 0"),
                      "worker rank addr overlap cached blocks cost repeat version expected ttft "
                      "tpot waited");
        expect_fields(&call(c, "KVROUTE.SCORE p IDS 3 1 2 3")->items[0],
                      "worker rank addr overlap device host disk cached prefill_tokens "
                      "decode_blocks requests cost expected ttft tpot room");
        expect_fields(call(c, "KVROUTE.REQUEST GET p r"),
                      "request worker rank isl cached output blocks prefilled age lease_left osl "
                      "session");
        expect_fields(call(c, "KVROUTE.SESSION GET p chat"),
                      "session worker rank requests ttl_left");
        const struct reply *w = call(c, "KVROUTE.WORKER GET p w");
        expect_fields(w, "worker addr state capacity ttl_left ranks circuit failures speed labels");
        expect_fields(&map_get(w, "ranks")->items[0],
                      "rank epoch seq device_blocks host_blocks disk_blocks requests "
                      "prefill_tokens decode_blocks ttft tpot");
        enum reply_kind number = i ? REPLY_DOUBLE : REPLY_BULK;
        cr_expect(map_get(w, "speed")->kind == number && map_real(w, "speed") == 1.5);
        const struct reply *labels = map_get(w, "labels");
        cr_assert(labels->kind == REPLY_ARRAY && labels->count == 2);
        cr_expect_str_eq(labels->items[0].bytes, "a"); // bytewise, whatever the order given
        cr_expect_str_eq(labels->items[1].bytes, "b");
        const struct reply *r = call(c, "KVROUTE.SELECT p r IDS 0");
        cr_expect(map_get(r, "ttft")->kind == number && map_real(r, "ttft") == -1);
        cr_expect(map_real(r, "tpot") == -1 && map_int(r, "waited") == 0);
        cr_expect(map_int(&call(c, "KVROUTE.SCORE p IDS 0")->items[0], "room") == 1);
    }
}

Test(session, worker_set_speed_and_labels) {
    struct conn *c = start_pool("BLOCKSIZE 1");
    expect_int(c, 1, "KVROUTE.WORKER SET p w");
    const struct reply *w = call(c, "KVROUTE.WORKER GET p w");
    cr_expect(map_real(w, "speed") == 0 && map_get(w, "labels")->count == 0);
    expect_int(c, 0, "KVROUTE.WORKER SET p w LABELS 3 zone=1 gpu=a zone=1 SPEED 0.25");
    expect_int(c, 0, "KVROUTE.WORKER SET p w TTL 0"); // what isn't named stays
    w = call(c, "KVROUTE.WORKER GET p w");
    cr_expect(map_real(w, "speed") == 0.25 && map_get(w, "labels")->count == 2);
    expect_int(c, 0, "KVROUTE.WORKER SET p w LABELS 0");
    cr_expect(map_get(call(c, "KVROUTE.WORKER GET p w"), "labels")->count == 0);
    expect_int(c, 0, "KVROUTE.WORKER SET p w LABELS 1 %b", "a\0\r\n\xff", (size_t)5);
    const struct reply *label = &map_get(call(c, "KVROUTE.WORKER GET p w"), "labels")->items[0];
    cr_expect(label->n == 5 && memcmp(label->bytes, "a\0\r\n\xff", 5) == 0);
    struct digest d = pool_digest(c, "p");
    call_ok(c, "DEBUG RELOAD");
    cr_expect(same_digest(d, pool_digest(c, "p")));
    label = &map_get(call(c, "KVROUTE.WORKER GET p w"), "labels")->items[0];
    cr_expect(label->n == 5 && memcmp(label->bytes, "a\0\r\n\xff", 5) == 0);
}

Test(session, with_and_without) {
    struct conn *c = start_pool("BLOCKSIZE 1");
    expect_int(c, 1, "KVROUTE.WORKER SET p a LABELS 2 gpu=a zone=1");
    expect_int(c, 1, "KVROUTE.WORKER SET p b LABELS 1 gpu=a");
    expect_int(c, 1, "KVROUTE.WORKER SET p c");
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
        cr_expect(words(c, command)->count == cases[i].n, "%s", command);
        snprintf(command, sizeof command, "KVROUTE.SELECT p r IDS 0 %s", cases[i].options);
        const struct reply *r = words(c, command);
        cr_expect(cases[i].n ? r->kind == REPLY_ARRAY : is_error(r, "NOWORKER"), "%s", command);
        call(c, "KVROUTE.RELEASE p r");
    }
}

// What one request is waiting for, the next needn't compute; the overlap says what is held alone.
Test(session, expected_beside_overlap) {
    struct server *s = server_start(NULL), *replica = server_start(NULL);
    server_replica_of(replica, s);
    struct conn *c = s->conn;
    call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 4");
    expect_int(c, 1, "KVROUTE.WORKER SET p w");
    const struct reply *r = call(c, "KVROUTE.SELECT p one IDS 9 1 1 1 1 2 2 2 2 3");
    cr_expect(map_int(r, "cached") == 0 && map_int(r, "expected") == 0);
    for (int i = 0; i < 3; i++) { // and again, and again after a reload
        r = call(c, "KVROUTE.SELECT p two IDS 13 1 1 1 1 2 2 2 2 4 4 4 4 5");
        cr_expect(map_int(r, "repeat") == (i > 0) && map_int(r, "overlap") == 0);
        cr_expect(map_int(r, "expected") == 2 && map_int(r, "cached") == 8);
        if (i == 1) call_ok(c, "DEBUG RELOAD");
    }
    cr_expect(map_int(&map_get(call(c, "KVROUTE.WORKER GET p w"), "ranks")->items[0],
                      "prefill_tokens") == 9 + 5);
    cr_expect(pool_info(c, "p", "expected_blocks") == 2);
    server_wait_link(replica, s);
    expect_equal(s, replica, "p");
    // A promoted replica gives the same answer again.
    call_ok(replica->conn, "REPLICAOF NO ONE");
    r = call(replica->conn, "KVROUTE.SELECT p two IDS 0");
    cr_expect(map_int(r, "repeat") == 1 && map_int(r, "overlap") == 0);
    cr_expect(map_int(r, "expected") == 2 && map_int(r, "cached") == 8);
}

// Every combination of what is held and what is live, as the effect that a replica gets tells it.
Test(session, a_replica_repeats_what_was_answered) {
    struct server *s = server_start(NULL), *replica = server_start(NULL);
    server_replica_of(replica, s);
    struct conn *c = s->conn;
    call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1");
    enum { CASES = 7 };
    static const struct {
        int held, live, isl;
    } cases[CASES] = {{0, 0, 9}, {3, 0, 9}, {0, 3, 9}, {3, 3, 9}, {2, 5, 9}, {5, 2, 9}, {6, 8, 4}};
    static const char *const ids = "1 2 3 4 5 6 7 8 9";
    for (int i = 0; i < CASES; i++) {
        char command[200];
        expect_int(c, 1, "KVROUTE.WORKER SET p w%d", i);
        snprintf(command, sizeof command, "KVROUTE.EVENT p w%d 0 1 1 STORED - IDS %d %.*s", i,
                 cases[i].held, cases[i].held ? 2 * cases[i].held - 1 : 0, ids);
        cr_assert(words(c, command)->integer == 1);
        snprintf(command, sizeof command, "KVROUTE.CLAIM p c%d w%d 0 IDS %d %.*s", i, i,
                 cases[i].live, cases[i].live ? 2 * cases[i].live - 1 : 0, ids);
        cr_assert(words(c, command)->integer == 1);
        snprintf(command, sizeof command, "KVROUTE.SELECT p r%d IDS 9 %s ISL %d AMONG 1 w%d", i,
                 ids, cases[i].isl, i);
        const struct reply *r = words(c, command);
        int most = cases[i].held > cases[i].live ? cases[i].held : cases[i].live;
        cr_assert(map_int(r, "overlap") == cases[i].held && map_int(r, "expected") == most);
        cr_assert(map_int(r, "cached") == (most < cases[i].isl ? most : cases[i].isl));
    }
    expect_equal(s, replica, "p");
    call_ok(replica->conn, "REPLICAOF NO ONE");
    for (int i = 0; i < CASES; i++) {
        static const char *const fields[] = {"overlap", "expected", "cached", "blocks"};
        for (int k = 0; k < 4; k++) {
            int64_t want = map_int(call(c, "KVROUTE.SELECT p r%d IDS 0", i), fields[k]);
            int64_t got = map_int(call(replica->conn, "KVROUTE.SELECT p r%d IDS 0", i), fields[k]);
            cr_expect(got == want, "%s of case %d: %d instead of %d", fields[k], i, (int)got,
                      (int)want);
        }
        double cost = map_real(call(c, "KVROUTE.SELECT p r%d IDS 0", i), "cost");
        cr_expect(map_real(call(replica->conn, "KVROUTE.SELECT p r%d IDS 0", i), "cost") == cost);
    }
}

// ---- Sessions ------------------------------------------------------------------------------------

Test(session, get_list_del) {
    struct conn *c = start_pool("BLOCKSIZE 1 SESSIONTTL 100000");
    expect_int(c, 1, "KVROUTE.WORKER SET p w RANKS 2");
    expect_null(c, "KVROUTE.SESSION GET p chat");
    cr_expect(call(c, "KVROUTE.SESSION LIST p")->items[1].count == 0);
    expect_int(c, 1, "KVROUTE.CLAIM p one w 1 IDS 0 SESSION chat");
    expect_int(c, 1, "KVROUTE.CLAIM p two w 1 IDS 0 SESSION chat");
    const struct reply *r = call(c, "KVROUTE.SESSION GET p chat");
    cr_expect_str_eq(map_str(r, "session"), "chat");
    cr_expect_str_eq(map_str(r, "worker"), "w");
    cr_expect(map_int(r, "rank") == 1 && map_int(r, "requests") == 2);
    cr_expect(map_int(r, "ttl_left") > 50000 && map_int(r, "ttl_left") <= 100000);
    cr_expect_str_eq(map_str(call(c, "KVROUTE.REQUEST GET p one"), "session"), "chat");
    expect_int(c, 1, "KVROUTE.CLAIM p none w 0 IDS 0");
    cr_expect_str_eq(map_str(call(c, "KVROUTE.REQUEST GET p none"), "session"), "");
    for (int i = 0; i < 200; i++) {
        call(c, "KVROUTE.SELECT p r%d IDS 0 SESSION s%d", i, i);
        expect_int(c, 1, "KVROUTE.RELEASE p r%d", i);
    }
    cr_expect(pool_info(c, "p", "sessions") == 201);
    bool seen[201] = {false};
    char cursor[24] = "0";
    int rounds = 0;
    do {
        r = call(c, "KVROUTE.SESSION LIST p %s COUNT 7", cursor);
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
    int64_t version = pool_info(c, "p", "version");
    expect_int(c, 2, "KVROUTE.SESSION DEL p chat nosuch s3 chat");
    expect_version(c, "p", version + 1);
    expect_int(c, 0, "KVROUTE.SESSION DEL p chat");
    expect_version(c, "p", version + 1);
    expect_null(c, "KVROUTE.SESSION GET p chat");
    cr_expect_str_eq(map_str(call(c, "KVROUTE.REQUEST GET p one"), "session"), "chat");
    call_ok(c, "DEBUG RELOAD");
    expect_null(c, "KVROUTE.SESSION GET p chat");
    expect_int(c, 1, "KVROUTE.CLAIM p again w 0 IDS 0 SESSION chat");
    r = call(c, "KVROUTE.SESSION GET p chat");
    cr_expect(map_int(r, "rank") == 0 && map_int(r, "requests") == 3);
    expect_int(c, 1, "KVROUTE.WORKER DEL p w");
    cr_expect(pool_info(c, "p", "sessions") == 0);
    expect_null(c, "KVROUTE.SESSION GET p s5");
}

Test(session, stays_where_it_was) {
    struct conn *c = start_pool("BLOCKSIZE 1 POLICY linear STICK 0");
    for (const char *w = "abc"; *w; w++)
        expect_int(c, 1, "KVROUTE.WORKER SET p %b", w, (size_t)1);
    expect_worker(c, "r1 IDS 0 SESSION s", "a");
    expect_worker(c, "r2 IDS 0", "b");
    expect_worker(c, "r3 IDS 0", "c");
    expect_int(c, 3, "KVROUTE.RELEASE p r1 r2 r3");
    for (int i = 0; i < 3; i++) { // a tie is the session's
        expect_worker(c, "r IDS 0 SESSION s", "a");
        expect_int(c, 1, "KVROUTE.RELEASE p r");
    }
    expect_int(c, 1, "KVROUTE.CLAIM p busy a 0 IDS 0 ISL 10");
    expect_worker(c, "r IDS 0 SESSION t", "b");
    expect_int(c, 1, "KVROUTE.RELEASE p r");
    // Ten tokens of prefill may be waited for, and not nine.
    call_ok(c, "KVROUTE.ALTER p STICK 9");
    expect_worker(c, "r IDS 0 SESSION s", "c");
    expect_int(c, 1, "KVROUTE.RELEASE p r");
    expect_int(c, 1, "KVROUTE.CLAIM p visit a 0 IDS 0 SESSION s");
    expect_int(c, 1, "KVROUTE.RELEASE p visit");
    call_ok(c, "KVROUTE.ALTER p STICK 10");
    expect_worker(c, "r IDS 0 SESSION s", "a");
    expect_int(c, 1, "KVROUTE.RELEASE p r");
    call_ok(c, "DEBUG RELOAD");
    expect_worker(c, "r IDS 0 SESSION s", "a");
    expect_int(c, 1, "KVROUTE.RELEASE p r");
    expect_worker(c, "r IDS 0 SESSION s EXCLUDE 1 a", "b");
}

static bool no_session_is_left(void *ctx) {
    return pool_info(ctx, "p", "sessions") == 0;
}

static bool idle_sessions_are_over(void *ctx) {
    return pool_info(ctx, "p", "sessions") <= 25;
}

Test(session, ends_by_the_timer_everywhere) {
    struct server *s = server_start(NULL), *replica = server_start(NULL);
    server_replica_of(replica, s);
    struct conn *c = s->conn, *watch = server_connect(replica, 2);
    call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1 LEASE 0");
    expect_int(c, 1, "KVROUTE.WORKER SET p w");
    for (int i = 0; i < 50; i++) {
        call(c, "KVROUTE.SELECT p r%d IDS 0 SESSION s%d", i, i);
        if (i % 2) expect_int(c, 1, "KVROUTE.RELEASE p r%d", i);
    }
    expect_equal(s, replica, "p");
    cr_expect(pool_info(replica->conn, "p", "sessions") == 50);
    call_ok(watch, "MONITOR");
    call_ok(c, "KVROUTE.ALTER p SESSIONTTL 1");
    wait_until(idle_sessions_are_over, c, "sessions without live requests are over");
    sleep_ms(200);
    cr_expect(pool_info(c, "p", "sessions") == 25); // the others have some
    expect_null(c, "KVROUTE.SESSION GET p s1");
    cr_expect(map_int(call(c, "KVROUTE.SESSION GET p s2"), "ttl_left") == 0);
    for (int i = 0; i < 50; i += 2)
        expect_int(c, 1, "KVROUTE.RELEASE p r%d", i);
    wait_until(no_session_is_left, c, "all sessions are over");
    expect_equal(s, replica, "p");
    call_ok(c, "SET the-end x");
    size_t forgotten = 0;
    for (;;) {
        const struct reply *r = collect(watch);
        forgotten += strstr(r->bytes, "\"KVROUTE.SESSION\" \"DEL\"") != NULL;
        if (strstr(r->bytes, "the-end")) break;
    }
    cr_expect(forgotten == 50, "%d", (int)forgotten);
}

// A new primary gives them their time anew.
Test(session, promotion_renews) {
    struct server *s = server_start(NULL), *replica = server_start(NULL);
    server_replica_of(replica, s);
    call_ok(s->conn, "KVROUTE.CREATE p BLOCKSIZE 1 SESSIONTTL 2000");
    expect_int(s->conn, 1, "KVROUTE.WORKER SET p w");
    call(s->conn, "KVROUTE.SELECT p r IDS 0 SESSION s");
    expect_int(s->conn, 1, "KVROUTE.RELEASE p r");
    expect_equal(s, replica, "p");
    server_kill(s, SIGKILL);
    sleep_ms(2200);
    cr_expect(pool_info(replica->conn, "p", "sessions") == 1); // a replica consults no clock
    call_ok(replica->conn, "REPLICAOF NO ONE");
    cr_expect(map_int(call(replica->conn, "KVROUTE.SESSION GET p s"), "ttl_left") > 0);
    wait_until(no_session_is_left, replica->conn, "the session is over");
}

// What goes with a worker goes on every copy alike, one that has loaded the pool since included, so that
// the count of changes stays the same.
Test(session, copies_agree_on_what_went_with_a_worker) {
    struct server *s = server_start(NULL), *early = server_start(NULL), *late = server_start(NULL);
    server_replica_of(early, s);
    struct conn *c = s->conn;
    call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1 SESSIONTTL 100000");
    expect_int(c, 1, "KVROUTE.WORKER SET p w");
    expect_int(c, 1, "KVROUTE.WORKER SET p v");
    for (int i = 0; i < 100; i++) {
        call(c, "KVROUTE.SELECT p r%d IDS 0 SESSION s%d", i, i);
        if (i % 3) expect_int(c, 1, "KVROUTE.RELEASE p r%d", i);
    }
    expect_int(c, 1, "KVROUTE.WORKER DEL p w");
    server_replica_of(late, s);
    expect_equal(s, early, "p");
    expect_equal(s, late, "p");
    call(c, "KVROUTE.SESSION DEL p s0 s1 s2 s3 s4 s5");
    expect_equal(s, late, "p");
    for (int i = 0; i < 100; i++)
        call(c, "KVROUTE.RELEASE p r%d", i);
    call_ok(c, "KVROUTE.ALTER p SESSIONTTL 1");
    wait_until(no_session_is_left, c, "all sessions are over");
    expect_equal(s, early, "p");
    expect_equal(s, late, "p");
}

// ---- How requests end ----------------------------------------------------------------------------

// Ids are bytes: those that look like words of an effect are released as any other, and the effect
// that tells of it isn't mistaken.
Test(session, ids_like_the_words_of_effects) {
    static const char *const extra[] = {
        "--appendonly", "yes", "--appendfsync", "no", "--aof-use-rdb-preamble", "no", NULL};
    struct server *s = server_start(extra), *replica = server_start(NULL);
    server_replica_of(replica, s);
    struct conn *c = s->conn;
    call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1");
    expect_int(c, 1, "KVROUTE.WORKER SET p w");
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
        struct args a = {0};
        args_words(&a, cases[i].ids);
        for (size_t k = 0; k < a.n; k++)
            call(c, "KVROUTE.CLAIM p %b w 0 IDS 1 1 PREFILLED", a.v[k], a.len[k]);
        args_clear(&a);
        char command[100];
        snprintf(command, sizeof command, "KVROUTE.RELEASE p %s", cases[i].ids);
        cr_expect(words(c, command)->integer == cases[i].live, "%s", command);
        cr_expect(pool_info(c, "p", "requests") == 0);
        expect_equal(s, replica, "p");
    }
    struct digest d = pool_digest(c, "p");
    call_ok(c, "DEBUG LOADAOF");
    cr_expect(same_digest(d, pool_digest(c, "p")));
}

static bool is_over(void *ctx) {
    return pool_info(ctx, "p", "requests") == 0;
}

// The owner's word teaches, the end of a lease doesn't; every copy learns the same.
Test(session, what_is_learnt_is_the_same_everywhere) {
    struct server *s = server_start(NULL), *replica = server_start(NULL);
    server_replica_of(replica, s);
    struct conn *c = s->conn;
    call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1");
    expect_int(c, 1, "KVROUTE.WORKER SET p w");
    struct digest before = pool_digest(c, "p"), after;
    const struct reply *r = call(c, "KVROUTE.SELECT p r IDS 2 1 2 ISL 100");
    cr_expect(map_real(r, "ttft") == -1 && map_real(r, "tpot") == -1);
    for (int i = 0; i < 3; i++) {
        call(c, "KVROUTE.SELECT p r IDS 2 1 %d ISL 100", i);
        sleep_ms(20);
        expect_int(c, 1, "KVROUTE.UPDATE p r PREFILLED OUTPUT 1");
        sleep_ms(20);
        expect_int(c, 1, "KVROUTE.UPDATE p r OUTPUT 10");
        expect_int(c, 1, "KVROUTE.RELEASE p r");
    }
    after = pool_digest(c, "p");
    cr_expect(same_state(before, after) && !same_digest(before, after));
    r = call(c, "KVROUTE.SELECT p r IDS 2 7 8 ISL 100");
    double ttft = map_real(r, "ttft"), tpot = map_real(r, "tpot");
    cr_expect(ttft >= 10 && tpot >= 1, "%g %g", ttft, tpot);
    r = call(c, "KVROUTE.SELECT p r IDS 0");
    cr_expect(map_real(r, "ttft") == ttft && map_real(r, "tpot") == tpot);
    const struct reply *rank = &map_get(call(c, "KVROUTE.WORKER GET p w"), "ranks")->items[0];
    cr_expect(map_real(rank, "ttft") >= 10 && map_real(rank, "tpot") >= 1);
    expect_int(c, 1, "KVROUTE.UPDATE p r PREFILLED OUTPUT 5 LEASE 50");
    double known = map_real(&call(c, "KVROUTE.SCORE p IDS 0")->items[0], "tpot");
    wait_until(is_over, c, "the lease is over");
    cr_expect(map_real(&call(c, "KVROUTE.SCORE p IDS 0")->items[0], "tpot") == known);
    expect_equal(s, replica, "p");
    double there = map_real(&call(replica->conn, "KVROUTE.SCORE p IDS 0")->items[0], "tpot");
    cr_expect(there == known);
    call_ok(c, "DEBUG RELOAD");
    cr_expect(map_real(&call(c, "KVROUTE.SCORE p IDS 0")->items[0], "tpot") == known);
}

static bool failover_is_over(void *ctx) {
    struct server *s = ctx;
    char text[64];
    server_info_text(s->conn, "replication", "master_failover_state", text, sizeof text);
    return strcmp(text, "no-failover") == 0;
}

// Under traffic, through restarts of each kind and failovers: expect_equal and the digests hold what was
// learnt to the same bits.
Test(session, what_is_learnt_survives) {
    static const char *const extra[] = {
        "--appendonly", "yes", "--appendfsync", "no", "--aof-use-rdb-preamble", "no", NULL};
    struct server *a = server_start(extra), *b = server_start(extra);
    server_replica_of(b, a);
    struct traffic t;
    traffic_start(&t, a->conn, "p", "LEASE 200 PREDICT 100 SESSIONTTL 200");
    t.lease = 100;
    for (int round = 0; round < 3; round++) {
        traffic_pipeline(&t, a->conn, 1500);
        expect_equal(a, b, "p");
        call_ok(a->conn, "FAILOVER TO 127.0.0.1 %d TIMEOUT 20000", b->port);
        wait_until(failover_is_over, a, "the failover is over");
        struct server *swap = a;
        a = b;
        b = swap;
        server_wait_link(b, a);
        expect_equal(a, b, "p");
        call_ok(a->conn, "CLIENT PAUSE 60000 WRITE"); // so that nothing ends meanwhile
        struct digest d = pool_digest(a->conn, "p");
        call_ok(a->conn, "DEBUG RELOAD");
        cr_assert(same_digest(d, pool_digest(a->conn, "p")), "after a reload");
        call_ok(a->conn, "CLIENT UNPAUSE");
        server_wait_link(b, a);
        expect_equal(a, b, "p");
    }
}

// ---- Bad arguments -------------------------------------------------------------------------------

Test(session, refused) {
    struct conn *c = start_pool("BLOCKSIZE 1");
    expect_int(c, 1, "KVROUTE.WORKER SET p w");
    struct digest before = pool_digest(c, "p");
    int64_t version = pool_info(c, "p", "version");
    static const char *const bad[] = {
        "KVROUTE.WORKER SET p w SPEED -1",
        "KVROUTE.WORKER SET p w SPEED nan",
        "KVROUTE.WORKER SET p w SPEED inf",
        "KVROUTE.WORKER SET p w SPEED 1000001",
        "KVROUTE.WORKER SET p w SPEED x",
        "KVROUTE.WORKER SET p w SPEED",
        "KVROUTE.WORKER SET p w LABELS",
        "KVROUTE.WORKER SET p w LABELS 1",
        "KVROUTE.WORKER SET p w LABELS 2 a",
        "KVROUTE.WORKER SET p w LABELS -1",
        "KVROUTE.WORKER SET p w LABELS x a",
        "KVROUTE.WORKER SET p w LABELS 1 a LABELS 1 b",
        "KVROUTE.WORKER SET p w LABELS 18446744073709551615 a",
        "KVROUTE.SELECT p r IDS 0 WITH 1",
        "KVROUTE.SELECT p r IDS 0 WITHOUT 2 a",
        "KVROUTE.SELECT p r IDS 0 WITH 4294967297 a",
        "KVROUTE.SELECT p r IDS 0 SESSION",
        "KVROUTE.SELECT p r IDS 0 SESSION a SESSION b",
        "KVROUTE.SCORE p IDS 0 WITH 1",
        "KVROUTE.CLAIM p r w 0 IDS 0 SESSION",
        "KVROUTE.CLAIM p r w 0 IDS 0 EXPECTED 1",
        "KVROUTE.ALTER p STICK -1",
        "KVROUTE.ALTER p STICK nan",
        "KVROUTE.ALTER p STICK 2e9",
        "KVROUTE.ALTER p SLOTTFT 0",
        "KVROUTE.ALTER p SLOTBT 0",
        "KVROUTE.ALTER p SLOTBT -1",
        "KVROUTE.ALTER p SESSIONTTL -1",
        "KVROUTE.ALTER p SESSIONTTL 9223372036854775807",
        "KVROUTE.DIGEST p NOSUCH",
        "KVROUTE.DIGEST p LEARNT LEARNT",
        "KVROUTE.SESSION GET p",
        "KVROUTE.SESSION GET p a b",
        "KVROUTE.SESSION LIST p x",
        "KVROUTE.SESSION LIST p 0 COUNT 0",
        "KVROUTE.SESSION LIST p 0 NOSUCH",
        "KVROUTE.SESSION DEL p",
        "KVROUTE.SESSION NOSUCH p",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect(is_error(words(c, bad[i]), "ERR"), "%s", bad[i]);
    static char many[1000];
    memset(many, 's', sizeof many);
    static const char *const named[] = {"KVROUTE.SELECT p r IDS 0 SESSION %b",
                                        "KVROUTE.SCORE p IDS 0 SESSION %b",
                                        "KVROUTE.CLAIM p r w 0 IDS 0 SESSION %b"};
    for (int i = 0; i < 3; i++) {
        expect_error(c, "ERR", named[i], many, (size_t)257);
        expect_error(c, "ERR", named[i], many, (size_t)0);
    }
    static const char *const labelled[] = {"KVROUTE.SELECT p r IDS 0 WITH 1 %b",
                                           "KVROUTE.SCORE p IDS 0 WITHOUT 1 %b",
                                           "KVROUTE.WORKER SET p w LABELS 1 %b"};
    for (int i = 0; i < 3; i++) {
        expect_error(c, "ERR", labelled[i], many, (size_t)129);
        expect_error(c, "ERR", labelled[i], many, (size_t)0);
    }
    static const char *const lists[] = {"KVROUTE.WORKER SET p w LABELS",
                                        "KVROUTE.SCORE p IDS 0 WITH",
                                        "KVROUTE.SCORE p IDS 0 WITHOUT"};
    for (int i = 0; i < 3; i++)
        for (int n = 64; n <= 65; n++) {
            struct args a = {0};
            args_words(&a, lists[i]);
            args_int(&a, n);
            for (int k = 0; k < n; k++)
                args_int(&a, k);
            bool refused = is_error(call_args(c, &a), "ERR");
            cr_expect(refused == (n > 64), "%s %d", lists[i], n);
            args_clear(&a);
        }
    expect_int(c, 0, "KVROUTE.WORKER SET p w LABELS 0");
    expect_version(c, "p", version + 2);
    cr_expect(same_digest(before, pool_digest(c, "p")));
    // Errors of the pool and the key.
    expect_error(c, "NOPOOL", "KVROUTE.SESSION GET nosuch s");
    expect_error(c, "NOPOOL", "KVROUTE.SESSION DEL nosuch s");
    call_ok(c, "SET text x");
    expect_error(c, "WRONGTYPE", "KVROUTE.SESSION LIST text");
    cr_expect(call_kind(c, REPLY_ARRAY, "KVROUTE.SESSION HELP")->count > 3);
    // The longest there may be.
    expect_int(c, 1, "KVROUTE.CLAIM p r w 0 IDS 0 SESSION %b", many, (size_t)256);
    cr_expect(map_int(call(c, "KVROUTE.SESSION GET p %b", many, (size_t)256), "requests") == 1);
}
