// SPDX-License-Identifier: Apache-2.0
// REPORT: circuits open, are tried again, and are the same on every server.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow_harness.h"
#include "tests/support/support_home.h"

TestSuite(report, .fini = flow_harness_end, .timeout = 120);

static void expect_circuit(struct flow_conn *c, const char *want, int64_t failures) {
    const struct flow_reply *w = flow_call(c, "KVROUTE.WORKER GET p w");
    cr_expect_str_eq(flow_map_str(w, "circuit"), want);
    cr_expect(flow_map_int(w, "failures") == failures);
}

static void report(struct flow_conn *c, const char *worker, const char *outcome, const char *want) {
    const struct flow_reply *r =
        flow_call_kind(c, FLOW_REPLY_STATUS, "KVROUTE.REPORT p %s %s", worker, outcome);
    cr_expect_str_eq(r->bytes, want);
}

// Requests that w could get: it has their blocks and nothing else to do.
static bool w_is_chosen(struct flow_conn *c, const char *request) {
    const struct flow_reply *r = flow_call(c, "KVROUTE.SELECT p %s IDS 4 1 2 3 4", request);
    bool chosen = strcmp(flow_map_str(r, "worker"), "w") == 0;
    flow_call_int(c, "KVROUTE.RELEASE p %s", request);
    return chosen;
}

static struct flow_conn *start_two(const char *options) {
    struct flow_conn *c = flow_start_pool(options);
    flow_call_int(c, "KVROUTE.WORKER SET p w");
    flow_call_int(c, "KVROUTE.WORKER SET p x");
    flow_call_int(c, "KVROUTE.EVENT p w 0 1 1 STORED - IDS 4 1 2 3 4");
    return c;
}

static bool is_half_open(void *ctx) {
    return strcmp(flow_map_str(flow_call(ctx, "KVROUTE.WORKER GET p w"), "circuit"), "half-open") ==
           0;
}

Test(report, failures_in_a_row_keep_a_worker_out) {
    struct flow_conn *c = start_two("BLOCKSIZE 1 FAILURES 3 OPENTIME 600000");
    expect_circuit(c, "closed", 0);
    cr_expect(w_is_chosen(c, "a"));
    report(c, "w", "FAILED", "closed");
    report(c, "w", "FAILED", "closed");
    report(c, "w", "ok", "closed");
    expect_circuit(c, "closed", 0);
    report(c, "w", "FAILED", "closed");
    report(c, "w", "FAILED", "closed");
    cr_expect(w_is_chosen(c, "b"));
    report(c, "w", "FAILED", "open");
    expect_circuit(c, "open", 3);
    cr_expect(!w_is_chosen(c, "c"));
    cr_expect(flow_row_of(flow_call(c, "KVROUTE.SCORE p IDS 1 1"), "w", 0) == NULL);
    cr_expect(flow_pool_info(c, "p", "open_circuits") == 1);
    cr_expect(flow_pool_info(c, "p", "eligible") == 1);

    report(c, "w", "OK", "closed");
    cr_expect(w_is_chosen(c, "d"));
    cr_expect(flow_pool_info(c, "p", "open_circuits") == 0);
}

Test(report, circuits_that_would_leave_nobody_count_for_nothing) {
    struct flow_conn *c = start_two("BLOCKSIZE 1 FAILURES 1 OPENTIME 600000");
    report(c, "w", "FAILED", "open");
    report(c, "x", "FAILED", "open");
    cr_expect(w_is_chosen(c, "a"));
    cr_expect(flow_call(c, "KVROUTE.SCORE p IDS 1 1")->count == 2);
    // Among some: what counts is who could be chosen.
    report(c, "x", "OK", "closed");
    cr_expect(!w_is_chosen(c, "b"));
    const struct flow_reply *r = flow_call(c, "KVROUTE.SELECT p c IDS 1 1 AMONG 1 w");
    cr_expect_str_eq(flow_map_str(r, "worker"), "w");
    r = flow_call(c, "KVROUTE.SELECT p d IDS 1 1 EXCLUDE 1 x");
    cr_expect_str_eq(flow_map_str(r, "worker"), "w");
    r = flow_call(c, "KVROUTE.SELECT p e IDS 1 1 TEMPERATURE 1");
    cr_expect_str_eq(flow_map_str(r, "worker"), "x");
}

