// SPDX-License-Identifier: Apache-2.0
// The server around the pool: keys that expire or are evicted, a cluster, notifications, a crash
// report, unloading; what only replication may say; and payloads of earlier versions.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "flow_payload.h"
#include "flow_traffic.h"
#include "tests/support/support_home.h"
#include "tests/support/support_needs.h"
#include "tests/support/support_port.h"
#include "tests/support/support_process.h"

TestSuite(server, .fini = flow_harness_end, .timeout = 120);

static bool no_keys(void *ctx) {
    return flow_call_int(ctx, "DBSIZE") == 0;
}

static bool no_pools(void *ctx) {
    return flow_server_info(ctx, "kvroute", "kvroute_pools") == 0;
}

Test(server, pools_expire_and_are_evicted_like_any_key) {
    struct flow_server *s = flow_server_start(NULL), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, s);
    struct flow_conn *c = s->conn;
    static struct flow_traffic t;
    for (int i = 0; i < 3; i++) {
        flow_traffic_start(&t, c, "p", "LEASE 20 PREDICT 20");
        t.lease = 20;
        flow_traffic_run(&t, c, 300);
        flow_expect_int(c, 1, "PEXPIRE p %d", i * 30 + 1);
        flow_wait_until(no_keys, c, "the key has expired");
        flow_wait_until(no_keys, replica->conn, "the key has gone on the replica");
    }
    flow_traffic_start(&t, c, "p", "LEASE 20 PREDICT 20");
    flow_traffic_run(&t, c, 300);
    flow_call_ok(c, "CONFIG SET maxmemory-policy allkeys-random");
    flow_call_ok(c, "CONFIG SET maxmemory 1");
    flow_call(c, "SET x y");
    flow_wait_until(no_keys, c, "the key is evicted");
    flow_call_ok(c, "CONFIG SET maxmemory 0");
    flow_wait_until(no_keys, replica->conn, "the key has gone on the replica");
    // Large ones are freed by another thread.
    flow_wait_until(no_pools, c, "the pool is freed");
    flow_wait_until(no_pools, replica->conn, "the pool is freed on the replica");
}

static bool cluster_is_up(void *ctx) {
    return strstr(flow_call(ctx, "CLUSTER INFO")->bytes, "cluster_state:ok") != NULL;
}

static struct flow_server *start_cluster(void) {
    static char bus[16];
    static const char *const extra[] = {"--cluster-enabled", "yes", "--cluster-port", bus, NULL};
    snprintf(bus, sizeof bus, "%d", support_port()); // else it is the server's and 10,000
    struct flow_server *s = flow_server_start(extra);
    flow_call_ok(s->conn, "CLUSTER ADDSLOTSRANGE 0 16383");
    flow_wait_until(cluster_is_up, s->conn, "the cluster is up");
    return s;
}

static void others_cluster_client(const char *python) {
    char port[16], said[2000];
    snprintf(port, sizeof port, "%d", start_cluster()->redis.port);
    const char *const argv[] = {python, KVROUTE_CLUSTER_PY, port, NULL};
    cr_expect(support_run(argv, FLOW_PATIENCE_MS, said, sizeof said) == 0, "%s", said);
}

Test(server, others_cluster_client_finds_the_keys) {
    support_needs_python("redis.cluster", "python3-redis");
    others_cluster_client("/usr/bin/python3");
}

Test(server, others_newest_cluster_client_finds_the_keys) {
    others_cluster_client(support_needs_newest_redis_py());
}

Test(server, in_a_cluster) {
    struct flow_conn *c = start_cluster()->conn;
    static struct flow_traffic t;
    flow_traffic_start(&t, c, "p", "LEASE 20");
    t.lease = 20;
    flow_traffic_run(&t, c, 500);
    flow_wait_info(c, "requests", 0);
    struct flow_digest d = flow_pool_digest(c, "p");
    flow_call_ok(c, "DEBUG RELOAD");
    cr_expect(flow_same_digest(d, flow_pool_digest(c, "p")));
}

