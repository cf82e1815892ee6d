// SPDX-License-Identifier: Apache-2.0
// The queue is part of the state: on replicas, after reloads and restarts, under another primary.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow_queue.h"
#include "flow_traffic.h"
#include "tests/support/support_home.h"

TestSuite(copies, .fini = flow_harness_end, .timeout = 180);

static const char LIMITS[] = "MAXREQUESTS 8 MAXPREFILL 4000 MAXWAITING 100 ACCEPT 40 LEASE 300";

static void start_queues(struct flow_traffic *t, struct flow_conn *c, const char *key) {
    flow_traffic_start(t, c, key, LIMITS);
    t->lease = 200;
    t->wait = 300;
    for (int i = 0; i < FLOW_TRAFFIC_CLASSES; i++)
        flow_call_int(c, "KVROUTE.CLASS SET %s class-%d WEIGHT %d", key, i, i + 1);
}

// ---- Effects -------------------------------------------------------------------------------------

Test(copies, each_kind_of_command) {
    struct flow_server *primary = flow_server_start(flow_with_aof),
                       *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, primary);
    struct flow_conn *c = primary->conn;
    static const char *const commands[] = {
        "KVROUTE.CREATE p BLOCKSIZE 1 MAXREQUESTS 1 MAXPREFILL 1000 MAXBLOCKS 200 ACCEPT 600000",
        "KVROUTE.ALTER p MAXWAITING 50",
        "KVROUTE.WORKER SET p w MAXREQUESTS 1",
        "KVROUTE.CLASS SET p gold PRIORITY 5 WEIGHT 0.3333333333333333 WAITING 9 ROOM 90",
        "KVROUTE.CLASS SET p gold WEIGHT 1e-3",
        "KVROUTE.CLASS SET p gone",
        "KVROUTE.CLASS DEL p gone",
        "KVROUTE.FLOW SET p t WEIGHT 2.5 REQUESTS 9 RATE 100 BURST 2000",
        "KVROUTE.FLOW SET p t RATE 200",
        "KVROUTE.FLOW SET p gone RATE 7",
        "KVROUTE.FLOW DEL p gone",
        "KVROUTE.SELECT p x IDS 1 1 FLOW t CLASS gold",
        "KVROUTE.SELECT p a IDS 3 1 2 3 LORA l OSL 4 LEASE 777777 WAIT 99999 CLASS gold FLOW t",
        "KVROUTE.SELECT p b HASHES 12345678 WAIT 1000000 NOTIFY one SESSION s BLOCK AMONG 1 w",
        "KVROUTE.SELECT p b IDS 0 WAIT 5 NOTIFY two",
        "KVROUTE.SELECT p b IDS 0 NOTIFY three",
        "KVROUTE.SELECT p d HEX 00000000000000ff WAIT 1000000 WITH 1 gpu EXCLUDE 1 v TEMPERATURE 2",
        "KVROUTE.SELECT p e IDS 1 1 WAIT 1000000 POLICY linear OVERLAP 0.1",
        "KVROUTE.SELECT p f IDS 0 WAIT 1000000",
        "KVROUTE.RELEASE p x",
        "KVROUTE.SELECT p a IDS 0",
        "KVROUTE.SELECT p a IDS 0",
        "KVROUTE.UPDATE p a PREFILLED OUTPUT 5",
        "KVROUTE.RELEASE p a",
        "KVROUTE.UPDATE p b OUTPUT 1",
        "KVROUTE.RELEASE p b e",
        "KVROUTE.CLAIM p d w 0 IDS 1 1 FLOW t CLASS gold",
        "KVROUTE.CLAIM p f w 0 IDS 1 1",
        "KVROUTE.ALTER p MAXREQUESTS 9 ACCEPT 600001",
        "KVROUTE.WORKER SET p w MAXREQUESTS 9",
        "KVROUTE.RELEASE p d f",
        "KVROUTE.WORKER DEL p w",
        "KVROUTE.SELECT p g IDS 0 WAIT 1000000 FLOW u",
        "KVROUTE.SELECT p h IDS 0 WAIT 1000000 FLOW t",
        "KVROUTE.WORKER SET p v",
        "KVROUTE.CLAIM p g v 0 IDS 0",
    };
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        struct flow_args a = {0};
        flow_args_words(&a, commands[i]);
        bool blocks = strstr(commands[i], "BLOCK A") != NULL;
        if (blocks) flow_call_ok(c, "MULTI"); // where it is as if left out
        const struct flow_reply *r = flow_call_args(c, &a);
        cr_assert(r->kind != FLOW_REPLY_ERROR, "%s: %s", commands[i], r->bytes);
        if (blocks) flow_call_kind(c, FLOW_REPLY_ARRAY, "EXEC");
        flow_args_clear(&a);
        flow_expect_int(c, 1, "WAIT 1 %d", FLOW_PATIENCE_MS);
        cr_assert(flow_same_digest(flow_pool_digest(c, "p"), flow_pool_digest(replica->conn, "p")),
                  "%s", commands[i]);
        cr_assert(flow_pool_info(c, "p", "version") ==
                      flow_pool_info(replica->conn, "p", "version"),
                  "%s", commands[i]);
    }
    flow_expect_equal(primary, replica, "p");
    flow_call_kind(replica->conn, FLOW_REPLY_ARRAY, "KVROUTE.QUEUE p");
    flow_call_kind(replica->conn, FLOW_REPLY_ARRAY, "KVROUTE.CLASS LIST p");
    flow_call_kind(replica->conn, FLOW_REPLY_ARRAY, "KVROUTE.FLOW LIST p");
    flow_expect_error(replica->conn, "READONLY", "KVROUTE.CLASS SET p x");
    flow_expect_error(replica->conn, "READONLY", "KVROUTE.FLOW SET p x");
    struct flow_digest d = flow_pool_digest(c, "p");
    flow_call_ok(c, "DEBUG LOADAOF");
    cr_expect(flow_same_digest(d, flow_pool_digest(c, "p")), "after the AOF");
    flow_rewrite_aof(c);
    flow_server_restart(primary);
    cr_expect(flow_same_digest(d, flow_pool_digest(primary->conn, "p")), "after its rewrite");
}

