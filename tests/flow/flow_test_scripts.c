// SPDX-License-Identifier: Apache-2.0
// Inside MULTI, WATCH and Lua the commands are what they are outside.
#include <criterion/criterion.h>
#include <string.h>

#include "flow_traffic.h"
#include "tests/support/support_home.h"

TestSuite(scripts, .fini = flow_harness_end, .timeout = 120);

static void expect_synced(struct flow_server *primary, struct flow_server *replica) {
    flow_expect_int(primary->conn, 1, "WAIT 1 %d", FLOW_PATIENCE_MS);
    cr_expect(flow_same_digest(flow_pool_digest(primary->conn, "p"),
                               flow_pool_digest(replica->conn, "p")));
    cr_expect(flow_pool_info(primary->conn, "p", "version") ==
              flow_pool_info(replica->conn, "p", "version"));
}

static struct flow_server *start(struct flow_server **replica) {
    static const char *const extra[] = {"--appendonly", "yes", "--appendfsync", "no", NULL};
    struct flow_server *s = flow_server_start(extra);
    *replica = flow_server_start(NULL);
    flow_server_replica_of(*replica, s);
    flow_call_ok(s->conn, "KVROUTE.CREATE p BLOCKSIZE 1");
    flow_call_int(s->conn, "KVROUTE.WORKER SET p w");
    flow_call_int(s->conn, "KVROUTE.EVENT p w 0 1 1 STORED - IDS 2 1 2");
    return s;
}

Test(scripts, transactions) {
    struct flow_server *replica, *s = start(&replica);
    struct flow_conn *c = s->conn, *other = flow_server_connect(s, 2);
    flow_call_ok(c, "MULTI");
    static const char *const commands[] = {
        "KVROUTE.SELECT p r1 IDS 3 1 2 3",
        "KVROUTE.SELECT p r1 IDS 3 1 2 3",
        "KVROUTE.SCORE p IDS 1 1",
        "KVROUTE.UPDATE p r1 PREFILLED",
        "KVROUTE.WORKER SET p v",
        "KVROUTE.CLAIM p r2 nosuch 0 IDS 0",
        "KVROUTE.EVENT p v 0 1 1 CLEARED",
        "KVROUTE.CREATE q",
        "KVROUTE.RELEASE p r1",
        "KVROUTE.WORKER GET p v",
        "KVROUTE.SELECT p r5 IDS 2 1 2 SESSION s",
        "KVROUTE.SESSION GET p s",
        "KVROUTE.SESSION DEL p s",
        "KVROUTE.RELEASE p AT LAPSED r5",
    };
    enum { FLOW_SCRIPTS_N = sizeof commands / sizeof *commands };
    for (int i = 0; i < FLOW_SCRIPTS_N; i++) {
        cr_assert(flow_call(c, commands[i])->kind == FLOW_REPLY_STATUS, "%s", commands[i]);
    }
    const struct flow_reply *r = flow_call_kind(c, FLOW_REPLY_ARRAY, "EXEC");
    cr_assert(r->count == FLOW_SCRIPTS_N);
    cr_expect(flow_map_int(&r->items[0], "repeat") == 0);
    cr_expect(flow_map_int(&r->items[1], "repeat") == 1);
    cr_expect(r->items[2].count == 1);
    cr_expect(flow_is_error(&r->items[5], "NOWORKER"));
    cr_expect(r->items[8].integer == 1);
    cr_expect(flow_map_int(&r->items[11], "requests") == 1);
    cr_expect(r->items[12].integer == 1 && r->items[13].integer == 1);
    expect_synced(s, replica);

    // WATCH sees changes and nothing else.
    flow_call(c, "KVROUTE.SELECT p live IDS 0");
    flow_call_ok(c, "WATCH p");
    flow_call(other, "KVROUTE.SELECT p live IDS 0");
    flow_call(other, "KVROUTE.SCORE p IDS 0");
    flow_call(other, "KVROUTE.EXPLAIN p IDS 0");
    flow_call(other, "KVROUTE.RELEASE p nosuch");
    flow_call(other, "KVROUTE.EVENT p w 0 1 1 CLEARED");
    flow_call(other, "KVROUTE.EVENT p w 0 1 9 CLEARED");
    flow_call(other, "KVROUTE.INFO p");
    flow_call(other, "KVROUTE.SESSION DEL p nosuch");
    flow_call(other, "KVROUTE.SESSION LIST p");
    flow_call(other, "KVROUTE.DIGEST p LEARNT");
    flow_call(other, "KVROUTE.QUEUE p");
    flow_call(other, "KVROUTE.CLASS DEL p nosuch");
    flow_call(other, "KVROUTE.FLOW LIST p");
    flow_call_ok(c, "MULTI");
    flow_call(c, "KVROUTE.SELECT p more IDS 0");
    cr_expect(flow_call(c, "EXEC")->kind == FLOW_REPLY_ARRAY);
    static const char *const changes[] = {
        "KVROUTE.SELECT p new IDS 0",
        "KVROUTE.UPDATE p new OUTPUT 1",
        "KVROUTE.RELEASE p new",
        "KVROUTE.WORKER SET p w",
        "KVROUTE.EVENT p w 0 1 2 CLEARED",
        "KVROUTE.CLAIM p new w 0 IDS 0",
        "KVROUTE.ALTER p LEASE 5000",
        "KVROUTE.CLAIM p of-s w 0 IDS 0 SESSION s",
        "KVROUTE.SESSION DEL p s",
        "KVROUTE.WORKER DEL p v",
        "KVROUTE.CLASS SET p k",
        "KVROUTE.CLASS DEL p k",
        "KVROUTE.FLOW SET p f",
        "KVROUTE.FLOW DEL p f",
        "KVROUTE.SELECT p waits IDS 0 WAIT 1000000 AMONG 0",
        "KVROUTE.RELEASE p waits",
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        flow_call_ok(c, "WATCH p");
        cr_assert(flow_call(other, changes[i])->kind != FLOW_REPLY_ERROR, "%s", changes[i]);
        flow_call_ok(c, "MULTI");
        flow_call(c, "PING");
        cr_expect(flow_call(c, "EXEC")->kind == FLOW_REPLY_NULL, "%s", changes[i]);
    }
    expect_synced(s, replica);
    struct flow_digest d = flow_pool_digest(c, "p");
    flow_call_ok(c, "DEBUG LOADAOF");
    cr_expect(flow_same_digest(d, flow_pool_digest(c, "p")));
}