Test(report, one_probe_at_a_time) {
    struct flow_conn *c = start_two("BLOCKSIZE 1 FAILURES 1 OPENTIME 300");
    report(c, "w", "FAILED", "open");
    cr_expect(!w_is_chosen(c, "a"));
    flow_wait_until(is_half_open, c, "the time is over");
    flow_call_ok(c, "KVROUTE.ALTER p OPENTIME 600000");
    cr_expect(w_is_chosen(c, "b"));
    expect_circuit(c, "open", 1);
    cr_expect(!w_is_chosen(c, "c"), "a second probe");
    report(c, "w", "FAILED", "open");
    report(c, "w", "OK", "closed");
    cr_expect(w_is_chosen(c, "d"));

    // A claim is a booking, too.
    flow_call_ok(c, "KVROUTE.ALTER p OPENTIME 1");
    report(c, "w", "FAILED", "open");
    flow_wait_until(is_half_open, c, "the time is over");
    flow_call_ok(c, "KVROUTE.ALTER p OPENTIME 600000");
    flow_expect_int(c, 1, "KVROUTE.CLAIM p e w 0 IDS 0");
    cr_expect(!w_is_chosen(c, "f"));
}

Test(report, switched_off) {
    struct flow_conn *c = start_two("BLOCKSIZE 1 FAILURES 1 OPENTIME 600000");
    report(c, "w", "FAILED", "open");
    flow_call_ok(c, "KVROUTE.ALTER p FAILURES 0");
    expect_circuit(c, "closed", 0);
    int64_t version = flow_pool_info(c, "p", "version");
    for (int i = 0; i < 10; i++)
        report(c, "w", "FAILED", "closed");
    flow_expect_version(c, "p", version);
    cr_expect(w_is_chosen(c, "a"));
    // A worker that is registered anew is a stranger.
    flow_call_ok(c, "KVROUTE.ALTER p FAILURES 1");
    report(c, "w", "FAILED", "open");
    flow_call_int(c, "KVROUTE.WORKER SET p w");
    expect_circuit(c, "open", 1);
    flow_call_int(c, "KVROUTE.WORKER DEL p w");
    flow_call_int(c, "KVROUTE.WORKER SET p w");
    expect_circuit(c, "closed", 0);
}

Test(report, refusals) {
    struct flow_conn *c = start_two("BLOCKSIZE 1");
    struct flow_digest before = flow_pool_digest(c, "p");
    int64_t version = flow_pool_info(c, "p", "version");
    flow_expect_error(c, "NOPOOL", "KVROUTE.REPORT q w OK");
    flow_expect_error(c, "NOWORKER", "KVROUTE.REPORT p nosuch FAILED");
    flow_expect_error(c, "ERR", "KVROUTE.REPORT p w MAYBE");
    flow_expect_error(c, "ERR", "KVROUTE.REPORT p w OK OK");
    flow_expect_error(c, "ERR", "KVROUTE.REPORT p w FAILED AT 5");
    flow_expect_error(c, "ERR", "KVROUTE.ALTER p FAILURES -1");
    flow_expect_error(c, "ERR", "KVROUTE.ALTER p FAILURES 1000001");
    flow_expect_error(c, "ERR", "KVROUTE.ALTER p OPENTIME 0");
    report(c, "w", "OK", "closed"); // changes nothing, so it counts as none
    flow_expect_version(c, "p", version);
    cr_expect(flow_same_digest(before, flow_pool_digest(c, "p")));
}

Test(report, replicated_and_saved) {
    static const char *const with_aof[] = {"--appendonly", "yes", NULL};
    struct flow_server *primary = flow_server_start(with_aof), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, primary);
    struct flow_conn *c = primary->conn;
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1 FAILURES 1 OPENTIME 300");
    flow_call_int(c, "KVROUTE.WORKER SET p w");
    flow_call_int(c, "KVROUTE.WORKER SET p x");
    flow_call_int(c, "KVROUTE.EVENT p w 0 1 1 STORED - IDS 4 1 2 3 4");
    report(c, "w", "FAILED", "open");
    flow_wait_until(is_half_open, c, "the time is over");
    flow_call_ok(c, "KVROUTE.ALTER p OPENTIME 600000");
    cr_expect(w_is_chosen(c, "probe"));
    flow_expect_equal(primary, replica, "p");
    expect_circuit(replica->conn, "open", 1); // the probe is known there, too

    struct flow_digest before = flow_pool_digest(c, "p");
    flow_server_kill(primary, SIGKILL);
    flow_server_restart(primary);
    c = primary->conn;
    cr_expect(flow_same_digest(before, flow_pool_digest(c, "p")));
    expect_circuit(c, "open", 1);
    flow_rewrite_aof(c);
    flow_server_kill(primary, SIGKILL);
    flow_server_restart(primary);
    c = primary->conn;
    cr_expect(flow_same_digest(before, flow_pool_digest(c, "p")));
    expect_circuit(c, "open", 1);
    cr_expect(!w_is_chosen(c, "a"));
}