// What a replica is told, in the words of the stream.
Test(copies, what_travels) {
    struct flow_server *primary = flow_server_start(NULL), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, primary);
    struct flow_conn *watch = flow_server_connect(replica, 2), *c = primary->conn;
    flow_call_ok(watch, "MONITOR");
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1 MAXREQUESTS 1 ACCEPT 600000");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    flow_expect_int(c, 1, "KVROUTE.FLOW SET p t RATE 1000");
    flow_expect_booked(c, "KVROUTE.SELECT p x IDS 0 CLASS default FLOW t");
    flow_expect_waiting(c, "KVROUTE.SELECT p a IDS 1 7 WAIT 99999 FLOW t");
    flow_expect_waiting(c, "KVROUTE.SELECT p short IDS 0 WAIT 30");
    flow_wait_waiting(c, 1);
    flow_expect_int(c, 1, "KVROUTE.RELEASE p x");
    flow_expect_booked(c, "KVROUTE.SELECT p a IDS 0");
    flow_call_ok(c, "SET the-end x");
    static const char *const want[] = {
        "\"KVROUTE.FLOW\" \"SET\" \"p\" \"t\" \"RATE\" \"1000\" \"AT\"",
        "\"LEFT\" \"1000000\"",
        "\"KVROUTE.CLAIM\" \"p\" \"x\"",
        "\"KVROUTE.ENQUEUE\" \"p\" \"a\" \"IDS\" \"1\" \"7\" \"WAIT\" \"99999\" \"FLOW\"",
        "\"KVROUTE.ENQUEUE\" \"p\" \"short\"",
        "\"KVROUTE.RELEASE\" \"p\" \"short\" \"LAPSED\"",
        "\"KVROUTE.RELEASE\" \"p\" \"x\"",
        "\"KVROUTE.ADMIT\" \"p\" \"a\" \"w\" \"0\" \"CREATED\"",
        "\"UNCALLED\"",
        "\"KVROUTE.UPDATE\" \"p\" \"a\" \"AT\"",
    };
    size_t n = 0;
    for (;;) {
        const struct flow_reply *r = flow_collect(watch);
        cr_assert(!strstr(r->bytes, "\"KVROUTE.SELECT\"") && !strstr(r->bytes, "\"PUBLISH\""));
        while (n < sizeof want / sizeof *want && strstr(r->bytes, want[n]))
            n++;
        if (strstr(r->bytes, "the-end")) break;
    }
    cr_expect(n == sizeof want / sizeof *want, "no %s",
              n < sizeof want / sizeof *want ? want[n] : "");
}

