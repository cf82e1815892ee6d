// SPDX-License-Identifier: Apache-2.0
// Who may do what, and what still works when memory is out.
#include <criterion/criterion.h>
#include <string.h>

#include "flow_traffic.h"

TestSuite(acl, .fini = flow_harness_end, .timeout = 120);
TestSuite(memory, .fini = flow_harness_end, .timeout = 120);

static const char *const reads[] = {
    "KVROUTE.INFO p",           "KVROUTE.DIGEST p",       "KVROUTE.SCORE p IDS 1 1",
    "KVROUTE.TREE p",           "KVROUTE.WORKER GET p w", "KVROUTE.WORKER LIST p",
    "KVROUTE.REQUEST GET p r",  "KVROUTE.REQUEST LIST p", "KVROUTE.QUEUE p",
    "KVROUTE.CLASS LIST p",     "KVROUTE.FLOW LIST p",    "KVROUTE.EXPLAIN p IDS 1 1",
    "KVROUTE.DECISIONS INFO p",
};
static const char *const writes[] = {
    "KVROUTE.ALTER p LEASE 5000", "KVROUTE.WORKER SET p w",      "KVROUTE.EVENT p w 0 1 1 CLEARED",
    "KVROUTE.SELECT p r IDS 1 1", "KVROUTE.UPDATE p r OUTPUT 1", "KVROUTE.CLAIM p q w 0 IDS 0",
    "KVROUTE.RELEASE p q",        "KVROUTE.WORKER DEL p v",      "KVROUTE.CREATE p2",
    "KVROUTE.REPORT p w FAILED",  "KVROUTE.CLASS SET p c",       "KVROUTE.CLASS DEL p c",
    "KVROUTE.FLOW SET p f",       "KVROUTE.FLOW DEL p f",        "KVROUTE.DECISIONS ON p 5",
    "KVROUTE.DECISIONS CLEAR p",  "KVROUTE.DECISIONS OFF p",
};
enum {
    FLOW_ACL_READS = sizeof reads / sizeof *reads,
    FLOW_ACL_WRITES = sizeof writes / sizeof *writes
};

static void expect_allowed(struct flow_conn *c, const char *command, bool allowed) {
    const struct flow_reply *r = flow_call(c, command);
    cr_expect(flow_is_error(r, "NOPERM") != allowed, "%s: %s", command,
              r->bytes ? r->bytes : "allowed");
}

Test(acl, key_permissions) {
    struct flow_server *s = flow_server_start(NULL);
    struct flow_conn *admin = s->conn;
    flow_call_ok(admin, "KVROUTE.CREATE p BLOCKSIZE 1");
    flow_call_int(admin, "KVROUTE.WORKER SET p w");
    flow_call_ok(admin, "ACL SETUSER reader on nopass +@all %%R~p*");
    flow_call_ok(admin, "ACL SETUSER writer on nopass +@all %%RW~p*");
    flow_call_ok(admin, "ACL SETUSER other on nopass +@all ~other*");
    flow_call_ok(admin, "ACL SETUSER scorer on nopass ~p* +kvroute.score +kvroute.worker|get");

    struct flow_conn *reader = flow_server_connect(s, 2);
    flow_call_ok(reader, "AUTH reader x");
    for (int i = 0; i < FLOW_ACL_READS; i++)
        expect_allowed(reader, reads[i], true);
    for (int i = 0; i < FLOW_ACL_WRITES; i++)
        expect_allowed(reader, writes[i], false);
    expect_allowed(reader, "KVROUTE.HASH 4 IDS 4 1 2 3 4", true);
    expect_allowed(reader, "KVROUTE.HELP", true);

    struct flow_conn *writer = flow_server_connect(s, 2);
    flow_call_ok(writer, "AUTH writer x");
    for (int i = 0; i < FLOW_ACL_WRITES; i++) {
        const struct flow_reply *r = flow_call(writer, writes[i]);
        cr_expect(r->kind != FLOW_REPLY_ERROR, "%s: %s", writes[i], r->bytes);
    }
    for (int i = 0; i < FLOW_ACL_READS; i++)
        expect_allowed(writer, reads[i], true);

    struct flow_conn *other = flow_server_connect(s, 2);
    flow_call_ok(other, "AUTH other x");
    for (int i = 0; i < FLOW_ACL_WRITES; i++)
        expect_allowed(other, writes[i], false);
    for (int i = 0; i < FLOW_ACL_READS; i++)
        expect_allowed(other, reads[i], false);

    struct flow_conn *scorer = flow_server_connect(s, 2);
    flow_call_ok(scorer, "AUTH scorer x");
    expect_allowed(scorer, "KVROUTE.SCORE p IDS 0", true);
    expect_allowed(scorer, "KVROUTE.WORKER GET p w", true);
    expect_allowed(scorer, "KVROUTE.WORKER DEL p w", false);
    expect_allowed(scorer, "KVROUTE.WORKER LIST p", false);
    expect_allowed(scorer, "KVROUTE.SELECT p r IDS 0", false);
    // A script has its user's rights and no more.
    const struct flow_reply *r = flow_call(
        reader, "EVAL %s 1 p", "return redis.call('KVROUTE.SELECT', KEYS[1], 'x', 'IDS', 0)");
    cr_expect(r->kind == FLOW_REPLY_ERROR);
    flow_expect_null(admin, "KVROUTE.REQUEST GET p x");
}

