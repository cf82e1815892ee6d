// SPDX-License-Identifier: Apache-2.0
// Much at once: it counts at once, is swept in steps, and holds nobody up for long.
#include <criterion/criterion.h>
#include <string.h>

#include "flow_harness.h"
#include "tests/support/support_home.h"

TestSuite(drop, .fini = flow_harness_end, .timeout = 180);

enum {
    FLOW_DROP_MILLION = 1000000,
    FLOW_DROP_CHAIN = 1000,
    // For one answer meanwhile: far above what is meant, for slow machines.
    FLOW_DROP_PATIENT_MS = 3000,
};

static void store_million(struct flow_conn *c, int worker) {
    static uint64_t chain[FLOW_DROP_CHAIN];
    struct flow_rng rng = {(uint64_t)worker * 77 + 1};
    for (int e = 1; e <= FLOW_DROP_MILLION / FLOW_DROP_CHAIN; e++) {
        for (int i = 0; i < FLOW_DROP_CHAIN; i++)
            chain[i] = flow_rng_next(&rng);
        flow_post(c, "KVROUTE.EVENT p w%d 0 1 %d STORED - HASHES %b", worker, e, chain,
                  sizeof chain);
        if (e % 100 == 0)
            for (int k = 0; k < 100; k++)
                cr_assert(flow_collect(c)->integer == e - 99 + k);
    }
}

struct flow_watch {
    struct flow_conn *c;
    int64_t slowest, small; // ms; bytes
    int64_t blocks;
};

static bool is_swept(void *ctx) {
    struct flow_watch *w = ctx;
    int64_t start = flow_clock_ms();
    const struct flow_reply *info = flow_call(w->c, "KVROUTE.INFO p");
    int64_t took = flow_clock_ms() - start;
    if (took > w->slowest) w->slowest = took;
    return flow_map_int(info, "memory_bytes") < w->small &&
           flow_map_int(info, "blocks") == w->blocks;
}

static void expect_dropped(struct flow_server *s, const char *command, int64_t left) {
    struct flow_watch w = {.c = flow_server_connect(s, 2), .small = 3000000, .blocks = left};
    int64_t before = flow_pool_info(s->conn, "p", "memory_bytes");
    cr_assert(before > 8 * FLOW_DROP_MILLION);
    int64_t start = flow_clock_ms();
    cr_assert(flow_call(s->conn, command)->kind == FLOW_REPLY_INTEGER, "%s", command);
    int64_t took = flow_clock_ms() - start;
    cr_expect(took < FLOW_DROP_PATIENT_MS, "%s took %d ms", command, (int)took);
    cr_expect(flow_pool_info(s->conn, "p", "holdings") == left, "%s", command);
    flow_call(s->conn, "KVROUTE.SELECT p r IDS 2 1 2");
    flow_call(s->conn, "KVROUTE.RELEASE p r");
    flow_wait_until(is_swept, &w, "the memory is given back");
    cr_expect(w.slowest < FLOW_DROP_PATIENT_MS, "a command waited %d ms", (int)w.slowest);
    cr_expect(flow_pool_info(s->conn, "p", "holdings") == left, "%s", command);
}

static struct flow_server *start(void) {
    struct flow_server *s = flow_server_start(NULL);
    flow_call_ok(s->conn, "KVROUTE.CREATE p BLOCKSIZE 1");
    flow_call_int(s->conn, "KVROUTE.WORKER SET p w0");
    flow_call_int(s->conn, "KVROUTE.WORKER SET p w1 RANKS 2");
    flow_call_int(s->conn, "KVROUTE.EVENT p w0 0 1 1 STORED - IDS 2 1 2");
    return s;
}

Test(drop, a_worker_of_a_million) {
    struct flow_server *s = start();
    store_million(s->conn, 1);
    cr_assert(flow_pool_info(s->conn, "p", "holdings") == FLOW_DROP_MILLION + 2);
    expect_dropped(s, "KVROUTE.WORKER DEL p w1", 2);
}

Test(drop, an_epoch_of_a_million) {
    struct flow_server *s = start();
    store_million(s->conn, 1);
    struct flow_digest d;
    expect_dropped(s, "KVROUTE.EVENT p w1 0 2 1 STORED - IDS 1 5", 3);
    d = flow_pool_digest(s->conn, "p");
    flow_call_ok(s->conn, "DEBUG RELOAD");
    cr_expect(flow_same_digest(d, flow_pool_digest(s->conn, "p")));
}

