// SPDX-License-Identifier: Apache-2.0
// DECISIONS: what it logs and within which bounds, and that the pool is the same with it and without.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "flow_harness.h"

TestSuite(decisions, .fini = flow_harness_end, .timeout = 120);

static struct flow_conn *start(const char *log) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 4");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p a RANKS 2");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p b CAPACITY 100");
    if (log) flow_call_words(c, "KVROUTE.DECISIONS ON p", log);
    return c;
}

static int64_t info(struct flow_conn *c, const char *field) {
    return flow_map_int(flow_call(c, "KVROUTE.DECISIONS INFO p"), field);
}

// A line has this in it, and the next cursor is that.
static void expect_line(const struct flow_reply *r, size_t i, const char *part) {
    cr_assert(r->kind == FLOW_REPLY_ARRAY && r->count == 2 && i < r->items[1].count);
    cr_expect(strstr(r->items[1].items[i].bytes, part), "no %s in %s", part,
              r->items[1].items[i].bytes);
}

Test(decisions, from_a_choice_to_its_end) {
    struct flow_conn *c = start("10 BLOCKS");
    flow_call(c, "KVROUTE.SELECT p r IDS 8 1 2 3 4 5 6 7 8 OSL 7");
    flow_call(c, "KVROUTE.SELECT p r IDS 8 1 2 3 4 5 6 7 8"); // a repeat
    flow_call(c, "KVROUTE.SELECT p s IDS 0 EXCLUDE 2 a b");
    flow_expect_int(c, 1, "KVROUTE.UPDATE p r PREFILLED OUTPUT 12");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p r nosuch");
    const struct flow_reply *r = flow_call(c, "KVROUTE.DECISIONS GET p");
    cr_assert(r->count == 2 && r->items[0].integer == 4 && r->items[1].count == 3);
    expect_line(r, 0, "{\"decision\":1,\"serial\":1,\"event\":\"select\"");
    expect_line(r, 0, "\"result\":\"OK\",\"by\":\"name\"");
    expect_line(r, 0, "\"isl\":8,\"osl\":7,\"blocks\":2,\"block_size\":4,\"policy\":\"delay\"");
    expect_line(r, 0, "{\"worker\":\"b\",\"rank\":0,\"reason\":\"\"");
    expect_line(r, 0, "\"capacity\":100");
    expect_line(r, 1, "\"result\":\"NOWORKER\",\"by\":\"eligible\"");
    expect_line(r, 1, "\"reason\":\"excluded\"");
    expect_line(r, 2, "\"event\":\"end\"");
    expect_line(r, 2, "\"output\":12,\"lapsed\":0}");
    struct flow_hex prefix = flow_prefix_of(c, 4, "IDS 8 1 2 3 4 5 6 7 8");
    expect_line(flow_call(c, "KVROUTE.DECISIONS GET p 0 COUNT 1"), 0, prefix.digits);
    r = flow_call(c, "KVROUTE.DECISIONS GET p 2 COUNT 1");
    cr_expect(r->items[0].integer == 3 && r->items[1].count == 1);
    expect_line(r, 0, "\"serial\":2,");
    r = flow_call(c, "KVROUTE.DECISIONS GET p 18446744073709551615");
    cr_expect(r->items[0].integer == 4 && r->items[1].count == 0);
    flow_expect_int(c, 3, "KVROUTE.DECISIONS CLEAR p");
    r = flow_call(c, "KVROUTE.DECISIONS GET p");
    cr_expect(r->items[0].integer == 4 && r->items[1].count == 0);
}

Test(decisions, a_lease_that_ends) {
    struct flow_conn *c = start("10");
    flow_call(c, "KVROUTE.SELECT p r IDS 0 LEASE 1");
    flow_wait_info(c, "requests", 0);
    const struct flow_reply *r = flow_call(c, "KVROUTE.DECISIONS GET p 2");
    expect_line(r, 0, "\"event\":\"end\"");
    expect_line(r, 0, "\"lapsed\":1}");
}

Test(decisions, one_that_waits) {
    struct flow_conn *c = start("10");
    flow_call_ok(c, "KVROUTE.ALTER p MAXREQUESTS 1");
    for (int i = 0; i < 4; i++)
        flow_call(c, "KVROUTE.SELECT p r%d IDS 0 WAIT 100000", i);
    flow_call(c, "KVROUTE.SELECT p x IDS 0");
    const struct flow_reply *r = flow_call(c, "KVROUTE.DECISIONS GET p 4");
    expect_line(r, 0, "\"result\":\"WAIT\",\"by\":\"room\"");
    expect_line(r, 0, "\"chosen\":-1");
    expect_line(r, 1, "\"result\":\"NOROOM\"");
}

