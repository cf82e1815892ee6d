// SPDX-License-Identifier: Apache-2.0
// SELECT ... WAIT ms BLOCK: the answer is held back, and what becomes of those who are blocked.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "flow_queue.h"
#include "tests/support/support_home.h"

TestSuite(block, .fini = flow_harness_end, .timeout = 120);

static const char FULL[] = "KVROUTE.CREATE p BLOCKSIZE 1 MAXREQUESTS 1";

// A server whose pool has no room: its only worker has the request x.
static struct flow_server *start_full(void) {
    struct flow_server *s = flow_server_start(NULL);
    flow_call_ok(s->conn, FULL);
    flow_expect_int(s->conn, 1, "KVROUTE.WORKER SET p w ADDR here");
    flow_expect_booked(s->conn, "KVROUTE.SELECT p x IDS 1 1");
    return s;
}

struct flow_blocked {
    struct flow_conn *c;
    int64_t n;
};

static bool so_many_are_blocked(void *ctx) {
    const struct flow_blocked *b = ctx;
    return flow_server_info(b->c, "clients", "blocked_clients") == b->n;
}

static void wait_blocked(struct flow_conn *c, int64_t n) {
    struct flow_blocked b = {c, n};
    flow_wait_until(so_many_are_blocked, &b, "so many are blocked");
}

// A caller that the test closes; one that is blocked after this.
static struct flow_conn *caller(struct flow_server *s) {
    struct flow_conn *c = flow_conn_open(s->redis.socket, 0);
    cr_assert(c);
    return c;
}

static struct flow_conn *block_on(struct flow_server *s, const char *id) {
    struct flow_conn *c = caller(s);
    int64_t before = flow_server_info(s->conn, "clients", "blocked_clients");
    flow_post(c, "KVROUTE.SELECT p %s IDS 1 1 WAIT 1000000 LEASE 90000000 BLOCK", id);
    wait_blocked(s->conn, before + 1);
    return c;
}

static void expect_answer(struct flow_conn *c, const char *code) {
    const struct flow_reply *r = flow_collect(c);
    cr_expect(flow_is_error(r, code), "%s instead of %s", r->bytes ? r->bytes : "an answer", code);
    flow_conn_close(c);
}

// ---- Answered ------------------------------------------------------------------------------------

Test(block, the_answer_is_the_booking) {
    struct flow_server *s = start_full();
    for (int protocol = 2; protocol <= 3; protocol++) {
        struct flow_conn *c = flow_server_connect(s, protocol);
        flow_post(c, "KVROUTE.SELECT p a IDS 2 1 2 WAIT 1000000 LEASE 90000000 BLOCK");
        wait_blocked(s->conn, 1);
        cr_expect(flow_waiting(s->conn) == 1);
        flow_expect_int(s->conn, 1, "KVROUTE.RELEASE p x");
        const struct flow_reply *r = flow_collect(c);
        cr_assert(r->kind == (protocol == 3 ? FLOW_REPLY_MAP : FLOW_REPLY_ARRAY));
        cr_assert(r->count == 26);
        cr_expect_str_eq(flow_map_str(r, "worker"), "w");
        cr_expect_str_eq(flow_map_str(r, "addr"), "here");
        cr_expect(flow_map_get(r, "cost")->kind ==
                  (protocol == 3 ? FLOW_REPLY_DOUBLE : FLOW_REPLY_BULK));
        cr_expect(flow_map_int(r, "repeat") == 0 && flow_map_int(r, "waited") >= 0);
        cr_expect(flow_map_int(r, "blocks") == 2);
        cr_expect(flow_map_int(r, "version") == flow_pool_info(s->conn, "p", "version"));
        // It has been told, so nobody has to come for it.
        int64_t left = flow_map_int(flow_call(s->conn, "KVROUTE.REQUEST GET p a"), "lease_left");
        cr_expect(left > 80000000, "%d ms left", (int)left);
        flow_call_kind(c, FLOW_REPLY_STATUS, "PING"); // the connection goes on
        flow_expect_int(s->conn, 1, "KVROUTE.RELEASE p a");
        flow_expect_booked(s->conn, "KVROUTE.SELECT p x IDS 1 1");
    }
}

