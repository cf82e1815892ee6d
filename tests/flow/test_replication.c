// SPDX-License-Identifier: Apache-2.0
// Replicas are what their primary is: effects, not commands, travel; one clock decides, the primary's.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "traffic.h"

TestSuite(replication, .fini = harness_end, .timeout = 180);

static bool is_quiet(void *ctx) {
    return pool_info(ctx, "p", "requests") == 0 && pool_info(ctx, "p", "predicted") == 0;
}

static bool is_deserted(void *ctx) {
    return is_quiet(ctx) && pool_info(ctx, "p", "workers") == 0;
}

Test(replication, chained_replicas_under_traffic_and_expiry) {
    static const char *const with_aof[] = {"--appendonly", "yes", "--appendfsync", "no", NULL};
    struct server *primary = server_start(with_aof), *replica = server_start(with_aof);
    struct server *chained = server_start(NULL);
    server_replica_of(replica, primary);
    server_replica_of(chained, replica);
    struct conn *c = primary->conn;
    struct traffic t;
    traffic_start(&t, c, "p", "LEASE 2000 WORKERTTL 100000 PREDICT 60");
    t.lease = 50;
    for (int round = 0; round < 6; round++) {
        traffic_pipeline(&t, c, 1000);
        if (round == 3) { // a broken link heals from the backlog
            call(replica->conn, "CLIENT KILL TYPE master");
            call(chained->conn, "CLIENT KILL TYPE master");
        }
        expect_equal(primary, replica, "p");
        expect_equal(primary, chained, "p");
    }
    cr_expect(pool_info(c, "p", "expired_requests") > 0);
    wait_until(is_quiet, c, "all leases and predictions are over");
    // Workers that stop their heartbeat, and are deleted after their grace.
    call_ok(c, "KVROUTE.ALTER p WORKERGRACE 200 LEASE 100");
    t.ttl = 1;
    for (int i = 0; i < 20; i++) {
        traffic_run(&t, c, 50);
        sleep_ms(30);
    }
    for (int w = 0; w < TRAFFIC_WORKERS; w++)
        call(c, "KVROUTE.WORKER SET p worker-%d TTL 1", w);
    expect_equal(primary, replica, "p");
    wait_until(is_deserted, c, "all workers are deleted");
    cr_expect(pool_info(c, "p", "expired_workers") >= TRAFFIC_WORKERS);
    expect_equal(primary, replica, "p");
    expect_equal(primary, chained, "p");
    // The replica's own AOF holds no more and no less.
    struct digest d = pool_digest(c, "p");
    int64_t version = pool_info(c, "p", "version");
    call_ok(replica->conn, "REPLICAOF NO ONE");
    call_ok(replica->conn, "DEBUG LOADAOF");
    cr_expect(same_digest(d, pool_digest(replica->conn, "p")));
    expect_version(replica->conn, "p", version);
    call_ok(c, "DEBUG LOADAOF");
    cr_expect(same_digest(d, pool_digest(c, "p")));
    expect_version(c, "p", version);
}

Test(replication, each_kind_of_command) {
    struct server *primary = server_start(NULL), *replica = server_start(NULL);
    server_replica_of(replica, primary);
    struct conn *c = primary->conn;
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
        struct args a = {0};
        args_words(&a, commands[i]);
        const struct reply *r = call_args(c, &a);
        cr_assert(r->kind != REPLY_ERROR, "%s: %s", commands[i], r->bytes);
        args_clear(&a);
        expect_int(c, 1, "WAIT 1 %d", PATIENCE_MS);
        cr_assert(same_digest(pool_digest(c, "p"), pool_digest(replica->conn, "p")), "%s",
                  commands[i]);
        cr_assert(pool_info(c, "p", "version") == pool_info(replica->conn, "p", "version"), "%s",
                  commands[i]);
    }
    // A replica answers reads and refuses writes.
    cr_expect(call_kind(replica->conn, REPLY_ARRAY, "KVROUTE.SCORE p IDS 3 1 2 3")->count == 1);
    expect_error(replica->conn, "READONLY", "KVROUTE.SELECT p x IDS 0");
    expect_error(replica->conn, "READONLY", "KVROUTE.WORKER SET p x");
    call_kind(replica->conn, REPLY_ARRAY, "KVROUTE.WORKER GET p w");
    call_kind(replica->conn, REPLY_ARRAY, "KVROUTE.REQUEST GET p r1");
    call_kind(replica->conn, REPLY_ARRAY, "KVROUTE.REQUEST LIST p");
    call_kind(replica->conn, REPLY_ARRAY, "KVROUTE.TREE p");
}

