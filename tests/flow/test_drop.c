// SPDX-License-Identifier: Apache-2.0
// Much at once: it counts at once, is swept in steps, and holds nobody up for long.
#include <criterion/criterion.h>
#include <string.h>

#include "harness.h"

TestSuite(drop, .fini = harness_end, .timeout = 180);

enum {
    MILLION = 1000000,
    CHAIN = 1000,
    PATIENT_MS = 3000, // for one answer meanwhile: far above what is meant, for slow machines
};

static void store_million(struct conn *c, int worker) {
    static uint64_t chain[CHAIN];
    struct rng rng = {(uint64_t)worker * 77 + 1};
    for (int e = 1; e <= MILLION / CHAIN; e++) {
        for (int i = 0; i < CHAIN; i++)
            chain[i] = rng_next(&rng);
        post(c, "KVROUTE.EVENT p w%d 0 1 %d STORED - HASHES %b", worker, e, chain, sizeof chain);
        if (e % 100 == 0)
            for (int k = 0; k < 100; k++)
                cr_assert(collect(c)->integer == e - 99 + k);
    }
}

struct watch {
    struct conn *c;
    int64_t slowest, small; // ms; bytes
    int64_t blocks;
};

static bool is_swept(void *ctx) {
    struct watch *w = ctx;
    int64_t start = clock_ms();
    const struct reply *info = call(w->c, "KVROUTE.INFO p");
    int64_t took = clock_ms() - start;
    if (took > w->slowest) w->slowest = took;
    return map_int(info, "memory_bytes") < w->small && map_int(info, "blocks") == w->blocks;
}

static void expect_dropped(struct server *s, const char *command, int64_t left) {
    struct watch w = {.c = server_connect(s, 2), .small = 3000000, .blocks = left};
    int64_t before = pool_info(s->conn, "p", "memory_bytes");
    cr_assert(before > 8 * MILLION);
    int64_t start = clock_ms();
    struct args a = {0};
    args_words(&a, command);
    cr_assert(call_args(s->conn, &a)->kind == REPLY_INTEGER, "%s", command);
    args_clear(&a);
    int64_t took = clock_ms() - start;
    cr_expect(took < PATIENT_MS, "%s took %d ms", command, (int)took);
    cr_expect(pool_info(s->conn, "p", "holdings") == left, "%s", command);
    call(s->conn, "KVROUTE.SELECT p r IDS 2 1 2");
    call(s->conn, "KVROUTE.RELEASE p r");
    wait_until(is_swept, &w, "the memory is given back");
    cr_expect(w.slowest < PATIENT_MS, "a command waited %d ms", (int)w.slowest);
    cr_expect(pool_info(s->conn, "p", "holdings") == left, "%s", command);
}

static struct server *start(void) {
    struct server *s = server_start(NULL);
    call_ok(s->conn, "KVROUTE.CREATE p BLOCKSIZE 1");
    call_int(s->conn, "KVROUTE.WORKER SET p w0");
    call_int(s->conn, "KVROUTE.WORKER SET p w1 RANKS 2");
    call_int(s->conn, "KVROUTE.EVENT p w0 0 1 1 STORED - IDS 2 1 2");
    return s;
}

Test(drop, a_worker_of_a_million) {
    struct server *s = start();
    store_million(s->conn, 1);
    cr_assert(pool_info(s->conn, "p", "holdings") == MILLION + 2);
    expect_dropped(s, "KVROUTE.WORKER DEL p w1", 2);
}

Test(drop, an_epoch_of_a_million) {
    struct server *s = start();
    store_million(s->conn, 1);
    struct digest d;
    expect_dropped(s, "KVROUTE.EVENT p w1 0 2 1 STORED - IDS 1 5", 3);
    d = pool_digest(s->conn, "p");
    call_ok(s->conn, "DEBUG RELOAD");
    cr_expect(same_digest(d, pool_digest(s->conn, "p")));
}