Test(memory, when_it_is_out_what_frees_still_works) {
    struct flow_server *s = flow_server_start(NULL);
    struct flow_conn *c = s->conn;
    struct flow_traffic t;
    flow_traffic_start(&t, c, "p", "LEASE 0");
    flow_traffic_run(&t, c, 500);
    for (int i = 0; i < 50; i++)
        flow_call(c, "KVROUTE.SELECT p o%d IDS 0 LEASE 200", i);
    // The traffic may have left nobody, or nobody who takes requests.
    flow_call_int(c, "KVROUTE.WORKER SET p worker-1 STATE ready ROLE both");
    flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.SELECT p keep IDS 0 AMONG 1 worker-1");
    flow_call_ok(c, "CONFIG SET maxmemory-policy noeviction");
    flow_call_ok(c, "CONFIG SET maxmemory 1");
    static const char *const refused[] = {
        "KVROUTE.SELECT p new IDS 0",
        "KVROUTE.CLAIM p new worker-1 0 IDS 0",
        "KVROUTE.EVENT p worker-1 0 99999 1 STORED - IDS 4 1 2 3 4",
        "KVROUTE.WORKER SET p new",
        "KVROUTE.CREATE new",
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        cr_expect(flow_is_error(flow_call(c, refused[i]), "OOM"), "%s", refused[i]);
    // What only reads, and what gives memory back.
    flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.SCORE p IDS 4 1 2 3 4");
    flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.WORKER LIST p");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p keep");
    cr_expect(flow_call(c, "KVROUTE.UPDATE p o1 PREFILLED")->kind == FLOW_REPLY_INTEGER);
    flow_expect_int(c, 1, "KVROUTE.WORKER DEL p worker-1");
    for (int i = 0; i < FLOW_TRAFFIC_WORKERS; i++)
        flow_call_int(c, "KVROUTE.WORKER DEL p worker-%d", i);
    flow_wait_info(c, "requests", 0);
    cr_expect(flow_pool_info(c, "p", "holdings") == 0);
    flow_expect_int(c, 1, "UNLINK p");
    flow_call_ok(c, "CONFIG SET maxmemory 0");
    flow_call_ok(c, "KVROUTE.CREATE p");
}

