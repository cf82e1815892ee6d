// SPDX-License-Identifier: Apache-2.0
// Replicas are what their primary is: effects, not commands, travel; one clock decides, the primary's.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow_traffic.h"
#include "tests/support/support_home.h"

TestSuite(replication, .fini = flow_harness_end, .timeout = 180);

static bool is_quiet(void *ctx) {
    return flow_pool_info(ctx, "p", "requests") == 0 && flow_pool_info(ctx, "p", "predicted") == 0;
}

static bool is_deserted(void *ctx) {
    return is_quiet(ctx) && flow_pool_info(ctx, "p", "workers") == 0;
}

Test(replication, chained_replicas_under_traffic_and_expiry) {
    static const char *const with_aof[] = {"--appendonly", "yes", "--appendfsync", "no", NULL};
    struct flow_server *primary = flow_server_start(with_aof),
                       *replica = flow_server_start(with_aof);
    struct flow_server *chained = flow_server_start(NULL);
    flow_server_replica_of(replica, primary);
    flow_server_replica_of(chained, replica);
    struct flow_conn *c = primary->conn;
    struct flow_traffic t;
    flow_traffic_start(&t, c, "p", "LEASE 2000 WORKERTTL 100000 PREDICT 60");
    t.lease = 50;
    for (int round = 0; round < 6; round++) {
        flow_traffic_pipeline(&t, c, 1000);
        if (round == 3) { // a broken link heals from the backlog
            flow_call(replica->conn, "CLIENT KILL TYPE master");
            flow_call(chained->conn, "CLIENT KILL TYPE master");
        }
        flow_expect_equal(primary, replica, "p");
        flow_expect_equal(primary, chained, "p");
    }
    cr_expect(flow_pool_info(c, "p", "expired_requests") > 0);
    flow_wait_until(is_quiet, c, "all leases and predictions are over");
    // Workers that stop their heartbeat, and are deleted after their grace.
    flow_call_ok(c, "KVROUTE.ALTER p WORKERGRACE 200 LEASE 100");
    t.ttl = 1;
    for (int i = 0; i < 20; i++) {
        flow_traffic_run(&t, c, 50);
        support_sleep_ms(30);
    }
    for (int w = 0; w < FLOW_TRAFFIC_WORKERS; w++)
        flow_call(c, "KVROUTE.WORKER SET p worker-%d TTL 1", w);
    flow_expect_equal(primary, replica, "p");
    flow_wait_until(is_deserted, c, "all workers are deleted");
    cr_expect(flow_pool_info(c, "p", "expired_workers") >= FLOW_TRAFFIC_WORKERS);
    flow_expect_equal(primary, replica, "p");
    flow_expect_equal(primary, chained, "p");
    // The replica's own AOF holds no more and no less.
    struct flow_digest d = flow_pool_digest(c, "p");
    int64_t version = flow_pool_info(c, "p", "version");
    flow_call_ok(replica->conn, "REPLICAOF NO ONE");
    flow_call_ok(replica->conn, "DEBUG LOADAOF");
    cr_expect(flow_same_digest(d, flow_pool_digest(replica->conn, "p")));
    flow_expect_version(replica->conn, "p", version);
    flow_call_ok(c, "DEBUG LOADAOF");
    cr_expect(flow_same_digest(d, flow_pool_digest(c, "p")));
    flow_expect_version(c, "p", version);
}