Test(drop, a_clearing_and_what_comes_right_after) {
    struct flow_server *s = start(), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, s);
    struct flow_conn *c = s->conn;
    store_million(c, 1);
    flow_expect_int(c, FLOW_DROP_MILLION / FLOW_DROP_CHAIN + 1, "KVROUTE.EVENT p w1 0 1 %d CLEARED",
                    FLOW_DROP_MILLION / FLOW_DROP_CHAIN + 1);
    cr_expect(flow_pool_info(c, "p", "holdings") == 2);
    // What was dropped a moment ago is no parent, and may come again under another.
    uint64_t chain[3];
    struct flow_rng rng = {78};
    for (int i = 0; i < 3; i++)
        chain[i] = flow_rng_next(&rng);
    int seq = FLOW_DROP_MILLION / FLOW_DROP_CHAIN + 2;
    const struct flow_reply *r;
    for (int tries = 0; tries < 1000; tries++) { // while it is swept the answer may be to ask again
        r = flow_call(c, "KVROUTE.EVENT p w1 0 1 %d STORED %b HASHES %b", seq, &chain[0], (size_t)8,
                      &chain[2], (size_t)8);
        if (flow_is_error(r, "NOPARENT")) break;
        cr_assert(r->kind == FLOW_REPLY_ERROR, "a parent that nobody holds");
        support_sleep_ms(5);
    }
    cr_expect(flow_is_error(r, "NOPARENT"), "%s", r->bytes);
    flow_expect_int(c, seq, "KVROUTE.EVENT p w1 0 1 %d STORED - HASHES %b", seq, &chain[1],
                    (size_t)8);
    cr_expect(flow_pool_info(c, "p", "holdings") == 3);
    struct flow_digest d = flow_pool_digest(c, "p");
    flow_expect_int(c, 1, "WAIT 1 %d", FLOW_PATIENCE_MS);
    cr_expect(flow_same_digest(d, flow_pool_digest(replica->conn, "p")));
    flow_call_ok(c, "DEBUG RELOAD");
    cr_expect(flow_same_digest(d, flow_pool_digest(c, "p")));
}

Test(drop, ranks_and_pools_of_a_million) {
    struct flow_server *s = start();
    struct flow_conn *c = s->conn;
    store_million(c, 1);
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p w0 RANKS 1");
    flow_expect_int(c, 1, "COPY p q");
    int64_t start_ms = flow_clock_ms();
    flow_expect_int(c, 1, "UNLINK q");
    cr_expect(flow_clock_ms() - start_ms < FLOW_DROP_PATIENT_MS);
    flow_call_ok(c, "FLUSHALL ASYNC");
    cr_expect(flow_clock_ms() - start_ms < FLOW_DROP_PATIENT_MS);
    flow_call_ok(c, "KVROUTE.CREATE p");
    cr_expect(flow_pool_info(c, "p", "holdings") == 0);
}

static bool nothing_lives(void *ctx) {
    struct flow_watch *w = ctx;
    int64_t start = flow_clock_ms();
    int64_t live = flow_pool_info(w->c, "p", "requests");
    if (flow_clock_ms() - start > w->slowest) w->slowest = flow_clock_ms() - start;
    return live == 0;
}

Test(drop, ten_thousand_leases_end_at_once) {
    struct flow_server *s = start(), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, s);
    struct flow_conn *c = s->conn;
    enum { FLOW_DROP_N = 10000, FLOW_DROP_BLOCKS = 50 };
    uint64_t hashes[FLOW_DROP_BLOCKS];
    struct flow_rng rng = {5};
    struct flow_digest before = flow_pool_digest(c, "p");
    for (int i = 0; i < FLOW_DROP_N; i++) {
        for (int k = 0; k < FLOW_DROP_BLOCKS; k++)
            hashes[k] = flow_rng_next(&rng);
        flow_post(c, "KVROUTE.SELECT p r%d HASHES %b LEASE 0", i, hashes, sizeof hashes);
        if (i % 500 == 499)
            for (int k = 0; k < 500; k++)
                cr_assert(flow_collect(c)->kind == FLOW_REPLY_ARRAY);
    }
    cr_assert(flow_pool_info(c, "p", "requests") == FLOW_DROP_N);
    for (int i = 0; i < FLOW_DROP_N; i++) {
        flow_post(c, "KVROUTE.UPDATE p r%d LEASE 1000", i);
        if (i % 500 == 499)
            for (int k = 0; k < 500; k++)
                cr_assert(flow_collect(c)->kind == FLOW_REPLY_INTEGER);
    }
    struct flow_watch w = {.c = flow_server_connect(s, 2)};
    flow_wait_until(nothing_lives, &w, "all leases are over");
    cr_expect(w.slowest < FLOW_DROP_PATIENT_MS, "a command waited %d ms", (int)w.slowest);
    // Many go with one effect: how many changes those were is the same on the replica, see below.
    cr_expect(flow_pool_info(c, "p", "expired_requests") == FLOW_DROP_N);
    cr_expect(flow_same_state(before, flow_pool_digest(c, "p")));
    flow_expect_int(c, 1, "WAIT 1 %d", FLOW_PATIENCE_MS);
    cr_expect(flow_same_state(before, flow_pool_digest(replica->conn, "p")));
    cr_expect(flow_pool_info(replica->conn, "p", "version") == flow_pool_info(c, "p", "version"));
}

