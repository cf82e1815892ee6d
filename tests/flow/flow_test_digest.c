// SPDX-License-Identifier: Apache-2.0
// DIGEST of pools that are large enough to be taken in slices; see the module's digest_slices.h.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "flow_harness.h"
#include "tests/support/support_home.h"

TestSuite(digest, .fini = flow_harness_end, .timeout = 120);

enum { DIGEST_EVENT = 100000, DIGEST_EVENTS = 5, DIGEST_HEX = 40 };

static void make_large(struct flow_server *s) {
    flow_call_ok(s->conn, "KVROUTE.CREATE p");
    flow_expect_int(s->conn, 1, "KVROUTE.WORKER SET p w");
    for (int64_t k = 1; k <= DIGEST_EVENTS; k++)
        flow_store_new(s->conn, k, DIGEST_EVENT);
}

static struct flow_server *start_large(void) {
    struct flow_server *s = flow_server_start(NULL);
    make_large(s);
    flow_expect_int(s->conn, 1, "KVROUTE.WORKER SET p other");
    return s;
}

// Where nobody may be blocked it is taken at once.
static void at_once(struct flow_conn *c, char hex[DIGEST_HEX + 1]) {
    flow_call_ok(c, "MULTI");
    flow_call(c, "KVROUTE.DIGEST p");
    const struct flow_reply *r = flow_call_kind(c, FLOW_REPLY_ARRAY, "EXEC");
    cr_assert(r->count == 1 && r->items[0].n == DIGEST_HEX);
    memcpy(hex, r->items[0].bytes, DIGEST_HEX);
    hex[DIGEST_HEX] = 0;
}

Test(digest, slices_are_the_whole) {
    struct flow_server *s = start_large();
    char hex[DIGEST_HEX + 1];
    at_once(s->conn, hex);
    flow_expect_bulk(s->conn, hex, "KVROUTE.DIGEST p");
    flow_expect_bulk(s->conn, hex, "KVROUTE.DIGEST p"); // and begins anew
    flow_expect_bulk(s->conn, hex, "EVAL %s 1 p", "return redis.call('KVROUTE.DIGEST', KEYS[1])");
}

// What is changed meanwhile is in it or not, as it came before its end or after it; and the server goes on.
Test(digest, changes_go_on) {
    enum { CHANGES = 6, DIGEST_ROUNDS = 5 };
    struct flow_server *s = start_large();
    struct flow_conn *c = flow_server_connect(s, 2), *d = flow_server_connect(s, 3);
    int64_t seq = DIGEST_EVENTS;
    for (int round = 0; round < DIGEST_ROUNDS; round++) {
        char states[CHANGES + 1][DIGEST_HEX + 1];
        at_once(s->conn, states[0]);
        flow_post(c, "KVROUTE.DIGEST p");
        flow_post(d, "KVROUTE.DIGEST p");
        for (int i = 1; i <= CHANGES; i++) {
            seq++;
            if (i % 3 == 0)
                flow_expect_int(s->conn, seq, "KVROUTE.EVENT p w 0 1 %lld REMOVED HEX %s",
                                (long long)seq, "9e3779b97f4a7c15");
            else
                flow_store_new(s->conn, seq, DIGEST_EVENT);
            at_once(s->conn, states[i]);
        }
        struct flow_conn *both[] = {c, d};
        for (int k = 0; k < 2; k++) {
            const struct flow_reply *r = flow_collect(both[k]);
            bool known = false;
            for (int i = 0; i <= CHANGES; i++)
                known |= r->n == DIGEST_HEX && !memcmp(r->bytes, states[i], DIGEST_HEX);
            cr_assert(known, "round %d: of no state that there was", round);
        }
        flow_expect_bulk(s->conn, states[CHANGES], "KVROUTE.DIGEST p");
    }
}

// Whoever waits for the digest of a pool that goes is told so, unless it was ready before.
Test(digest, the_pool_goes) {
    static const char *const ways[] = {"DEL p", "UNLINK p", "FLUSHALL", "FLUSHALL ASYNC",
                                       "FLUSHDB"};
    struct flow_server *s = start_large();
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct flow_conn *c = flow_server_connect(s, 2);
        flow_post(c, "KVROUTE.DIGEST p");
        flow_call_words(s->conn, "", ways[i]);
        const struct flow_reply *r = flow_collect(c);
        cr_expect(r->n == DIGEST_HEX || flow_is_error(r, "NOPOOL"), "%s", ways[i]);
        make_large(s);
    }
    cr_expect(flow_server_alive(s));
}

// Also of one that has gone before the server's cron, which begins the module's timer, has seen that it came.
Test(digest, the_pool_comes_and_goes) {
    enum { DIGEST_TURNS = 4, DIGEST_TIMER_MS = 150 };
    struct flow_server *s = flow_server_start(NULL);
    flow_call_ok(s->conn, "CONFIG SET hz 1");
    for (int i = 0; i < DIGEST_TURNS; i++) {
        struct flow_conn *c = flow_server_connect(s, 2);
        make_large(s);
        flow_post(c, "KVROUTE.DIGEST p");
        flow_call_ok(s->conn, "FLUSHALL");
        const struct flow_reply *r = flow_collect(c);
        cr_expect(r->n == DIGEST_HEX || flow_is_error(r, "NOPOOL"));
        support_sleep_ms(DIGEST_TIMER_MS); // without a pool the timer ends meanwhile
    }
}

// A caller that leaves, and a pool that is renamed meanwhile, do no harm.
Test(digest, the_caller_goes) {
    struct flow_server *s = start_large();
    char hex[DIGEST_HEX + 1];
    at_once(s->conn, hex);
    for (int i = 0; i < 3; i++) {
        struct flow_conn *c = flow_conn_open(s->redis.socket, 0);
        cr_assert(c);
        flow_post(c, "KVROUTE.DIGEST p");
        flow_conn_close(c);
    }
    struct flow_conn *c = flow_server_connect(s, 2);
    flow_post(c, "KVROUTE.DIGEST p");
    flow_call_ok(s->conn, "RENAME p q");
    const struct flow_reply *r = flow_collect(c);
    // The two may have come in either order.
    cr_expect(flow_is_error(r, "NOPOOL") ||
              (r->n == DIGEST_HEX && !memcmp(r->bytes, hex, DIGEST_HEX)));
    flow_expect_bulk(s->conn, hex, "KVROUTE.DIGEST q");
}

// A replica answers likewise, while its primary's changes come in.
Test(digest, on_a_replica) {
    struct flow_server *s = start_large(), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, s);
    flow_expect_equal(s, replica, "p");
    struct flow_conn *c = flow_server_connect(replica, 2);
    flow_post(c, "KVROUTE.DIGEST p");
    flow_store_new(s->conn, DIGEST_EVENTS + 1, DIGEST_EVENT);
    cr_expect(flow_collect(c)->n == DIGEST_HEX);
    flow_expect_equal(s, replica, "p");
}
