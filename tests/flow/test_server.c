// SPDX-License-Identifier: Apache-2.0
// The server around the pool: keys that expire or are evicted, a cluster, notifications, a crash
// report, unloading; what only replication may say; and payloads of earlier versions.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "payload.h"
#include "traffic.h"

TestSuite(server, .fini = harness_end, .timeout = 120);

static bool no_keys(void *ctx) {
    return call_int(ctx, "DBSIZE") == 0;
}

Test(server, pools_expire_and_are_evicted_like_any_key) {
    struct server *s = server_start(NULL), *replica = server_start(NULL);
    server_replica_of(replica, s);
    struct conn *c = s->conn;
    static struct traffic t;
    for (int i = 0; i < 3; i++) {
        traffic_start(&t, c, "p", "LEASE 20 PREDICT 20");
        t.lease = 20;
        traffic_run(&t, c, 300);
        expect_int(c, 1, "PEXPIRE p %d", i * 30 + 1);
        wait_until(no_keys, c, "the key has expired");
        wait_until(no_keys, replica->conn, "the key has gone on the replica");
    }
    traffic_start(&t, c, "p", "LEASE 20 PREDICT 20");
    traffic_run(&t, c, 300);
    call_ok(c, "CONFIG SET maxmemory-policy allkeys-random");
    call_ok(c, "CONFIG SET maxmemory 1");
    call(c, "SET x y");
    wait_until(no_keys, c, "the key is evicted");
    call_ok(c, "CONFIG SET maxmemory 0");
    wait_until(no_keys, replica->conn, "the key has gone on the replica");
    sleep_ms(100);
    cr_expect(server_info(c, "kvroute", "kvroute_pools") == 0);
    cr_expect(server_info(replica->conn, "kvroute", "kvroute_pools") == 0);
}

static bool nothing_lives(void *ctx) {
    return pool_info(ctx, "p", "requests") == 0;
}

static bool cluster_is_up(void *ctx) {
    return strstr(call(ctx, "CLUSTER INFO")->bytes, "cluster_state:ok") != NULL;
}

Test(server, in_a_cluster) {
    static const char *const extra[] = {"--cluster-enabled", "yes", NULL};
    struct conn *c = server_start(extra)->conn;
    call_ok(c, "CLUSTER ADDSLOTSRANGE 0 16383");
    wait_until(cluster_is_up, c, "the cluster is up");
    static struct traffic t;
    traffic_start(&t, c, "p", "LEASE 20");
    t.lease = 20;
    traffic_run(&t, c, 500);
    wait_until(nothing_lives, c, "all leases are over");
    struct digest d = pool_digest(c, "p");
    call_ok(c, "DEBUG RELOAD");
    cr_expect(same_digest(d, pool_digest(c, "p")));
}

Test(server, changes_are_told_to_who_listens) {
    struct server *s = server_start(NULL);
    struct conn *c = s->conn, *tracking = server_connect(s, 3), *events = server_connect(s, 2);
    call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1");
    call_int(c, "KVROUTE.WORKER SET p w");
    // A client-side cache hears of a change, and of nothing else.
    call_ok(tracking, "CLIENT TRACKING ON");
    call_kind(tracking, REPLY_ARRAY, "KVROUTE.SCORE p IDS 0");
    call(c, "KVROUTE.INFO p");
    call(c, "KVROUTE.RELEASE p nosuch");
    cr_expect(conn_read(tracking, 100) == NULL);
    call(c, "KVROUTE.SELECT p r IDS 0");
    cr_expect(collect(tracking)->kind == REPLY_PUSH);
    // So does a subscriber of keyspace events, also when time ends something.
    call_ok(c, "CONFIG SET notify-keyspace-events KEA");
    call(events, "PSUBSCRIBE __keyspace@0__:*");
    call(c, "KVROUTE.UPDATE p r LEASE 1");
    size_t heard = 0;
    while (conn_read(events, heard < 2 ? PATIENCE_MS : 100))
        heard++;
    cr_expect(heard >= 2);
}

Test(server, the_module_stays) {
    struct conn *c = start_pool("");
    cr_expect(call(c, "MODULE UNLOAD kvroute")->kind == REPLY_ERROR);
    cr_expect(call_kind(c, REPLY_ARRAY, "MODULE LIST")->count == 1);
    call_kind(c, REPLY_ARRAY, "KVROUTE.INFO p");
}

Test(server, what_only_replication_says) {
    struct conn *c = start_pool("BLOCKSIZE 1 PREDICT 1000000");
    call_int(c, "KVROUTE.WORKER SET p w");
    call(c, "KVROUTE.SELECT p r IDS 2 1 2");
    struct digest before = pool_digest(c, "p");
    expect_error(c, "ERR", "KVROUTE.FORGET p 9999999999999 10");
    expect_error(c, "ERR", "KVROUTE.LOAD q chunk");
    expect_error(c, "ERR", "KVROUTE.CLAIM p q w 0 IDS 0 CREATED 1");
    expect_error(c, "ERR", "KVROUTE.CLAIM p q w 0 IDS 0 PREDICTED 9999999999999");
    expect_error(c, "ERR", "KVROUTE.UPDATE p r AT 1");
    expect_error(c, "ERR", "KVROUTE.WORKER SET p w SEEN 1");
    cr_expect(same_digest(before, pool_digest(c, "p")));
    expect_int(c, 1, "DBSIZE");
}