Test(server, changes_are_told_to_who_listens) {
    struct flow_server *s = flow_server_start(NULL);
    struct flow_conn *c = s->conn, *tracking = flow_server_connect(s, 3),
                     *events = flow_server_connect(s, 2);
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1");
    flow_call_int(c, "KVROUTE.WORKER SET p w");
    // A client-side cache hears of a change, and of nothing else.
    flow_call_ok(tracking, "CLIENT TRACKING ON");
    flow_call_kind(tracking, FLOW_REPLY_ARRAY, "KVROUTE.SCORE p IDS 0");
    flow_call(c, "KVROUTE.INFO p");
    flow_call(c, "KVROUTE.RELEASE p nosuch");
    cr_expect(flow_conn_read(tracking, 100) == NULL);
    flow_call(c, "KVROUTE.SELECT p r IDS 0");
    cr_expect(flow_collect(tracking)->kind == FLOW_REPLY_PUSH);
    // So does a subscriber of keyspace events, also when time ends something.
    flow_call_ok(c, "CONFIG SET notify-keyspace-events KEA");
    flow_call(events, "PSUBSCRIBE __keyspace@0__:*");
    flow_call(c, "KVROUTE.UPDATE p r LEASE 1");
    size_t heard = 0;
    while (flow_conn_read(events, heard < 2 ? FLOW_PATIENCE_MS : 100))
        heard++;
    cr_expect(heard >= 2);
}

// Its row in the list of modules; some servers bring modules of their own.
static const struct flow_reply *our_module(struct flow_conn *c) {
    const struct flow_reply *r = flow_call_kind(c, FLOW_REPLY_ARRAY, "MODULE LIST");
    for (size_t i = 0; i < r->count; i++)
        if (strcmp(flow_map_str(&r->items[i], "name"), "kvroute") == 0) return &r->items[i];
    cr_assert(false, "the module is gone");
    return NULL;
}

Test(server, the_module_stays) {
    struct flow_conn *c = flow_start_pool("");
    cr_expect(flow_call(c, "MODULE UNLOAD kvroute")->kind == FLOW_REPLY_ERROR);
    our_module(c);
    flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.INFO p");
}

// As a number in the list of modules, and as it is written in INFO.
Test(server, the_version_is_told) {
    struct flow_conn *c = flow_start_pool("");
    cr_expect(flow_map_int(our_module(c), "ver") == KVROUTE_VERSION_NUMBER);
    cr_expect(strstr(flow_call(c, "INFO kvroute")->bytes,
                     "\r\nkvroute_version:" KVROUTE_VERSION "\r\n") != NULL);
}

Test(server, what_only_replication_says) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1 PREDICT 1000000");
    flow_call_int(c, "KVROUTE.WORKER SET p w");
    flow_call(c, "KVROUTE.SELECT p r IDS 2 1 2");
    struct flow_digest before = flow_pool_digest(c, "p");
    flow_expect_error(c, "ERR", "KVROUTE.FORGET p 9999999999999 10");
    flow_expect_error(c, "ERR", "KVROUTE.LOAD q chunk");
    flow_expect_error(c, "ERR", "KVROUTE.CLAIM p q w 0 IDS 0 CREATED 1");
    flow_expect_error(c, "ERR", "KVROUTE.CLAIM p q w 0 IDS 0 PREDICTED 9999999999999");
    flow_expect_error(c, "ERR", "KVROUTE.UPDATE p r AT 1");
    flow_expect_error(c, "ERR", "KVROUTE.WORKER SET p w SEEN 1");
    cr_expect(flow_same_digest(before, flow_pool_digest(c, "p")));
    flow_expect_int(c, 1, "DBSIZE");
}

// The report of a crash goes through the module's INFO too: it must come to its end.
Test(server, a_crash_report_is_whole) {
    if (getenv("KVROUTE_SERVER_PRELOAD")) cr_skip_test("the sanitizer writes reports of its own");
    struct flow_server *s = flow_server_start(NULL);
    static struct flow_traffic t;
    flow_traffic_start(&t, s->conn, "p", "");
    flow_traffic_run(&t, s->conn, 200);
    flow_post(s->conn, "DEBUG SEGFAULT");
    int64_t deadline = flow_clock_ms() + FLOW_PATIENCE_MS;
    while (flow_server_alive(s) && flow_clock_ms() < deadline)
        support_sleep_ms(10);
    s->redis.pid = 0;
    cr_expect(support_log_count(s->redis.log, "BUG REPORT END") == 1);
    cr_assert(truncate(s->redis.log, 0) == 0); // meant to be, so no crash to complain of
}