// At maxmemory what grows is refused; what can't, or turns out not to, is answered as ever.
Test(memory, when_it_is_out_only_growth_is_refused) {
    struct flow_server *s = flow_server_start(NULL), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, s);
    struct flow_conn *c = s->conn;
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w RANKS 2 ADDR here");
    flow_expect_int(c, 1, "KVROUTE.EVENT p w 0 5 1 STORED - IDS 4 1 2 3 4");
    flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.SELECT p r IDS 2 1 2");
    flow_call_ok(c, "CONFIG SET maxmemory-policy noeviction");
    flow_call_ok(c, "CONFIG SET maxmemory 1");
    static const char *const grow[] = {
        "KVROUTE.SELECT p new IDS 0",
        "KVROUTE.SELECT p new IDS 1 1 SESSION s",
        "KVROUTE.CLAIM p new w 0 IDS 0",
        "KVROUTE.EVENT p w 0 5 2 STORED - IDS 1 9",
        "KVROUTE.EVENT p w 0 5 2 CLEARED STORED - IDS 1 9",
        "KVROUTE.EVENT p w 0 6 1 STORED - IDS 1 9",
        "KVROUTE.WORKER SET p new",
        "KVROUTE.WORKER SET p w RANKS 3",
        "KVROUTE.CREATE new",
    };
    int64_t version = flow_pool_info(c, "p", "version");
    for (size_t i = 0; i < sizeof grow / sizeof *grow; i++)
        cr_expect(flow_is_error(flow_call(c, grow[i]), "OOM"), "%s", grow[i]);
    flow_expect_version(c, "p", version);
    cr_expect(flow_server_info(c, "kvroute", "kvroute_errors_oom") >= 6);
    // A repeat, and what is refused for another reason anyway.
    const struct flow_reply *r = flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.SELECT p r IDS 0");
    cr_expect(flow_map_int(r, "repeat") == 1);
    flow_expect_int(c, 1, "KVROUTE.EVENT p w 0 5 1 STORED - IDS 1 9");
    flow_expect_error(c, "GAP", "KVROUTE.EVENT p w 0 5 3 STORED - IDS 1 9");
    flow_expect_error(c, "STALE", "KVROUTE.EVENT p w 0 4 1 STORED - IDS 1 9");
    flow_expect_error(c, "NOWORKER", "KVROUTE.EVENT p x 0 4 1 STORED - IDS 1 9");
    flow_expect_error(c, "ERR", "KVROUTE.SELECT p new IDS");
    flow_expect_version(c, "p", version);
    // Heartbeats, events that free, and the end of things.
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p w");
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p w RANKS 2 ADDR there STATE ready CAPACITY 100");
    flow_expect_int(c, 2, "KVROUTE.EVENT p w 0 5 2 REMOVED HEX %s",
                    flow_prefix_of(c, 1, "IDS 4 1 2 3 4").digits);
    cr_expect(flow_pool_info(c, "p", "holdings") == 3);
    flow_expect_int(c, 3, "KVROUTE.EVENT p w 0 5 3 CLEARED");
    flow_expect_int(c, 1, "KVROUTE.EVENT p w 1 1 1 CLEARED"); // a new epoch of one without blocks
    flow_call_ok(c, "KVROUTE.ALTER p FAILURES 1");
    flow_call_kind(c, FLOW_REPLY_STATUS, "KVROUTE.REPORT p w FAILED");
    flow_expect_int(c, 1, "KVROUTE.UPDATE p r PREFILLED OUTPUT 3 LEASE 1000000");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p r");
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p w RANKS 1");
    flow_expect_int(c, 1, "KVROUTE.WORKER DEL p w");
    // Effects aren't refused, wherever a replica stands.
    flow_call_ok(c, "CONFIG SET maxmemory 0");
    flow_call_ok(replica->conn, "CONFIG SET maxmemory-policy noeviction");
    flow_call_ok(replica->conn, "CONFIG SET maxmemory 1");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p v");
    flow_expect_int(c, 1, "KVROUTE.EVENT p v 0 1 1 STORED - IDS 3 1 2 3");
    flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.SELECT p z IDS 2 1 2");
    flow_expect_equal(s, replica, "p");
}

Test(memory, is_told_and_comes_back) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1");
    int64_t empty = flow_call_int(c, "MEMORY USAGE p");
    int64_t bytes = flow_pool_info(c, "p", "memory_bytes");
    cr_expect(empty >= bytes && bytes > 0);
    flow_call_int(c, "KVROUTE.WORKER SET p w");
    enum { FLOW_ACL_N = 100000 };
    static uint64_t hashes[FLOW_ACL_N];
    struct flow_rng rng = {1};
    for (int i = 0; i < FLOW_ACL_N; i++)
        hashes[i] = flow_rng_next(&rng);
    flow_expect_int(c, 1, "KVROUTE.EVENT p w 0 1 1 STORED - HASHES %b", hashes, sizeof hashes);
    flow_call(c, "KVROUTE.SELECT p r HASHES %b", hashes, sizeof hashes);
    int64_t full = flow_call_int(c, "MEMORY USAGE p");
    cr_expect(full > empty + 8 * FLOW_ACL_N, "%ld", (long)full);
    cr_expect(full < empty + 100 * FLOW_ACL_N, "%ld", (long)full);
    cr_expect(flow_server_info(c, "kvroute", "kvroute_memory_bytes") >= full / 2);
    flow_expect_int(c, 1, "KVROUTE.WORKER DEL p w");
    flow_wait_info(c, "memory_bytes", 399999);
    flow_expect_int(c, 1, "DEL p");
    cr_expect(flow_server_info(c, "kvroute", "kvroute_memory_bytes") == 0);
}