Test(scripts, lua) {
    struct flow_server *replica, *s = start(&replica);
    struct flow_conn *c = s->conn;
    const struct flow_reply *r =
        flow_call(c, "EVAL %s 1 p",
                  "local r = redis.call('KVROUTE.SELECT', KEYS[1], 'r', 'IDS', 3, 1, 2, 3)\n"
                  "redis.call('KVROUTE.UPDATE', KEYS[1], 'r', 'PREFILLED')\n"
                  "local again = redis.call('KVROUTE.SELECT', KEYS[1], 'r', 'IDS', 0)\n"
                  "local e = redis.pcall('KVROUTE.CLAIM', KEYS[1], 'x', 'nosuch', 0, 'IDS', 0)\n"
                  "return {r[2], r[8], again[16], e.err}");
    cr_assert(r->kind == FLOW_REPLY_ARRAY && r->count == 4, "%s", r->bytes ? r->bytes : "");
    cr_expect_str_eq(r->items[0].bytes, "w");
    cr_expect(r->items[1].integer == 2);
    cr_expect(r->items[2].integer == 1);
    cr_expect(strncmp(r->items[3].bytes, "NOWORKER", 8) == 0);
    expect_synced(s, replica);
    r = flow_call(c, "EVAL %s 1 p",
                  "redis.setresp(3)\n"
                  "local r = redis.call('KVROUTE.SELECT', KEYS[1], 'r3', 'IDS', 2, 1, 2)\n"
                  "local s = redis.call('KVROUTE.SCORE', KEYS[1], 'IDS', 2, 1, 2)\n"
                  "return {r.map.worker, r.map.overlap, tostring(r.map.cost.double), #s}");
    cr_assert(r->kind == FLOW_REPLY_ARRAY && r->count == 4, "%s", r->bytes ? r->bytes : "");
    cr_expect_str_eq(r->items[0].bytes, "w");
    cr_expect(r->items[3].integer == 1);
    // A script that only reads may read.
    cr_expect(
        flow_call(c, "EVAL_RO %s 1 p", "return #redis.call('KVROUTE.SCORE', KEYS[1], 'IDS', 0)")
            ->integer == 1);
    cr_expect(flow_call(c, "EVAL_RO %s 1 p",
                        "return redis.call('KVROUTE.SELECT', KEYS[1], 'y', 'IDS', 0)")
                  ->kind == FLOW_REPLY_ERROR);
    cr_expect(flow_call(replica->conn, "EVAL_RO %s 1 p",
                        "return #redis.call('KVROUTE.WORKER', 'LIST', KEYS[1])")
                  ->integer == 1);
    // Many in one script: one transaction on the replica.
    flow_call(c, "EVAL %s 1 p",
              "for i = 1, 500 do\n"
              "  redis.call('KVROUTE.SELECT', KEYS[1], 'm' .. i, 'IDS', 2, i, i, 'LEASE', 100000)\n"
              "  if i % 3 == 0 then redis.call('KVROUTE.RELEASE', KEYS[1], 'm' .. (i - 1)) end\n"
              "end");
    expect_synced(s, replica);
    // Scripts that fail half way keep what they did.
    r = flow_call(c, "EVAL %s 1 p",
                  "redis.call('KVROUTE.CLAIM', KEYS[1], 'half', 'w', 0, 'IDS', 0)\n"
                  "redis.call('KVROUTE.EVENT', KEYS[1], 'w', 0, 0, 0, 'CLEARED')");
    cr_expect(r->kind == FLOW_REPLY_ERROR);
    flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.REQUEST GET p half");
    expect_synced(s, replica);
    struct flow_digest d = flow_pool_digest(c, "p");
    flow_call_ok(c, "DEBUG LOADAOF");
    cr_expect(flow_same_digest(d, flow_pool_digest(c, "p")));
}