Test(replication, copies_break_ties_alike) {
    struct server *primary = server_start(NULL), *replica = server_start(NULL);
    call_ok(primary->conn, "KVROUTE.CREATE p BLOCKSIZE 1");
    for (int i = 0; i < 7; i++)
        call_int(primary->conn, "KVROUTE.WORKER SET p w%d RANKS 2", i);
    for (int i = 0; i < 5; i++) {
        call(primary->conn, "KVROUTE.SELECT p r IDS 0");
        call(primary->conn, "KVROUTE.RELEASE p r");
    }
    server_replica_of(replica, primary);
    for (int i = 0; i < 6; i++) {
        call(primary->conn, "KVROUTE.SELECT p r IDS 0");
        call(primary->conn, "KVROUTE.RELEASE p r");
    }
    expect_equal(primary, replica, "p");
    call_ok(replica->conn, "REPLICAOF NO ONE");
    for (int i = 0; i < 30; i++) {
        char worker[16];
        const struct reply *r = call(primary->conn, "KVROUTE.SELECT p r IDS 0");
        snprintf(worker, sizeof worker, "%s", map_str(r, "worker"));
        int64_t rank = map_int(r, "rank");
        r = call(replica->conn, "KVROUTE.SELECT p r IDS 0");
        cr_assert_str_eq(map_str(r, "worker"), worker);
        cr_assert(map_int(r, "rank") == rank);
        call(primary->conn, "KVROUTE.RELEASE p r");
        call(replica->conn, "KVROUTE.RELEASE p r");
    }
}

static void test_full_resync(const char *diskless_sync, const char *diskless_load) {
    const char *sync[] = {"--repl-diskless-sync", diskless_sync, NULL};
    const char *load[] = {"--repl-diskless-load", diskless_load, NULL};
    struct server *primary = server_start(sync), *replica = server_start(load);
    struct conn *c = primary->conn;
    struct traffic t, other, old;
    traffic_start(&t, c, "p", "LEASE 2000 PREDICT 50");
    t.lease = 50;
    traffic_run(&t, c, 800);
    call_ok(c, "SELECT 1");
    traffic_start(&other, c, "q", "LEASE 0");
    traffic_run(&other, c, 300);
    call_ok(c, "SELECT 0");
    // The replica has a life of its own until now.
    traffic_start(&old, replica->conn, "p", "LEASE 100");
    old.lease = 100;
    traffic_run(&old, replica->conn, 800);
    traffic_start(&old, replica->conn, "unknown to the primary", "");
    traffic_run(&old, replica->conn, 200);

    struct conn *feeding = server_connect(primary, 2);
    call_ok(replica->conn, "REPLICAOF 127.0.0.1 %d", primary->port);
    for (int i = 0; i < 20; i++) { // it goes on while the copy is on its way
        traffic_pipeline(&t, feeding, 100);
        sleep_ms(5);
    }
    server_wait_link(replica, primary);
    expect_equal(primary, replica, "p");
    // Torn off until the backlog no longer reaches: the same primary, once more in full.
    int64_t copies = server_info(c, "stats", "sync_full");
    call_ok(c, "CONFIG SET repl-backlog-size 16384");
    for (int i = 0; i < 20 && server_info(c, "stats", "sync_full") == copies; i++) {
        call(c, "CLIENT KILL TYPE replica");
        traffic_pipeline(&t, feeding, 1000);
        server_wait_link(replica, primary);
    }
    cr_assert(server_info(c, "stats", "sync_full") > copies);
    expect_equal(primary, replica, "p");
    traffic_run(&t, c, 300);
    expect_equal(primary, replica, "p");
    call_ok(c, "SELECT 1");
    call_ok(replica->conn, "SELECT 1");
    expect_equal(primary, replica, "q");
    call_ok(c, "SELECT 0");
    call_ok(replica->conn, "SELECT 0");
    expect_int(replica->conn, 1, "DBSIZE");
    wait_until(is_quiet, c, "all leases are over");
    expect_equal(primary, replica, "p");
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
    struct server *s = ctx;
    return server_info(s->conn, "replication", "master_last_io_seconds_ago") >= 3;
}