Test(block, at_once_where_nobody_need_wait) {
    struct flow_server *s = start_full();
    struct flow_conn *c = s->conn;
    cr_expect(flow_map_int(flow_expect_booked(c, "KVROUTE.SELECT p x IDS 0 WAIT 1000 BLOCK"),
                           "repeat") == 1);
    flow_expect_refusal(c, "NOROOM", "KVROUTE.SELECT p a IDS 0 BLOCK");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p x");
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 0 WAIT 1000 BLOCK");
}

Test(block, no_room_at_the_deadline) {
    struct flow_server *s = start_full();
    flow_expect_refusal(s->conn, "NOROOM", "KVROUTE.SELECT p a IDS 1 1 WAIT 30 BLOCK");
    cr_expect(flow_waiting(s->conn) == 0);
    flow_call_kind(s->conn, FLOW_REPLY_MAP, "HELLO 3");
    flow_expect_refusal(s->conn, "NOROOM", "KVROUTE.SELECT p a IDS 1 1 WAIT 30 BLOCK");
}

Test(block, several_on_one_request) {
    struct flow_server *s = start_full();
    enum { FLOW_BLOCK_CALLERS = 5 };
    struct flow_conn *callers[FLOW_BLOCK_CALLERS];
    for (int i = 0; i < FLOW_BLOCK_CALLERS; i++)
        callers[i] = block_on(s, "a");
    struct flow_conn *other = block_on(s, "b");
    flow_conn_close(callers[1]); // not the last one
    wait_blocked(s->conn, FLOW_BLOCK_CALLERS);
    cr_expect(flow_waiting(s->conn) == 2);
    flow_expect_int(s->conn, 1, "KVROUTE.RELEASE p x");
    int64_t repeats = 0;
    for (int i = 0; i < FLOW_BLOCK_CALLERS; i++) {
        if (i == 1) continue;
        const struct flow_reply *r = flow_collect(callers[i]);
        cr_expect_str_eq(flow_map_str(r, "worker"), "w");
        repeats += flow_map_int(r, "repeat");
        flow_conn_close(callers[i]);
    }
    cr_expect(repeats == FLOW_BLOCK_CALLERS - 2, "one is told for the first time");
    cr_expect(flow_is_live(s->conn, "a") && flow_waiting(s->conn) == 1);
    flow_expect_int(s->conn, 1, "KVROUTE.RELEASE p a");
    cr_expect_str_eq(flow_map_str(flow_collect(other), "worker"), "w");
    flow_conn_close(other);
}

Test(block, others_end_or_claim_it) {
    struct flow_server *s = start_full();
    struct flow_conn *c = block_on(s, "a");
    flow_expect_int(s->conn, 1, "KVROUTE.RELEASE p a");
    expect_answer(c, "NOROOM");
    c = block_on(s, "a");
    flow_expect_int(s->conn, 1, "KVROUTE.CLAIM p a w 0 IDS 1 1");
    cr_expect_str_eq(flow_map_str(flow_collect(c), "worker"), "w");
    flow_conn_close(c);
}

Test(block, left_out_in_transactions_and_scripts) {
    struct flow_server *s = start_full();
    struct flow_conn *c = s->conn;
    static const char *const commands[] = {"KVROUTE.SELECT p a IDS 1 1 WAIT 1000000 BLOCK",
                                           "KVROUTE.INFO p"};
    const struct flow_reply *r = flow_transaction(c, commands, 2);
    cr_expect(flow_map_int(&r->items[0], "waiting") == 1);
    r = flow_call(c, "EVAL %s 1 p",
                  "return redis.call('KVROUTE.SELECT', KEYS[1], 'b', 'IDS', 0, 'WAIT', 1000000, "
                  "'BLOCK')");
    cr_assert(r->kind == FLOW_REPLY_ARRAY);
    cr_expect(flow_map_int(r, "waiting") == 1 && flow_map_int(r, "position") == 1);
    cr_expect(flow_server_info(c, "clients", "blocked_clients") == 0);
}