// ---- Bookings ------------------------------------------------------------------------------------

enum { FLOW_DROP_BOOKINGS = 5000 };

// On the one worker that they may use; each with a prediction.
static void book_many(struct flow_conn *c, const char *worker) {
    for (int i = 0; i < FLOW_DROP_BOOKINGS; i++) {
        flow_post(c, "KVROUTE.SELECT p r%d IDS 3 7 8 %d AMONG 1 %s", i, i, worker);
        if (i % 100 != 99) continue;
        for (int k = 0; k < 100; k++)
            cr_assert(flow_map_int(flow_collect(c), "repeat") == 0);
    }
}

static void expect_alike(struct flow_server *s, struct flow_server *replica) {
    struct flow_digest d = flow_pool_digest(s->conn, "p");
    flow_expect_int(s->conn, 1, "WAIT 1 %d", FLOW_PATIENCE_MS);
    cr_expect(flow_same_digest(d, flow_pool_digest(replica->conn, "p")));
    flow_expect_int(s->conn, 1, "COPY p q REPLACE");
    cr_expect(flow_same_digest(d, flow_pool_digest(s->conn, "q")));
    static const char *const fields[] = {"requests", "predicted", "sessions", "version"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        int64_t want = flow_pool_info(s->conn, "p", fields[i]);
        cr_expect(flow_pool_info(replica->conn, "p", fields[i]) == want, "%s", fields[i]);
        cr_expect(flow_pool_info(s->conn, "q", fields[i]) == want, "%s", fields[i]);
    }
}

// A worker goes with all its requests, and its requests' ids are booked elsewhere before they are swept; what is
// cleared goes with its predictions, and their requests go on.
Test(drop, many_bookings) {
    struct flow_server *s = start(), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, s);
    struct flow_conn *c = s->conn;
    flow_call_ok(c, "KVROUTE.ALTER p PREDICT 600000");
    book_many(c, "w0");
    cr_expect(flow_pool_info(c, "p", "requests") == FLOW_DROP_BOOKINGS);
    cr_expect(flow_pool_info(c, "p", "predicted") == FLOW_DROP_BOOKINGS + 2);
    flow_expect_int(c, 1, "KVROUTE.WORKER DEL p w0");
    cr_expect(flow_pool_info(c, "p", "requests") == 0);
    cr_expect(flow_pool_info(c, "p", "predicted") == 0);
    expect_alike(s, replica);
    flow_call_int(c, "KVROUTE.WORKER SET p w0");
    cr_expect(flow_call(c, "KVROUTE.REQUEST GET p r4000")->kind == FLOW_REPLY_NULL);
    book_many(c, "w0");
    flow_expect_int(c, 1, "KVROUTE.EVENT p w0 0 1 1 CLEARED");
    cr_expect(flow_pool_info(c, "p", "requests") == FLOW_DROP_BOOKINGS);
    cr_expect(flow_pool_info(c, "p", "predicted") == 0);
    const struct flow_reply *r = flow_call(c, "KVROUTE.SELECT p again IDS 2 7 8 AMONG 1 w0");
    cr_expect(flow_map_int(r, "overlap") == 0);
    cr_expect(flow_map_int(r, "expected") == 2);
    cr_expect(flow_pool_info(c, "p", "predicted") == 2);
    expect_alike(s, replica);
    flow_call_ok(c, "DEBUG RELOAD");
    expect_alike(s, replica);
    flow_expect_int(c, 1, "KVROUTE.WORKER DEL p w0");
    expect_alike(s, replica);
}