Test(replication, each_kind_of_command) {
    struct flow_server *primary = flow_server_start(NULL), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, primary);
    struct flow_conn *c = primary->conn;
    static const char *const commands[] = {
        "KVROUTE.CREATE p BLOCKSIZE 1 POLICY linear PREDICT 100000",
        "KVROUTE.ALTER p OVERLAP 0.1 DISK 0.3333333333333333 TEMPERATURE 1e-7",
        "KVROUTE.WORKER SET p w",
        "KVROUTE.WORKER SET p w ADDR x RANKS 2 CAPACITY 5 STATE ready TTL 100000",
        "KVROUTE.WORKER SET p v TTL 100000",
        "KVROUTE.WORKER SET p v STATE draining",
        "KVROUTE.EVENT p w 0 1 1 STORED - IDS 4 1 2 3 4 LORA a",
        "KVROUTE.EVENT p w 0 1 2 TIER disk STORED - IDS 4 1 2 3 4",
        "KVROUTE.EVENT p w 1 9 1 CLEARED",
        "KVROUTE.SELECT p r1 IDS 3 1 2 3",
        "KVROUTE.SELECT p r2 TOKENS 12345678 NAMESPACE n ISL 100 OSL 5 LEASE 0 TEMPERATURE 2",
        "KVROUTE.SELECT p r3 HASHES 12345678 LEASE 100000 AMONG 1 w",
        "KVROUTE.SELECT p r4 HEX 00000000000000ff",
        "KVROUTE.SELECT p r1 IDS 3 1 2 3",
        "KVROUTE.CLAIM p c1 v 0 IDS 3 1 2 3 ISL 5 CACHED 2 OUTPUT 3 PREFILLED LEASE 100000",
        "KVROUTE.CLAIM p c2 v 0 IDS 3 1 2 3",
        "KVROUTE.UPDATE p r1 PREFILLED",
        "KVROUTE.UPDATE p r2 OUTPUT 50 LEASE 100000",
        "KVROUTE.UPDATE p r3",
        "KVROUTE.RELEASE p r3 nosuch",
        "KVROUTE.WORKER SET p w RANKS 1",
        "KVROUTE.WORKER DEL p v",
    };
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const struct flow_reply *r = flow_call(c, commands[i]);
        cr_assert(r->kind != FLOW_REPLY_ERROR, "%s: %s", commands[i], r->bytes);
        flow_expect_int(c, 1, "WAIT 1 %d", FLOW_PATIENCE_MS);
        cr_assert(flow_same_digest(flow_pool_digest(c, "p"), flow_pool_digest(replica->conn, "p")),
                  "%s", commands[i]);
        cr_assert(flow_pool_info(c, "p", "version") ==
                      flow_pool_info(replica->conn, "p", "version"),
                  "%s", commands[i]);
    }
    // A replica answers reads and refuses writes.
    cr_expect(
        flow_call_kind(replica->conn, FLOW_REPLY_ARRAY, "KVROUTE.SCORE p IDS 3 1 2 3")->count == 1);
    flow_expect_error(replica->conn, "READONLY", "KVROUTE.SELECT p x IDS 0");
    flow_expect_error(replica->conn, "READONLY", "KVROUTE.WORKER SET p x");
    flow_call_kind(replica->conn, FLOW_REPLY_ARRAY, "KVROUTE.WORKER GET p w");
    flow_call_kind(replica->conn, FLOW_REPLY_ARRAY, "KVROUTE.REQUEST GET p r1");
    flow_call_kind(replica->conn, FLOW_REPLY_ARRAY, "KVROUTE.REQUEST LIST p");
    flow_call_kind(replica->conn, FLOW_REPLY_ARRAY, "KVROUTE.TREE p");
}

Test(replication, copies_break_ties_alike) {
    struct flow_server *primary = flow_server_start(NULL), *replica = flow_server_start(NULL);
    flow_call_ok(primary->conn, "KVROUTE.CREATE p BLOCKSIZE 1");
    for (int i = 0; i < 7; i++)
        flow_call_int(primary->conn, "KVROUTE.WORKER SET p w%d RANKS 2", i);
    for (int i = 0; i < 5; i++) {
        flow_call(primary->conn, "KVROUTE.SELECT p r IDS 0");
        flow_call(primary->conn, "KVROUTE.RELEASE p r");
    }
    flow_server_replica_of(replica, primary);
    for (int i = 0; i < 6; i++) {
        flow_call(primary->conn, "KVROUTE.SELECT p r IDS 0");
        flow_call(primary->conn, "KVROUTE.RELEASE p r");
    }
    flow_expect_equal(primary, replica, "p");
    flow_call_ok(replica->conn, "REPLICAOF NO ONE");
    for (int i = 0; i < 30; i++) {
        char worker[16];
        const struct flow_reply *r = flow_call(primary->conn, "KVROUTE.SELECT p r IDS 0");
        snprintf(worker, sizeof worker, "%s", flow_map_str(r, "worker"));
        int64_t rank = flow_map_int(r, "rank");
        r = flow_call(replica->conn, "KVROUTE.SELECT p r IDS 0");
        cr_assert_str_eq(flow_map_str(r, "worker"), worker);
        cr_assert(flow_map_int(r, "rank") == rank);
        flow_call(primary->conn, "KVROUTE.RELEASE p r");
        flow_call(replica->conn, "KVROUTE.RELEASE p r");
    }
}