// ---- Gone ----------------------------------------------------------------------------------------

Test(block, the_last_one_who_goes_ends_the_request) {
    struct flow_server *s = start_full();
    struct flow_conn *first = block_on(s, "a"), *second = block_on(s, "a");
    flow_conn_close(first);
    wait_blocked(s->conn, 1);
    cr_expect(flow_waiting(s->conn) == 1);
    flow_conn_close(second);
    flow_wait_waiting(s->conn, 0);
    cr_expect(!flow_is_live(s->conn, "a"));
    // As the next command sees it, its place is lost, not only when the timer has come by.
    struct flow_conn *third = block_on(s, "a");
    flow_expect_waiting(s->conn, "KVROUTE.SELECT p b IDS 1 1 WAIT 1000000");
    flow_conn_close(third);
    wait_blocked(s->conn, 0);
    const struct flow_reply *r =
        flow_expect_waiting(s->conn, "KVROUTE.SELECT p a IDS 1 1 WAIT 1000000");
    cr_expect(flow_map_int(r, "position") == 1);
    support_sleep_ms(100);
    cr_expect(flow_waiting(s->conn) == 2, "the one that asked anew goes on");
}

Test(block, killed_callers_have_gone) {
    struct flow_server *s = start_full();
    struct flow_conn *c = caller(s);
    int64_t id = flow_call_int(c, "CLIENT ID");
    flow_post(c, "KVROUTE.SELECT p a IDS 1 1 WAIT 1000000 BLOCK");
    wait_blocked(s->conn, 1);
    flow_expect_int(s->conn, 1, "CLIENT KILL ID %d", (int)id);
    flow_wait_waiting(s->conn, 0);
    flow_conn_close(c);
}

// Answered and killed before the answer is sent, in one turn of the server: all that it kept for them is given back
// once.
Test(block, killed_while_the_answer_is_on_its_way) {
    enum { TIMES = 50 };
    struct flow_server *s = start_full();
    for (int i = 0; i < TIMES; i++) {
        struct flow_conn *c = caller(s);
        int64_t client = flow_call_int(c, "CLIENT ID");
        flow_post(c, "KVROUTE.SELECT p a%d IDS 1 1 WAIT 1000000 LEASE 90000000 BLOCK", i);
        wait_blocked(s->conn, 1);
        char end[40], kill[40];
        if (i)
            snprintf(end, sizeof end, "KVROUTE.RELEASE p a%d", i - 1);
        else
            snprintf(end, sizeof end, "KVROUTE.RELEASE p x");
        snprintf(kill, sizeof kill, "CLIENT KILL ID %d", (int)client);
        const char *const commands[] = {end, kill};
        const struct flow_reply *r = flow_transaction(s->conn, commands, 2);
        cr_assert(r->items[0].integer == 1 && r->items[1].integer == 1);
        flow_conn_close(c);
        wait_blocked(s->conn, 0);
        cr_assert(flow_waiting(s->conn) == 0);
    }
}

// While nothing may change, nothing does; it is ended later.
Test(block, a_caller_who_goes_in_a_pause) {
    struct flow_server *s = start_full(), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, s);
    struct flow_conn *c = block_on(s, "a");
    flow_call_ok(s->conn, "CLIENT PAUSE 10000000 WRITE");
    struct flow_digest d = flow_pool_digest(s->conn, "p");
    int64_t version = flow_pool_info(s->conn, "p", "version");
    flow_conn_close(c);
    wait_blocked(s->conn, 0);
    support_sleep_ms(300);
    cr_expect(flow_same_digest(d, flow_pool_digest(s->conn, "p")));
    flow_expect_version(s->conn, "p", version);
    cr_expect(flow_waiting(s->conn) == 1);
    flow_call_ok(s->conn, "CLIENT UNPAUSE");
    flow_wait_waiting(s->conn, 0);
    flow_expect_equal(s, replica, "p");
}