// ---- Reloads -------------------------------------------------------------------------------------

static void expect_kept(struct flow_conn *c, struct flow_digest d, int64_t version,
                        const char *by) {
    cr_expect(flow_same_digest(d, flow_pool_digest(c, "p")), "the digest after %s", by);
    flow_expect_version(c, "p", version);
    cr_expect(flow_waiting(c) == 5, "%s", by);
    for (int i = 0; i < 5; i++) {
        char id[8];
        snprintf(id, sizeof id, "a%d", i);
        cr_expect_str_eq(flow_queue_id(c, (size_t)i), id, "%s", by);
    }
}

static void test_reloads(const char *preamble) {
    const char *extra[] = {
        "--appendonly", "yes", "--appendfsync", "always", "--aof-use-rdb-preamble", preamble, NULL};
    struct flow_server *s = flow_server_start(extra);
    struct flow_conn *c = s->conn;
    flow_call_ok(c, "SELECT 1");
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1 MAXREQUESTS 1 ACCEPT 600000");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    flow_expect_int(c, 1, "KVROUTE.CLASS SET p c WEIGHT 3 ROOM 99 WAITING 7");
    flow_expect_int(c, 1, "KVROUTE.FLOW SET p t RATE 1000000 REQUESTS 5");
    flow_expect_booked(c, "KVROUTE.SELECT p x IDS 1 1 FLOW t CLASS c");
    flow_expect_waiting(c, "KVROUTE.SELECT p y IDS 2 1 2 WAIT 1000000 FLOW t");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p x"); // y is booked, and its owner has still to come
    for (int i = 0; i < 5; i++)
        flow_expect_waiting(
            c, "KVROUTE.SELECT p a%d IDS 1 %d WAIT 1000000 LEASE 80000000 CLASS c NOTIFY ch", i, i);
    struct flow_digest d = flow_pool_digest(c, "p");
    int64_t version = flow_pool_info(c, "p", "version");
    flow_call_ok(c, "DEBUG RELOAD");
    expect_kept(c, d, version, "DEBUG RELOAD");
    flow_call_ok(c, "DEBUG LOADAOF");
    expect_kept(c, d, version, "DEBUG LOADAOF");
    for (int i = 0; i < 2; i++) {
        flow_server_restart(s);
        c = s->conn;
        flow_call_ok(c, "SELECT 1");
        expect_kept(c, d, version, i ? "a rewrite and a kill" : "a kill");
        flow_rewrite_aof(c);
    }
    // It goes on where it was: the owner comes, and the next is admitted.
    const struct flow_reply *r = flow_expect_booked(c, "KVROUTE.SELECT p y IDS 0");
    cr_expect(flow_map_int(r, "repeat") == 1);
    flow_expect_version(c, "p", version + 1);
    flow_expect_int(c, 1, "KVROUTE.RELEASE p y");
    cr_expect(flow_is_live(c, "a0"));
    flow_expect_int(c, 1, "COPY p q");
    cr_expect(flow_same_digest(flow_pool_digest(c, "p"), flow_pool_digest(c, "q")));
}

Test(copies, reloads_with_preamble) {
    test_reloads("yes");
}