Test(decisions, bounds_and_memory) {
    struct flow_conn *c = start("5");
    int64_t empty = flow_call_int(c, "MEMORY USAGE p");
    for (int i = 0; i < 20; i++)
        flow_call(c, "KVROUTE.SELECT p r%d IDS 0", i);
    cr_expect(info(c, "records") == 5 && info(c, "first") == 16 && info(c, "next") == 21);
    cr_expect(info(c, "dropped") == 15 && info(c, "max_records") == 5 && !info(c, "blocks"));
    cr_expect(flow_call_int(c, "MEMORY USAGE p") - empty > info(c, "bytes"));
    // Another one goes on where that ends.
    flow_call_ok(c, "KVROUTE.DECISIONS ON p 1000 BYTES 4096 BLOCKS");
    cr_expect(info(c, "records") == 0 && info(c, "next") == 21 && info(c, "blocks") == 1);
    for (int i = 0; i < 40; i++)
        flow_call(c, "KVROUTE.SELECT p s%d IDS 4 1 2 3 4", i);
    cr_expect(info(c, "bytes") <= 4096 && info(c, "records") < 40 && info(c, "dropped") > 0);
    flow_expect_int(c, 1, "KVROUTE.DECISIONS OFF p");
    flow_expect_int(c, 0, "KVROUTE.DECISIONS OFF p");
    cr_expect(info(c, "on") == 0);
    flow_expect_error(c, "ERR", "KVROUTE.DECISIONS GET p");
    flow_expect_error(c, "ERR", "KVROUTE.DECISIONS CLEAR p");
    flow_call(c, "KVROUTE.SELECT p t IDS 0");
    flow_expect_refused(c, "KVROUTE.DECISIONS ON p",
                        "0|-1|x|1000001|5 BYTES|5 BYTES 4095|5 BYTES 17179869185|5 BLOCKS BLOCKS|"
                        "5 5|1 NOSUCH");
    flow_call_ok(c, "KVROUTE.DECISIONS ON p 1000000 BYTES 17179869184");
    flow_expect_refused(c, "KVROUTE.DECISIONS GET p", "x|-1|0 COUNT|0 COUNT 0|COUNT 10001|0 0");
}

// A pool chooses, digests, saves and replicates the same with a log as without.
Test(decisions, no_part_of_the_pool) {
    struct flow_conn *c = start(NULL);
    flow_call_ok(c, "KVROUTE.CREATE q BLOCKSIZE 4");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET q a RANKS 2");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET q b CAPACITY 100");
    int64_t version = flow_pool_info(c, "p", "version");
    flow_call_ok(c, "KVROUTE.DECISIONS ON p 100 BLOCKS");
    flow_expect_version(c, "p", version);
    for (int i = 0; i < 30; i++) {
        char on[64], off[64];
        snprintf(on, sizeof on, "%s",
                 flow_map_str(flow_call(c, "KVROUTE.SELECT p r%d IDS 8 %d 1 1 1 2 2 2 2", i, i % 5),
                              "worker"));
        snprintf(off, sizeof off, "%s",
                 flow_map_str(flow_call(c, "KVROUTE.SELECT q r%d IDS 8 %d 1 1 1 2 2 2 2", i, i % 5),
                              "worker"));
        cr_expect_str_eq(on, off);
        if (i % 3) continue;
        flow_call(c, "KVROUTE.RELEASE p r%d", i);
        flow_call(c, "KVROUTE.RELEASE q r%d", i);
    }
    cr_expect_str_eq(flow_pool_digest(c, "p").hex, flow_pool_digest(c, "q").hex);
    // It goes with its key under another name, and not into a copy.
    flow_call_ok(c, "RENAME p other");
    cr_expect(flow_map_int(flow_call(c, "KVROUTE.DECISIONS INFO other"), "records") == 40);
    flow_expect_int(c, 1, "COPY other p");
    cr_expect(info(c, "on") == 0);
    flow_expect_int(c, 1, "DEL other");
    flow_expect_error(c, "NOPOOL", "KVROUTE.DECISIONS INFO other");
}

Test(decisions, neither_replicated_nor_saved) {
    struct flow_server *s = flow_server_start(flow_with_aof), *replica = flow_server_start(NULL);
    struct flow_conn *c = s->conn;
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1");
    flow_call_int(c, "KVROUTE.WORKER SET p w");
    flow_server_replica_of(replica, s);
    flow_call_ok(c, "KVROUTE.DECISIONS ON p 100");
    flow_call(c, "KVROUTE.SELECT p r IDS 2 1 2");
    flow_expect_equal(s, replica, "p");
    cr_expect(flow_map_int(flow_call(replica->conn, "KVROUTE.DECISIONS INFO p"), "on") == 0);
    flow_expect_error(replica->conn, "READONLY", "KVROUTE.DECISIONS ON p 5");
    int64_t size = flow_server_info(c, "persistence", "aof_current_size");
    flow_call_ok(c, "KVROUTE.DECISIONS ON p 5");
    flow_call_int(c, "KVROUTE.DECISIONS CLEAR p");
    flow_call_int(c, "KVROUTE.DECISIONS OFF p");
    cr_expect(flow_server_info(c, "persistence", "aof_current_size") == size);
    flow_call_ok(c, "KVROUTE.DECISIONS ON p 5");
    flow_server_kill(s, SIGKILL);
    flow_server_restart(s);
    cr_expect(flow_map_int(flow_call(s->conn, "KVROUTE.DECISIONS INFO p"), "on") == 0);
    cr_expect(flow_pool_info(s->conn, "p", "requests") == 1);
}

// A reply ends in time, however long the log is, and what is asked for next is the rest.
Test(decisions, a_long_log_in_parts) {
    struct flow_conn *c = start("5000");
    for (int w = 0; w < 60; w++)
        flow_expect_int(c, 1, "KVROUTE.WORKER SET p w%d", w);
    for (int i = 0; i < 300; i++)
        flow_call(c, "KVROUTE.SELECT p r%d IDS 0", i);
    int64_t cursor = 0, n = 0, parts = 0;
    for (size_t more = 1; more; parts++) {
        const struct flow_reply *r =
            flow_call(c, "KVROUTE.DECISIONS GET p %lld COUNT 10000", (long long)cursor);
        more = r->items[1].count;
        cr_expect(r->items[0].integer == n + 1 + (int64_t)more);
        cursor = r->items[0].integer;
        n += (int64_t)more;
    }
    cr_expect(n == 300 && parts > 3);
}