// ---- Payloads of earlier versions ----------------------------------------------------------------

// To make the files of a new format: KVROUTE_MAKE_FIXTURE=name, then add the name here.
static const char *const fixtures[] = {"pool-1"};

static void make_fixture(const char *name) {
    static const char *const plain[] = {"--rdbcompression", "no", NULL};
    struct flow_conn *c = flow_server_start(plain)->conn;
    static struct flow_traffic t;
    flow_traffic_start(&t, c, "p",
                       "LEASE 0 PREDICT 1000000000 WORKERGRACE 0 TEMPERATURE 0.25 HOST 0.5");
    flow_traffic_run(&t, c, 150);
    struct flow_payload p = flow_payload_dump(c, "p");
    char path[600];
    snprintf(path, sizeof path, "%s/%s.dump", KVROUTE_FIXTURES, name);
    FILE *f = fopen(path, "wb");
    cr_assert(f && fwrite(p.bytes, 1, p.n, f) == p.n && fclose(f) == 0, "%s", path);
    snprintf(path, sizeof path, "%s/%s.digest", KVROUTE_FIXTURES, name);
    f = fopen(path, "wb");
    cr_assert(f && fprintf(f, "%s\n", flow_pool_digest(c, "p").hex) > 0 && fclose(f) == 0, "%s",
              path);
    flow_payload_free(&p);
}

Test(server, payloads_of_earlier_versions) {
    const char *wanted = getenv("KVROUTE_MAKE_FIXTURE");
    if (wanted) make_fixture(wanted);
    struct flow_conn *c = flow_server_start(NULL)->conn;
    for (size_t i = 0; i < sizeof fixtures / sizeof *fixtures; i++) {
        char path[600];
        static unsigned char bytes[1 << 20];
        struct flow_payload p = {bytes, 0};
        struct flow_digest want = {"", ""};
        snprintf(path, sizeof path, "%s/%s.dump", KVROUTE_FIXTURES, fixtures[i]);
        FILE *f = fopen(path, "rb");
        cr_assert(f, "no %s", path);
        p.n = fread(bytes, 1, sizeof bytes, f);
        fclose(f);
        snprintf(path, sizeof path, "%s/%s.digest", KVROUTE_FIXTURES, fixtures[i]);
        f = fopen(path, "rb");
        cr_assert(f && fscanf(f, "%40s", want.hex) == 1, "no %s", path);
        fclose(f);
        cr_assert(flow_payload_restore(c, "p", &p), "%s is refused", fixtures[i]);
        cr_expect(flow_same_digest(flow_pool_digest(c, "p"), want), "%s has another state",
                  fixtures[i]);
    }
}

// The names of SELECT's fields are replies of ECHO, where there is one.
Test(server, without_echo) {
    static const char *const extra[] = {"--rename-command", "ECHO", "", NULL};
    struct flow_server *s = flow_server_start(extra), *usual = flow_server_start(NULL);
    struct flow_server *servers[] = {s, usual};
    static const char *const names[] = {"worker", "rank", "addr",   "overlap", "cached",
                                        "blocks", "cost", "repeat", "version", "expected",
                                        "ttft",   "tpot", "waited"};
    for (int i = 0; i < 2; i++) {
        struct flow_conn *c = servers[i]->conn;
        flow_call_ok(c, "KVROUTE.CREATE p");
        flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
        const struct flow_reply *r =
            flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.SELECT p r IDS 1 1");
        cr_assert(r->count == 2 * sizeof names / sizeof *names);
        for (size_t k = 0; k < r->count / 2; k++)
            cr_assert(r->items[2 * k].kind == FLOW_REPLY_BULK &&
                          strcmp(r->items[2 * k].bytes, names[k]) == 0,
                      "%s", names[k]);
    }
}