Test(copies, reloads_without_preamble) {
    test_reloads("no");
}

// ---- Another primary -----------------------------------------------------------------------------

// What is left of WAIT counts anew, ACCEPT as well, and the new primary admits first thing.
Test(copies, a_promotion) {
    struct flow_server *primary = flow_server_start(NULL), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, primary);
    struct flow_conn *c = primary->conn;
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1 MAXREQUESTS 1 ACCEPT 5000");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    flow_expect_booked(c, "KVROUTE.SELECT p x IDS 1 1 LEASE 0");
    flow_expect_waiting(c, "KVROUTE.SELECT p told IDS 1 1 WAIT 1000000 LEASE 0");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p x");
    flow_expect_waiting(c, "KVROUTE.SELECT p a IDS 1 1 WAIT 5000 LEASE 0");
    flow_expect_waiting(c, "KVROUTE.SELECT p b IDS 1 1 WAIT 5000 LEASE 0");
    flow_expect_int(c, 1, "WAIT 1 %d", FLOW_PATIENCE_MS);
    flow_server_kill(primary, SIGKILL);
    support_sleep_ms(5500);
    c = replica->conn;
    struct flow_digest d = flow_pool_digest(c, "p");
    cr_expect(flow_waiting(c) == 2, "a replica ends nothing");
    flow_call_ok(c, "REPLICAOF NO ONE");
    cr_expect(flow_same_digest(d, flow_pool_digest(c, "p")));
    cr_expect(flow_waiting(c) == 2 && flow_is_live(c, "told"));
    const struct flow_reply *r = flow_expect_waiting(c, "KVROUTE.SELECT p b IDS 1 1 WAIT 1000");
    cr_expect(flow_map_int(r, "position") == 1, "nobody loses his place");
    flow_expect_booked(c, "KVROUTE.SELECT p told IDS 0");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p told");
    cr_expect(flow_is_live(c, "a"));
    flow_wait_waiting(c, 0); // b is admitted or its time is over
}

Test(copies, replicas_and_loading_admit_nobody) {
    struct flow_server *primary = flow_server_start(NULL), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, primary);
    struct flow_conn *c = primary->conn;
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1 MAXREQUESTS 1 ACCEPT 600000");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    flow_expect_booked(c, "KVROUTE.SELECT p x IDS 1 1 LEASE 100");
    for (int i = 0; i < 200; i++)
        flow_post(c, "KVROUTE.SELECT p a%d IDS 1 1 WAIT 10000000", i);
    for (int i = 0; i < 200; i++)
        flow_collect(c);
    // The lease ends while the primary is stopped, and room would be there.
    flow_expect_int(c, 1, "WAIT 1 %d", FLOW_PATIENCE_MS);
    kill(primary->redis.pid, SIGSTOP);
    struct flow_digest d = flow_pool_digest(replica->conn, "p");
    int64_t waiting = flow_waiting(replica->conn);
    support_sleep_ms(400);
    cr_expect(flow_same_digest(d, flow_pool_digest(replica->conn, "p")));
    flow_call_ok(replica->conn, "REPLICAOF NO ONE");
    flow_wait_waiting(replica->conn, waiting - (waiting == 200)); // the lease ends there, too
    kill(primary->redis.pid, SIGCONT);
    flow_wait_waiting(c, 199);
}

// ---- Random traffic ------------------------------------------------------------------------------

static bool is_quiet(void *ctx) {
    struct flow_conn *c = ctx;
    return flow_pool_info(c, "p", "requests") == 0 && flow_pool_info(c, "p", "waiting") == 0;
}