static void test_full_resync(const char *diskless_sync, const char *diskless_load) {
    const char *sync[] = {"--repl-diskless-sync", diskless_sync, NULL};
    const char *load[] = {"--repl-diskless-load", diskless_load, NULL};
    struct flow_server *primary = flow_server_start(sync), *replica = flow_server_start(load);
    struct flow_conn *c = primary->conn;
    struct flow_traffic t, other, old;
    flow_traffic_start(&t, c, "p", "LEASE 2000 PREDICT 50");
    t.lease = 50;
    flow_traffic_run(&t, c, 800);
    flow_call_ok(c, "SELECT 1");
    flow_traffic_start(&other, c, "q", "LEASE 0");
    flow_traffic_run(&other, c, 300);
    flow_call_ok(c, "SELECT 0");
    // The replica has a life of its own until now.
    flow_traffic_start(&old, replica->conn, "p", "LEASE 100");
    old.lease = 100;
    flow_traffic_run(&old, replica->conn, 800);
    flow_traffic_start(&old, replica->conn, "unknown to the primary", "");
    flow_traffic_run(&old, replica->conn, 200);

    struct flow_conn *feeding = flow_server_connect(primary, 2);
    flow_call_ok(replica->conn, "REPLICAOF 127.0.0.1 %d", primary->redis.port);
    for (int i = 0; i < 20; i++) { // it goes on while the copy is on its way
        flow_traffic_pipeline(&t, feeding, 100);
        support_sleep_ms(5);
    }
    flow_server_wait_link(replica, primary);
    flow_expect_equal(primary, replica, "p");
    // Torn off until the backlog no longer reaches: the same primary, once more in full.
    int64_t copies = flow_server_info(c, "stats", "sync_full");
    flow_call_ok(c, "CONFIG SET repl-backlog-size 16384");
    for (int i = 0; i < 20 && flow_server_info(c, "stats", "sync_full") == copies; i++) {
        flow_call(c, "CLIENT KILL TYPE replica");
        flow_traffic_pipeline(&t, feeding, 1000);
        flow_server_wait_link(replica, primary);
    }
    cr_assert(flow_server_info(c, "stats", "sync_full") > copies);
    flow_expect_equal(primary, replica, "p");
    flow_traffic_run(&t, c, 300);
    flow_expect_equal(primary, replica, "p");
    flow_call_ok(c, "SELECT 1");
    flow_call_ok(replica->conn, "SELECT 1");
    flow_expect_equal(primary, replica, "q");
    flow_call_ok(c, "SELECT 0");
    flow_call_ok(replica->conn, "SELECT 0");
    flow_expect_int(replica->conn, 1, "DBSIZE");
    flow_wait_until(is_quiet, c, "all leases are over");
    flow_expect_equal(primary, replica, "p");
}

Test(replication, full_resync_by_disk) {
    test_full_resync("no", "disabled");
}

Test(replication, full_resync_diskless) {
    test_full_resync("yes", "disabled");
}

Test(replication, full_resync_into_a_second_db) {
    test_full_resync("yes", "swapdb");
}

Test(replication, full_resync_into_an_empty_db) {
    test_full_resync("yes", "on-empty-db");
}

static bool replica_lags(void *ctx) {
    struct flow_server *s = ctx;
    return flow_server_info(s->conn, "replication", "master_last_io_seconds_ago") >= 3;
}

// With the primary stopped, leases run out on the replica's clock and nothing ends there.
Test(replication, a_replica_waits_for_its_primary) {
    struct flow_server *primary = flow_server_start(NULL), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, primary);
    struct flow_conn *c = primary->conn;
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1 PREDICT 2000 WORKERTTL 1000 WORKERGRACE 1000");
    flow_call_int(c, "KVROUTE.WORKER SET p w");
    flow_call_int(c, "KVROUTE.EVENT p w 0 1 1 STORED - IDS 2 1 2");
    for (int i = 0; i < 10; i++)
        flow_call(c, "KVROUTE.SELECT p r%d IDS 2 1 %d LEASE 2000", i, i);
    flow_expect_int(c, 1, "WAIT 1 %d", FLOW_PATIENCE_MS);
    kill(primary->redis.pid, SIGSTOP);
    struct flow_digest d = flow_pool_digest(replica->conn, "p");
    int64_t version = flow_pool_info(replica->conn, "p", "version");
    flow_wait_until(replica_lags, replica, "the replica has waited long enough");
    cr_expect(flow_same_digest(d, flow_pool_digest(replica->conn, "p")));
    cr_expect(flow_pool_info(replica->conn, "p", "requests") == 10);
    cr_expect(flow_pool_info(replica->conn, "p", "workers") == 1);
    cr_expect(flow_pool_info(replica->conn, "p", "predicted") > 0);
    flow_expect_version(replica->conn, "p", version);
    kill(primary->redis.pid, SIGCONT);
    flow_wait_until(is_deserted, c, "the primary has ended them");
    flow_expect_equal(primary, replica, "p");
    cr_expect(flow_pool_info(replica->conn, "p", "expired_requests") == 0 ||
              flow_pool_info(replica->conn, "p", "expired_requests") == 10);
}