// The report of a crash goes through the module's INFO too: it must come to its end.
Test(server, a_crash_report_is_whole) {
    if (getenv("KVROUTE_SERVER_PRELOAD")) cr_skip_test("the sanitizer writes reports of its own");
    struct server *s = server_start(NULL);
    static struct traffic t;
    traffic_start(&t, s->conn, "p", "");
    traffic_run(&t, s->conn, 200);
    post(s->conn, "DEBUG SEGFAULT");
    int64_t deadline = clock_ms() + PATIENCE_MS;
    while (server_alive(s) && clock_ms() < deadline)
        sleep_ms(10);
    s->pid = 0;
    cr_expect(server_log_count(s, "REDIS BUG REPORT END") == 1);
    cr_assert(truncate(s->log, 0) == 0); // meant to be, so no crash to complain of
}

// ---- Payloads of earlier versions ----------------------------------------------------------------

// To make the files of a new format: KVROUTE_MAKE_FIXTURE=name, then add the name here.
static const char *const fixtures[] = {"pool-1"};

static void make_fixture(const char *name) {
    static const char *const plain[] = {"--rdbcompression", "no", NULL};
    struct conn *c = server_start(plain)->conn;
    static struct traffic t;
    traffic_start(&t, c, "p", "LEASE 0 PREDICT 1000000000 WORKERGRACE 0 TEMPERATURE 0.25 HOST 0.5");
    traffic_run(&t, c, 150);
    struct payload p = payload_dump(c, "p");
    char path[600];
    snprintf(path, sizeof path, "%s/%s.dump", KVROUTE_FIXTURES, name);
    FILE *f = fopen(path, "wb");
    cr_assert(f && fwrite(p.bytes, 1, p.n, f) == p.n && fclose(f) == 0, "%s", path);
    snprintf(path, sizeof path, "%s/%s.digest", KVROUTE_FIXTURES, name);
    f = fopen(path, "wb");
    cr_assert(f && fprintf(f, "%s\n", pool_digest(c, "p").hex) > 0 && fclose(f) == 0, "%s", path);
    payload_free(&p);
}

Test(server, payloads_of_earlier_versions) {
    const char *wanted = getenv("KVROUTE_MAKE_FIXTURE");
    if (wanted) make_fixture(wanted);
    struct conn *c = server_start(NULL)->conn;
    for (size_t i = 0; i < sizeof fixtures / sizeof *fixtures; i++) {
        char path[600];
        static unsigned char bytes[1 << 20];
        struct payload p = {bytes, 0};
        struct digest want = {"", ""};
        snprintf(path, sizeof path, "%s/%s.dump", KVROUTE_FIXTURES, fixtures[i]);
        FILE *f = fopen(path, "rb");
        cr_assert(f, "no %s", path);
        p.n = fread(bytes, 1, sizeof bytes, f);
        fclose(f);
        snprintf(path, sizeof path, "%s/%s.digest", KVROUTE_FIXTURES, fixtures[i]);
        f = fopen(path, "rb");
        cr_assert(f && fscanf(f, "%40s", want.hex) == 1, "no %s", path);
        fclose(f);
        cr_assert(payload_restore(c, "p", &p), "%s is refused", fixtures[i]);
        cr_expect(same_digest(pool_digest(c, "p"), want), "%s has another state", fixtures[i]);
    }
}

// The names of SELECT's fields are replies of ECHO, where there is one.
Test(server, without_echo) {
    static const char *const extra[] = {"--rename-command", "ECHO", "", NULL};
    struct server *s = server_start(extra), *usual = server_start(NULL);
    struct server *servers[] = {s, usual};
    static const char *const names[] = {"worker", "rank", "addr",   "overlap", "cached",
                                        "blocks", "cost", "repeat", "version", "expected",
                                        "ttft",   "tpot", "waited"};
    for (int i = 0; i < 2; i++) {
        struct conn *c = servers[i]->conn;
        call_ok(c, "KVROUTE.CREATE p");
        expect_int(c, 1, "KVROUTE.WORKER SET p w");
        const struct reply *r = call_kind(c, REPLY_ARRAY, "KVROUTE.SELECT p r IDS 1 1");
        cr_assert(r->count == 2 * sizeof names / sizeof *names);
        for (size_t k = 0; k < r->count / 2; k++)
            cr_assert(r->items[2 * k].kind == REPLY_BULK &&
                          strcmp(r->items[2 * k].bytes, names[k]) == 0,
                      "%s", names[k]);
    }
}