Test(copies, random_traffic_with_waiting) {
    struct flow_server *primary = flow_server_start(NULL),
                       *replica = flow_server_start(flow_with_aof),
                       *chained = flow_server_start(NULL);
    flow_server_replica_of(replica, primary);
    flow_server_replica_of(chained, replica);
    struct flow_conn *c = primary->conn;
    struct flow_traffic t;
    start_queues(&t, c, "p");
    for (int round = 0; round < 8; round++) {
        flow_traffic_run(&t, c, 700);
        flow_expect_equal(primary, replica, "p");
    }
    cr_expect(flow_pool_info(c, "p", "admitted") > 0);
    cr_expect(flow_pool_info(c, "p", "refused") > 0);
    flow_call_ok(c, "KVROUTE.ALTER p MAXREQUESTS 1000 MAXPREFILL 0 MAXBLOCKS 0");
    flow_wait_until(is_quiet, c, "all is over");
    flow_expect_equal(primary, replica, "p");
    flow_expect_equal(primary, chained, "p");
    struct flow_digest d = flow_pool_digest(c, "p");
    int64_t version = flow_pool_info(c, "p", "version");
    flow_call_ok(replica->conn, "REPLICAOF NO ONE");
    flow_call_ok(replica->conn, "DEBUG LOADAOF");
    cr_expect(flow_same_digest(d, flow_pool_digest(replica->conn, "p")), "the replica's own AOF");
    flow_expect_version(replica->conn, "p", version);
}

Test(copies, random_traffic_under_failovers) {
    struct flow_server *a = flow_server_start(NULL), *b = flow_server_start(NULL);
    flow_server_replica_of(b, a);
    struct flow_traffic t;
    start_queues(&t, a->conn, "p");
    for (int round = 0; round < 4; round++) {
        flow_traffic_pipeline(&t, a->conn, 700);
        flow_server_failover(&a, &b);
        flow_traffic_run(&t, a->conn, 200);
        flow_expect_equal(a, b, "p");
    }
    flow_wait_until(is_quiet, a->conn, "all is over");
    flow_expect_equal(a, b, "p");
}

Test(copies, random_traffic_and_restarts) {
    static const char *const extra[] = {
        "--appendonly", "yes", "--appendfsync", "always", "--aof-use-rdb-preamble", "no", NULL};
    struct flow_server *s = flow_server_start(extra);
    struct flow_traffic t;
    start_queues(&t, s->conn, "p");
    // Nothing may end between the look and the kill.
    t.lease = t.wait = 100000000;
    flow_call_ok(s->conn, "KVROUTE.ALTER p LEASE 0 ACCEPT 100000000");
    for (int round = 0; round < 4; round++) {
        flow_traffic_run(&t, s->conn, 500);
        if (round % 2) flow_rewrite_aof(s->conn);
        flow_call_ok(s->conn, "CLIENT PAUSE 10000000 WRITE"); // nor may the timer admit
        struct flow_digest d = flow_pool_digest(s->conn, "p");
        int64_t version = flow_pool_info(s->conn, "p", "version");
        flow_server_restart(s);
        flow_call_ok(s->conn, "CLIENT PAUSE 10000000 WRITE");
        int64_t now = flow_pool_info(s->conn, "p", "version");
        cr_assert(now >= version);
        if (now == version) // else somebody has been admitted since it came back
            cr_assert(flow_same_digest(d, flow_pool_digest(s->conn, "p")), "after the kill");
        flow_call_ok(s->conn, "CLIENT UNPAUSE");
    }
}

Test(copies, random_traffic_and_copies) {
    struct flow_server *s = flow_server_start(NULL);
    struct flow_traffic t;
    start_queues(&t, s->conn, "p");
    static const char *const commands[] = {"KVROUTE.DIGEST p", "KVROUTE.DIGEST p LEARNT",
                                           "COPY p q REPLACE", "KVROUTE.DIGEST q",
                                           "KVROUTE.DIGEST q LEARNT"};
    for (int round = 0; round < 200; round++) {
        flow_traffic_run(&t, s->conn, 20);
        const struct flow_reply *r = flow_transaction(s->conn, commands, 5);
        cr_assert_str_eq(r->items[0].bytes, r->items[3].bytes, "round %d", round);
        cr_assert_str_eq(r->items[1].bytes, r->items[4].bytes, "round %d", round);
    }
}
