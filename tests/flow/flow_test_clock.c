// SPDX-License-Identifier: Apache-2.0
// Clocks that are set while the server runs: that ends nothing, and keeps nothing alive.
#include <criterion/criterion.h>
#include <string.h>

#include "flow_harness.h"
#include "tests/support/support_home.h"

TestSuite(clock, .fini = flow_harness_end, .timeout = 180);

enum { FLOW_CLOCK_SECOND = 1000, FLOW_CLOCK_HOUR = 3600 * 1000 };

static struct support_clock by; // of the server under test

static struct flow_server *start(const char *options, const char *const *extra) {
    support_clock_open(&by);
    struct flow_server *s = flow_server_start_by(&by, extra);
    cr_assert(flow_call_words(s->conn, "KVROUTE.CREATE p", options)->kind == FLOW_REPLY_STATUS);
    return s;
}

// A worker with a live request, a session and the prediction of a request that is over.
static void populate(struct flow_conn *c) {
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.SELECT p live IDS 3 1 2 3");
    flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.SELECT p done IDS 2 7 8 SESSION s");
    flow_expect_int(c, 1, "KVROUTE.UPDATE p done PREFILLED");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p done");
}

static void expect_all_there(struct flow_conn *c) {
    const struct flow_reply *info = flow_call(c, "KVROUTE.INFO p");
    cr_expect(flow_map_int(info, "requests") == 1);
    cr_expect(flow_map_int(info, "workers") == 1);
    cr_expect(flow_map_int(info, "eligible") == 1);
    cr_expect(flow_map_int(info, "sessions") == 1);
    cr_expect(flow_map_int(info, "predicted") == 5);
    cr_expect(flow_map_int(info, "expired_requests") == 0);
}

static const char LONG_TIMES[] = "BLOCKSIZE 1 LEASE 300000 WORKERTTL 60000 WORKERGRACE 600000 "
                                 "PREDICT 300000 SESSIONTTL 300000";

// First the timer meets the new time, then a command does.
Test(clock, set_forward_it_ends_nothing) {
    struct flow_server *s = start(LONG_TIMES, NULL);
    populate(s->conn);
    static const int64_t steps[] = {310, 700, 4400, 4400 + 86400};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        support_clock_set(&by, steps[i] * FLOW_CLOCK_SECOND);
        if (i % 2 == 0) support_sleep_ms(300);
        flow_call_kind(s->conn, FLOW_REPLY_ARRAY, "KVROUTE.SELECT p x IDS 1 9");
        flow_expect_int(s->conn, 1, "KVROUTE.RELEASE p x");
        expect_all_there(s->conn);
        int64_t left = flow_map_int(flow_call(s->conn, "KVROUTE.REQUEST GET p live"), "lease_left");
        cr_expect(left > 200000 && left <= 300000, "%ld", (long)left);
        left = flow_map_int(flow_call(s->conn, "KVROUTE.SESSION GET p s"), "ttl_left");
        cr_expect(left > 200000 && left <= 300000, "%ld", (long)left);
    }
}

// Who waits does so for as long as was said from then on, and a booking may be come for.
Test(clock, set_forward_it_ends_no_waiting) {
    struct flow_server *s = start("BLOCKSIZE 1 MAXREQUESTS 1 ACCEPT 300000", NULL);
    struct flow_conn *c = s->conn;
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    flow_expect_int(c, 1, "KVROUTE.FLOW SET p t RATE 1");
    flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.SELECT p x IDS 1 1 LEASE 0");
    flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.SELECT p told IDS 1 1 WAIT 300000 LEASE 0");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p x");
    flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.SELECT p a IDS 1 1 WAIT 300000");
    flow_call_int(c, "KVROUTE.CLAIM p debt w 0 IDS 0 ISL 1000000 FLOW t");
    for (int i = 1; i < 4; i++) {
        support_clock_set(&by, (int64_t)i * FLOW_CLOCK_HOUR);
        if (i % 2) support_sleep_ms(300);
        cr_expect(flow_pool_info(c, "p", "waiting") == 1);
        int64_t left = flow_map_int(flow_call(c, "KVROUTE.REQUEST GET p told"), "lease_left");
        cr_expect(left > 200000 && left <= 300000, "%ld", (long)left);
        const struct flow_reply *r = flow_call(c, "KVROUTE.FLOW LIST p 0 COUNT 100");
        cr_expect(flow_map_int(&r->items[1].items[0], "left") < -990000, "an outage pays no debt");
    }
    support_clock_set(&by, -FLOW_CLOCK_HOUR);
    flow_expect_int(c, 2, "KVROUTE.RELEASE p told debt");
    flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.REQUEST GET p a");
}