// Leases that end in the middle of transactions and scripts end once.
Test(scripts, leases_run_out_inside) {
    struct flow_server *replica, *s = start(&replica);
    struct flow_conn *c = s->conn;
    for (int round = 0; round < 30; round++) {
        flow_call_ok(c, "MULTI");
        for (int i = 0; i < 20; i++)
            flow_post(c, "KVROUTE.SELECT p t%d-%d IDS 1 %d LEASE 1", round, i, i);
        for (int i = 0; i < 20; i++)
            flow_collect(c);
        cr_assert(flow_call(c, "EXEC")->kind == FLOW_REPLY_ARRAY);
        support_sleep_ms(2);
        flow_call_ok(c, "MULTI");
        flow_call(c, "KVROUTE.RELEASE p t%d-1 t%d-2", round, round);
        flow_call(c, "KVROUTE.SELECT p t%d-3 IDS 0 LEASE 1", round);
        flow_call(c, "KVROUTE.EVENT p w 0 0 0 CLEARED");
        cr_assert(flow_call(c, "EXEC")->count == 3);
        flow_call(c, "EVAL %s 1 p",
                  "redis.call('KVROUTE.SELECT', KEYS[1], 'lua', 'IDS', 0, 'LEASE', 1)\n"
                  "local n = 0\n"
                  "for i = 1, 20000 do n = n + i end\n"
                  "return redis.call('KVROUTE.RELEASE', KEYS[1], 'lua')");
    }
    expect_synced(s, replica);
    flow_wait_info(c, "requests", 0);
    expect_synced(s, replica);
    struct flow_digest d = flow_pool_digest(c, "p");
    int64_t version = flow_pool_info(c, "p", "version");
    flow_call_ok(c, "DEBUG LOADAOF");
    cr_expect(flow_same_digest(d, flow_pool_digest(c, "p")));
    flow_expect_version(c, "p", version);
}