Test(replication, promotion_renews_leases_and_workers) {
    struct flow_server *primary = flow_server_start(NULL), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, primary);
    struct flow_conn *c = primary->conn;
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1 WORKERTTL 3000 WORKERGRACE 500");
    flow_call_int(c, "KVROUTE.WORKER SET p w");
    flow_call_int(c, "KVROUTE.EVENT p w 0 1 1 STORED - IDS 2 1 2");
    for (int i = 0; i < 10; i++)
        flow_call(c, "KVROUTE.SELECT p r%d IDS 2 1 %d LEASE 3000", i, i);
    flow_expect_int(c, 1, "WAIT 1 %d", FLOW_PATIENCE_MS);
    flow_server_kill(primary, SIGKILL);
    support_sleep_ms(3600);
    c = replica->conn;
    struct flow_digest d = flow_pool_digest(c, "p");
    flow_call_ok(c, "REPLICAOF NO ONE");
    cr_expect(flow_same_digest(d, flow_pool_digest(c, "p")));
    const struct flow_reply *w = flow_call(c, "KVROUTE.WORKER GET p w");
    cr_expect_str_eq(flow_map_str(w, "state"), "ready");
    cr_expect(flow_map_int(w, "ttl_left") > 0);
    cr_expect(flow_map_int(flow_call(c, "KVROUTE.REQUEST GET p r3"), "lease_left") > 0);
    cr_expect(flow_pool_info(c, "p", "requests") == 10);
    const struct flow_reply *r = flow_call(c, "KVROUTE.SELECT p r3 IDS 0");
    cr_expect(flow_map_int(r, "repeat") == 1);
    // And from now on its own clock decides.
    flow_wait_until(is_deserted, c, "what nobody renews ends");
    cr_expect(flow_pool_info(c, "p", "expired_requests") == 10);
    cr_expect(flow_pool_info(c, "p", "expired_workers") == 1);
}

Test(replication, paused_writes_stop_expiry) {
    struct flow_server *primary = flow_server_start(NULL), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, primary);
    struct flow_conn *c = primary->conn;
    struct flow_traffic t;
    flow_traffic_start(&t, c, "p", "LEASE 300 PREDICT 300 WORKERTTL 0");
    t.lease = 1000;
    flow_traffic_run(&t, c, 600);
    cr_assert(flow_pool_info(c, "p", "requests") > 0);
    flow_call_ok(c, "CLIENT PAUSE 5000 WRITE");
    struct flow_digest d = flow_pool_digest(c, "p");
    int64_t version = flow_pool_info(c, "p", "version");
    support_sleep_ms(2000);
    cr_expect(flow_same_digest(d, flow_pool_digest(c, "p")),
              "nothing ends while writes are paused");
    flow_expect_version(c, "p", version);
    flow_expect_equal(primary, replica, "p");
    flow_wait_until(is_quiet, c, "leases end after the pause");
    flow_expect_equal(primary, replica, "p");
    flow_call_ok(c, "CLIENT PAUSE 300 ALL");
    support_sleep_ms(100);
    flow_traffic_run(&t, c, 100);
    flow_expect_equal(primary, replica, "p");
}

Test(replication, failover_while_leases_run_out) {
    struct flow_server *a = flow_server_start(NULL), *b = flow_server_start(NULL);
    flow_server_replica_of(b, a);
    struct flow_traffic t;
    flow_traffic_start(&t, a->conn, "p", "LEASE 100 PREDICT 100 WORKERTTL 0");
    t.lease = 100;
    for (int round = 0; round < 4; round++) {
        flow_traffic_pipeline(&t, a->conn, 1000);
        flow_server_failover(&a, &b);
        flow_traffic_run(&t, a->conn, 200);
        flow_expect_equal(a, b, "p");
    }
    flow_wait_until(is_quiet, a->conn, "all leases are over");
    flow_expect_equal(a, b, "p");
}

Test(replication, select_never_travels_as_itself) {
    struct flow_server *primary = flow_server_start(NULL), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, primary);
    struct flow_conn *watch = flow_server_connect(replica, 2);
    flow_call_ok(watch, "MONITOR");
    struct flow_conn *c = primary->conn;
    struct flow_traffic t;
    flow_traffic_start(&t, c, "p", "LEASE 30 TEMPERATURE 1");
    t.lease = 30;
    flow_traffic_run(&t, c, 500);
    flow_wait_until(is_quiet, c, "all leases are over");
    flow_expect_int(c, 1, "WAIT 1 %d", FLOW_PATIENCE_MS);
    flow_call_ok(c, "SET the-end x");
    size_t claims = 0, selects = 0;
    for (;;) {
        const struct flow_reply *r = flow_collect(watch);
        claims += strstr(r->bytes, "\"KVROUTE.CLAIM\"") != NULL;
        selects += strstr(r->bytes, "\"KVROUTE.SELECT\"") != NULL;
        if (strstr(r->bytes, "the-end")) break;
    }
    cr_expect(selects == 0);
    cr_expect(claims > 50);
}
