// SPDX-License-Identifier: Apache-2.0
// The rule of a pool for which nobody named one: version 1 took `linear`, and since then it is `delay`. What
// a server has written must mean the same to whoever reads it later.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "flow_harness.h"

TestSuite(default_policy, .fini = flow_harness_end, .timeout = 180);

static const char *const with_aof[] = {
    "--appendonly", "yes", "--appendfsync", "always", "--aof-use-rdb-preamble", "no", NULL};

static void expect_policy(struct flow_conn *c, const char *key, const char *policy) {
    const struct flow_reply *r = flow_call(c, "KVROUTE.INFO %s", key);
    cr_assert_str_eq(flow_map_str(r, "policy"), policy, "%s", key);
}

static void aof_path(const struct flow_server *s, char out[400]) {
    snprintf(out, 400, "%s/appendonlydir/appendonly.aof.1.incr.aof", s->redis.dir);
}

// As version 1 wrote it.
Test(default_policy, a_file_of_version_1_means_linear) {
    static const char written[] =
        "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n"
        "*4\r\n$14\r\nKVROUTE.CREATE\r\n$1\r\np\r\n$9\r\nBLOCKSIZE\r\n$1\r\n4\r\n"
        "*4\r\n$14\r\nKVROUTE.CREATE\r\n$1\r\nq\r\n$6\r\npolicy\r\n$5\r\ndelay\r\n"
        "*6\r\n$14\r\nKVROUTE.WORKER\r\n$3\r\nSET\r\n$1\r\np\r\n$1\r\nw\r\n$4\r\nSEEN\r\n$"
        "4\r\n1000\r\n";
    struct flow_server *s = flow_server_start(with_aof);
    flow_server_kill(s, SIGTERM);
    char path[400];
    aof_path(s, path);
    FILE *f = fopen(path, "wb");
    cr_assert(f && fwrite(written, 1, sizeof written - 1, f) == sizeof written - 1 && !fclose(f));
    flow_server_restart(s);
    expect_policy(s->conn, "p", "linear");
    expect_policy(s->conn, "q", "delay");
    // And whoever has read it tells the same.
    struct flow_digest d = flow_pool_digest(s->conn, "p");
    struct flow_server *replica = flow_server_start(with_aof);
    flow_server_replica_of(replica, s);
    flow_expect_equal(s, replica, "p");
    expect_policy(replica->conn, "p", "linear");
    flow_call_kind(s->conn, FLOW_REPLY_STATUS, "BGREWRITEAOF");
    flow_call_ok(s->conn, "DEBUG LOADAOF");
    cr_assert(flow_same_digest(d, flow_pool_digest(s->conn, "p")));
}

Test(default_policy, a_plain_create_is_told_in_full) {
    struct flow_server *primary = flow_server_start(with_aof),
                       *replica = flow_server_start(with_aof);
    flow_server_replica_of(replica, primary);
    struct flow_conn *c = primary->conn;
    flow_call_ok(c, "KVROUTE.CREATE plain");
    flow_call_ok(c, "KVROUTE.CREATE sized BLOCKSIZE 4 LEASE 7");
    flow_call_ok(c, "KVROUTE.CREATE named POLICY linear BLOCKSIZE 4");
    flow_call_ok(c, "MULTI");
    flow_call(c, "KVROUTE.CREATE multi STICK 5");
    flow_call(c, "EXEC");
    static const char *const pools[][2] = {
        {"plain", "delay"}, {"sized", "delay"}, {"named", "linear"}, {"multi", "delay"}};
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof pools / sizeof *pools; i++) {
            flow_expect_equal(primary, replica, pools[i][0]);
            expect_policy(primary->conn, pools[i][0], pools[i][1]);
            expect_policy(replica->conn, pools[i][0], pools[i][1]);
        }
        flow_call_ok(replica->conn, "REPLICAOF NO ONE"); // what it has kept itself
        flow_call_ok(replica->conn, "DEBUG LOADAOF");
        flow_call_ok(primary->conn, "DEBUG LOADAOF");
        if (!round) flow_server_replica_of(replica, primary);
    }
}