static const char SHORT_TIMES[] = "BLOCKSIZE 1 LEASE 500 WORKERTTL 500 WORKERGRACE 200 PREDICT 500 "
                                  "SESSIONTTL 500 FAILURES 1 OPENTIME 500";

static bool is_half_open(void *ctx) {
    const struct flow_reply *w = flow_call(ctx, "KVROUTE.WORKER GET p ever");
    return strcmp(flow_map_str(w, "circuit"), "half-open") == 0;
}

// Also what was booked with the new time mustn't hide what wasn't.
Test(clock, set_back_it_keeps_nothing_alive) {
    struct flow_server *s = start(SHORT_TIMES, NULL), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, s);
    struct flow_conn *c = s->conn;
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p ever TTL 0");
    flow_call_ok(c, "MULTI"); // nothing is over before all is there and the clock is set
    flow_call(c, "KVROUTE.SELECT p a IDS 3 1 2 3 AMONG 1 ever SESSION s");
    flow_call(c, "KVROUTE.UPDATE p a PREFILLED");
    flow_call(c, "KVROUTE.SELECT p b IDS 3 1 2 4 AMONG 1 ever SESSION t");
    flow_call(c, "KVROUTE.WORKER SET p w");
    flow_call(c, "KVROUTE.REPORT p ever FAILED");
    flow_call(c, "KVROUTE.SELECT p c IDS 3 1 2 5 AMONG 1 w");
    flow_call_kind(c, FLOW_REPLY_ARRAY, "EXEC");
    support_clock_set(&by, -FLOW_CLOCK_HOUR);
    flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.SELECT p d IDS 1 1 AMONG 1 ever LEASE 0");
    flow_expect_int(c, 1, "KVROUTE.UPDATE p d PREFILLED");
    flow_wait_info(c, "requests", 1);
    flow_wait_info(c, "workers", 1);
    flow_wait_info(c, "sessions", 0);
    flow_wait_info(c, "predicted", 0);
    flow_wait_until(is_half_open, c, "the circuit is half-open");
    flow_expect_equal(s, replica, "p");
}

Test(clock, of_a_replica_or_of_a_restart_decides_nothing) {
    struct flow_server *s = flow_server_start(NULL);
    support_clock_open(&by);
    struct flow_server *replica = flow_server_start_by(&by, flow_with_aof);
    flow_server_replica_of(replica, s);
    flow_call_words(s->conn, "KVROUTE.CREATE p", LONG_TIMES);
    populate(s->conn);
    flow_expect_equal(s, replica, "p");
    support_clock_set(&by, FLOW_CLOCK_HOUR);
    support_sleep_ms(300);
    flow_expect_equal(s, replica, "p");
    support_clock_set(&by, -FLOW_CLOCK_HOUR);
    support_sleep_ms(300);
    flow_expect_equal(s, replica, "p");
    // Loaded a day later as a primary: what couldn't be renewed meanwhile is there.
    flow_call_ok(replica->conn, "REPLICAOF NO ONE");
    support_clock_set(&by, (int64_t)24 * FLOW_CLOCK_HOUR);
    flow_server_restart(replica);
    support_sleep_ms(300);
    const struct flow_reply *info = flow_call(replica->conn, "KVROUTE.INFO p");
    cr_expect(flow_map_int(info, "requests") == 1 && flow_map_int(info, "eligible") == 1);
    cr_expect(flow_map_int(info, "predicted") == 5 && flow_map_int(info, "sessions") == 1);
}

// Whoever takes over counts from then on by its own clock, though the last one's was ahead.
Test(clock, of_the_last_primary_was_ahead) {
    support_clock_open(&by);
    support_clock_set(&by, FLOW_CLOCK_HOUR);
    struct flow_server *s = flow_server_start_by(&by, NULL), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, s);
    struct flow_conn *c = s->conn;
    cr_assert(flow_call_words(c, "KVROUTE.CREATE p", SHORT_TIMES)->kind == FLOW_REPLY_STATUS);
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w TTL 20000");
    flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.SELECT p a IDS 2 1 2 SESSION s LEASE 20000");
    flow_expect_int(c, 1, "KVROUTE.UPDATE p a PREFILLED");
    flow_server_failover(&s, &replica);
    c = s->conn;
    cr_expect(flow_pool_info(c, "p", "requests") == 1);
    int64_t left = flow_map_int(flow_call(c, "KVROUTE.REQUEST GET p a"), "lease_left");
    cr_expect(left <= 20000, "%ld", (long)left);
    left = flow_map_int(flow_call(c, "KVROUTE.WORKER GET p w"), "ttl_left");
    cr_expect(left <= 20000, "%ld", (long)left);
    flow_wait_info(c, "predicted", 0);
    flow_expect_int(c, 1, "KVROUTE.RELEASE p a");
    flow_wait_info(c, "sessions", 0);
    flow_expect_equal(s, replica, "p");
}