Test(drop, a_clearing_and_what_comes_right_after) {
    struct server *s = start(), *replica = server_start(NULL);
    server_replica_of(replica, s);
    struct conn *c = s->conn;
    store_million(c, 1);
    expect_int(c, MILLION / CHAIN + 1, "KVROUTE.EVENT p w1 0 1 %d CLEARED", MILLION / CHAIN + 1);
    cr_expect(pool_info(c, "p", "holdings") == 2);
    // What was dropped a moment ago is no parent, and may come again under another.
    uint64_t chain[3];
    struct rng rng = {78};
    for (int i = 0; i < 3; i++)
        chain[i] = rng_next(&rng);
    int seq = MILLION / CHAIN + 2;
    const struct reply *r;
    for (int tries = 0; tries < 1000; tries++) { // while it is swept the answer may be to ask again
        r = call(c, "KVROUTE.EVENT p w1 0 1 %d STORED %b HASHES %b", seq, &chain[0], (size_t)8,
                 &chain[2], (size_t)8);
        if (is_error(r, "NOPARENT")) break;
        cr_assert(r->kind == REPLY_ERROR, "a parent that nobody holds");
        sleep_ms(5);
    }
    cr_expect(is_error(r, "NOPARENT"), "%s", r->bytes);
    expect_int(c, seq, "KVROUTE.EVENT p w1 0 1 %d STORED - HASHES %b", seq, &chain[1], (size_t)8);
    cr_expect(pool_info(c, "p", "holdings") == 3);
    struct digest d = pool_digest(c, "p");
    expect_int(c, 1, "WAIT 1 %d", PATIENCE_MS);
    cr_expect(same_digest(d, pool_digest(replica->conn, "p")));
    call_ok(c, "DEBUG RELOAD");
    cr_expect(same_digest(d, pool_digest(c, "p")));
}

Test(drop, ranks_and_pools_of_a_million) {
    struct server *s = start();
    struct conn *c = s->conn;
    store_million(c, 1);
    expect_int(c, 0, "KVROUTE.WORKER SET p w0 RANKS 1");
    expect_int(c, 1, "COPY p q");
    int64_t start_ms = clock_ms();
    expect_int(c, 1, "UNLINK q");
    cr_expect(clock_ms() - start_ms < PATIENT_MS);
    call_ok(c, "FLUSHALL ASYNC");
    cr_expect(clock_ms() - start_ms < PATIENT_MS);
    call_ok(c, "KVROUTE.CREATE p");
    cr_expect(pool_info(c, "p", "holdings") == 0);
}

static bool nothing_lives(void *ctx) {
    struct watch *w = ctx;
    int64_t start = clock_ms();
    int64_t live = pool_info(w->c, "p", "requests");
    if (clock_ms() - start > w->slowest) w->slowest = clock_ms() - start;
    return live == 0;
}

Test(drop, ten_thousand_leases_end_at_once) {
    struct server *s = start(), *replica = server_start(NULL);
    server_replica_of(replica, s);
    struct conn *c = s->conn;
    enum { N = 10000, BLOCKS = 50 };
    uint64_t hashes[BLOCKS];
    struct rng rng = {5};
    struct digest before = pool_digest(c, "p");
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < BLOCKS; k++)
            hashes[k] = rng_next(&rng);
        post(c, "KVROUTE.SELECT p r%d HASHES %b LEASE 0", i, hashes, sizeof hashes);
        if (i % 500 == 499)
            for (int k = 0; k < 500; k++)
                cr_assert(collect(c)->kind == REPLY_ARRAY);
    }
    cr_assert(pool_info(c, "p", "requests") == N);
    for (int i = 0; i < N; i++) {
        post(c, "KVROUTE.UPDATE p r%d LEASE 1000", i);
        if (i % 500 == 499)
            for (int k = 0; k < 500; k++)
                cr_assert(collect(c)->kind == REPLY_INTEGER);
    }
    struct watch w = {.c = server_connect(s, 2)};
    wait_until(nothing_lives, &w, "all leases are over");
    cr_expect(w.slowest < PATIENT_MS, "a command waited %d ms", (int)w.slowest);
    cr_expect(pool_info(c, "p", "expired_requests") == N);
    cr_expect(same_state(before, pool_digest(c, "p")));
    expect_int(c, 1, "WAIT 1 %d", PATIENCE_MS);
    cr_expect(same_state(before, pool_digest(replica->conn, "p")));
    cr_expect(pool_info(replica->conn, "p", "version") == pool_info(c, "p", "version"));
}