// ---- The pool goes -------------------------------------------------------------------------------

Test(block, the_pool_goes) {
    static const char *const ways[] = {"DEL p",          "UNLINK p",        "FLUSHALL",
                                       "FLUSHALL ASYNC", "FLUSHDB",         "FLUSHDB ASYNC",
                                       "MOVE p 1",       "RENAME p q",      "SWAPDB 0 1",
                                       "PEXPIRE p 0",    "COPY q p REPLACE"};
    struct flow_server *s = flow_server_start(NULL);
    struct flow_conn *c = s->conn;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        flow_call_ok(c, "FLUSHALL");
        flow_call_ok(c, FULL);
        flow_call_ok(c, "KVROUTE.CREATE q");
        if (strcmp(ways[i], "MOVE p 1") == 0) flow_call_int(c, "DEL q");
        flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
        flow_expect_booked(c, "KVROUTE.SELECT p x IDS 1 1");
        struct flow_conn *a = block_on(s, "a"), *b = block_on(s, "b"), *second = block_on(s, "b");
        const struct flow_reply *r = flow_call(c, ways[i]);
        cr_assert(r->kind != FLOW_REPLY_ERROR, "%s: %s", ways[i], r->bytes);
        expect_answer(a, "NOPOOL");
        expect_answer(b, "NOPOOL");
        expect_answer(second, "NOPOOL");
        wait_blocked(c, 0);
    }
}

// As the slots of a cluster move with it.
Test(block, the_pool_migrates) {
    struct flow_server *s = start_full(), *to = flow_server_start(NULL);
    struct flow_conn *c = block_on(s, "a");
    flow_call_ok(s->conn, "MIGRATE 127.0.0.1 %d p 0 %d", to->redis.port, FLOW_PATIENCE_MS);
    expect_answer(c, "NOPOOL");
    cr_expect(flow_waiting(to->conn) == 1, "and there it waits on");
    c = block_on(to, "a");
    flow_expect_int(to->conn, 1, "KVROUTE.RELEASE p x");
    cr_expect_str_eq(flow_map_str(flow_collect(c), "worker"), "w");
    flow_conn_close(c);
}

// Where another database is flushed nobody is told anything.
Test(block, another_database_goes) {
    struct flow_server *s = start_full();
    struct flow_conn *c = block_on(s, "a"), *other = flow_server_connect(s, 2);
    flow_call_ok(other, "SELECT 1");
    flow_call_ok(other, FULL);
    flow_call_ok(other, "FLUSHDB");
    flow_call_ok(other, "SWAPDB 1 2");
    cr_expect(flow_waiting(s->conn) == 1);
    flow_expect_int(s->conn, 1, "KVROUTE.RELEASE p x");
    cr_expect_str_eq(flow_map_str(flow_collect(c), "worker"), "w");
    flow_conn_close(c);
}

// ---- Another primary -----------------------------------------------------------------------------

Test(block, a_demotion_ends_nothing) {
    struct flow_server *a = start_full(), *b = flow_server_start(NULL);
    flow_server_replica_of(b, a);
    struct flow_conn *c = block_on(a, "a");
    flow_expect_waiting(a->conn, "KVROUTE.SELECT p b IDS 1 1 WAIT 1000000");
    flow_server_failover(&a, &b);
    expect_answer(c, "UNBLOCKED");
    flow_server_failover(&a, &b); // the first primary again, that has unblocked it
    flow_expect_equal(a, b, "p");
    support_sleep_ms(200);
    cr_expect(flow_waiting(a->conn) == 2, "nobody has lost his place");
    c = block_on(a, "a");
    flow_expect_int(a->conn, 1, "KVROUTE.RELEASE p x");
    cr_expect_str_eq(flow_map_str(flow_collect(c), "worker"), "w");
    flow_conn_close(c);
    flow_expect_equal(a, b, "p");
}