// With the primary stopped, leases run out on the replica's clock and nothing ends there.
Test(replication, a_replica_waits_for_its_primary) {
    struct server *primary = server_start(NULL), *replica = server_start(NULL);
    server_replica_of(replica, primary);
    struct conn *c = primary->conn;
    call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1 PREDICT 2000 WORKERTTL 1000 WORKERGRACE 1000");
    call_int(c, "KVROUTE.WORKER SET p w");
    call_int(c, "KVROUTE.EVENT p w 0 1 1 STORED - IDS 2 1 2");
    for (int i = 0; i < 10; i++)
        call(c, "KVROUTE.SELECT p r%d IDS 2 1 %d LEASE 2000", i, i);
    expect_int(c, 1, "WAIT 1 %d", PATIENCE_MS);
    kill(primary->pid, SIGSTOP);
    struct digest d = pool_digest(replica->conn, "p");
    int64_t version = pool_info(replica->conn, "p", "version");
    wait_until(replica_lags, replica, "the replica has waited long enough");
    cr_expect(same_digest(d, pool_digest(replica->conn, "p")));
    cr_expect(pool_info(replica->conn, "p", "requests") == 10);
    cr_expect(pool_info(replica->conn, "p", "workers") == 1);
    cr_expect(pool_info(replica->conn, "p", "predicted") > 0);
    expect_version(replica->conn, "p", version);
    kill(primary->pid, SIGCONT);
    wait_until(is_deserted, c, "the primary has ended them");
    expect_equal(primary, replica, "p");
    cr_expect(pool_info(replica->conn, "p", "expired_requests") == 0 ||
              pool_info(replica->conn, "p", "expired_requests") == 10);
}

Test(replication, promotion_renews_leases_and_workers) {
    struct server *primary = server_start(NULL), *replica = server_start(NULL);
    server_replica_of(replica, primary);
    struct conn *c = primary->conn;
    call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1 WORKERTTL 3000 WORKERGRACE 500");
    call_int(c, "KVROUTE.WORKER SET p w");
    call_int(c, "KVROUTE.EVENT p w 0 1 1 STORED - IDS 2 1 2");
    for (int i = 0; i < 10; i++)
        call(c, "KVROUTE.SELECT p r%d IDS 2 1 %d LEASE 3000", i, i);
    expect_int(c, 1, "WAIT 1 %d", PATIENCE_MS);
    server_kill(primary, SIGKILL);
    sleep_ms(3600);
    c = replica->conn;
    struct digest d = pool_digest(c, "p");
    call_ok(c, "REPLICAOF NO ONE");
    cr_expect(same_digest(d, pool_digest(c, "p")));
    const struct reply *w = call(c, "KVROUTE.WORKER GET p w");
    cr_expect_str_eq(map_str(w, "state"), "ready");
    cr_expect(map_int(w, "ttl_left") > 0);
    cr_expect(map_int(call(c, "KVROUTE.REQUEST GET p r3"), "lease_left") > 0);
    cr_expect(pool_info(c, "p", "requests") == 10);
    const struct reply *r = call(c, "KVROUTE.SELECT p r3 IDS 0");
    cr_expect(map_int(r, "repeat") == 1);
    // And from now on its own clock decides.
    wait_until(is_deserted, c, "what nobody renews ends");
    cr_expect(pool_info(c, "p", "expired_requests") == 10);
    cr_expect(pool_info(c, "p", "expired_workers") == 1);
}

Test(replication, paused_writes_stop_expiry) {
    struct server *primary = server_start(NULL), *replica = server_start(NULL);
    server_replica_of(replica, primary);
    struct conn *c = primary->conn;
    struct traffic t;
    traffic_start(&t, c, "p", "LEASE 300 PREDICT 300 WORKERTTL 0");
    t.lease = 300;
    traffic_run(&t, c, 600);
    cr_assert(pool_info(c, "p", "requests") > 0);
    call_ok(c, "CLIENT PAUSE 1500 WRITE");
    struct digest d = pool_digest(c, "p");
    int64_t version = pool_info(c, "p", "version");
    sleep_ms(900);
    cr_expect(same_digest(d, pool_digest(c, "p")), "nothing ends while writes are paused");
    expect_version(c, "p", version);
    expect_equal(primary, replica, "p");
    wait_until(is_quiet, c, "leases end after the pause");
    expect_equal(primary, replica, "p");
    call_ok(c, "CLIENT PAUSE 300 ALL");
    sleep_ms(100);
    traffic_run(&t, c, 100);
    expect_equal(primary, replica, "p");
}

static bool failover_is_over(void *ctx) {
    struct server *s = ctx;
    char text[64];
    server_info_text(s->conn, "replication", "master_failover_state", text, sizeof text);
    return strcmp(text, "no-failover") == 0;
}

Test(replication, failover_while_leases_run_out) {
    struct server *a = server_start(NULL), *b = server_start(NULL);
    server_replica_of(b, a);
    struct traffic t;
    traffic_start(&t, a->conn, "p", "LEASE 100 PREDICT 100 WORKERTTL 0");
    t.lease = 100;
    for (int round = 0; round < 4; round++) {
        traffic_pipeline(&t, a->conn, 1000);
        call_ok(a->conn, "FAILOVER TO 127.0.0.1 %d TIMEOUT 20000", b->port);
        wait_until(failover_is_over, a, "the failover is over");
        char role[16];
        server_info_text(b->conn, "replication", "role", role, sizeof role);
        cr_assert_str_eq(role, "master");
        struct server *swap = a;
        a = b;
        b = swap;
        server_wait_link(b, a);
        traffic_run(&t, a->conn, 200);
        expect_equal(a, b, "p");
    }
    wait_until(is_quiet, a->conn, "all leases are over");
    expect_equal(a, b, "p");
}

Test(replication, select_never_travels_as_itself) {
    struct server *primary = server_start(NULL), *replica = server_start(NULL);
    server_replica_of(replica, primary);
    struct conn *watch = server_connect(replica, 2);
    call_ok(watch, "MONITOR");
    struct conn *c = primary->conn;
    struct traffic t;
    traffic_start(&t, c, "p", "LEASE 30 TEMPERATURE 1");
    t.lease = 30;
    traffic_run(&t, c, 500);
    wait_until(is_quiet, c, "all leases are over");
    expect_int(c, 1, "WAIT 1 %d", PATIENCE_MS);
    call_ok(c, "SET the-end x");
    size_t claims = 0, selects = 0;
    for (;;) {
        const struct reply *r = collect(watch);
        claims += strstr(r->bytes, "\"KVROUTE.CLAIM\"") != NULL;
        selects += strstr(r->bytes, "\"KVROUTE.SELECT\"") != NULL;
        if (strstr(r->bytes, "the-end")) break;
    }
    cr_expect(selects == 0);
    cr_expect(claims > 50);
}
