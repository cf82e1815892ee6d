// SPDX-License-Identifier: Apache-2.0
// REPORT: circuits open, are tried again, and are the same on every server.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

TestSuite(report, .fini = harness_end, .timeout = 120);

static void expect_circuit(struct conn *c, const char *want, int64_t failures) {
    const struct reply *w = call(c, "KVROUTE.WORKER GET p w");
    cr_expect_str_eq(map_str(w, "circuit"), want);
    cr_expect(map_int(w, "failures") == failures);
}

static void report(struct conn *c, const char *worker, const char *outcome, const char *want) {
    const struct reply *r = call_kind(c, REPLY_STATUS, "KVROUTE.REPORT p %s %s", worker, outcome);
    cr_expect_str_eq(r->bytes, want);
}

// Requests that w could get: it has their blocks and nothing else to do.
static bool w_is_chosen(struct conn *c, const char *request) {
    const struct reply *r = call(c, "KVROUTE.SELECT p %s IDS 4 1 2 3 4", request);
    bool chosen = strcmp(map_str(r, "worker"), "w") == 0;
    call_int(c, "KVROUTE.RELEASE p %s", request);
    return chosen;
}

static struct conn *start_two(const char *options) {
    struct conn *c = start_pool(options);
    call_int(c, "KVROUTE.WORKER SET p w");
    call_int(c, "KVROUTE.WORKER SET p x");
    call_int(c, "KVROUTE.EVENT p w 0 1 1 STORED - IDS 4 1 2 3 4");
    return c;
}

static bool is_half_open(void *ctx) {
    return strcmp(map_str(call(ctx, "KVROUTE.WORKER GET p w"), "circuit"), "half-open") == 0;
}

Test(report, failures_in_a_row_keep_a_worker_out) {
    struct conn *c = start_two("BLOCKSIZE 1 FAILURES 3 OPENTIME 600000");
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
    cr_expect(row_of(call(c, "KVROUTE.SCORE p IDS 1 1"), "w", 0) == NULL);
    cr_expect(pool_info(c, "p", "open_circuits") == 1);
    cr_expect(pool_info(c, "p", "eligible") == 1);

    report(c, "w", "OK", "closed");
    cr_expect(w_is_chosen(c, "d"));
    cr_expect(pool_info(c, "p", "open_circuits") == 0);
}

Test(report, circuits_that_would_leave_nobody_count_for_nothing) {
    struct conn *c = start_two("BLOCKSIZE 1 FAILURES 1 OPENTIME 600000");
    report(c, "w", "FAILED", "open");
    report(c, "x", "FAILED", "open");
    cr_expect(w_is_chosen(c, "a"));
    cr_expect(call(c, "KVROUTE.SCORE p IDS 1 1")->count == 2);
    // Among some: what counts is who could be chosen.
    report(c, "x", "OK", "closed");
    cr_expect(!w_is_chosen(c, "b"));
    const struct reply *r = call(c, "KVROUTE.SELECT p c IDS 1 1 AMONG 1 w");
    cr_expect_str_eq(map_str(r, "worker"), "w");
    r = call(c, "KVROUTE.SELECT p d IDS 1 1 EXCLUDE 1 x");
    cr_expect_str_eq(map_str(r, "worker"), "w");
    r = call(c, "KVROUTE.SELECT p e IDS 1 1 TEMPERATURE 1");
    cr_expect_str_eq(map_str(r, "worker"), "x");
}

Test(report, one_probe_at_a_time) {
    struct conn *c = start_two("BLOCKSIZE 1 FAILURES 1 OPENTIME 300");
    report(c, "w", "FAILED", "open");
    cr_expect(!w_is_chosen(c, "a"));
    wait_until(is_half_open, c, "the time is over");
    call_ok(c, "KVROUTE.ALTER p OPENTIME 600000");
    cr_expect(w_is_chosen(c, "b"));
    expect_circuit(c, "open", 1);
    cr_expect(!w_is_chosen(c, "c"), "a second probe");
    report(c, "w", "FAILED", "open");
    report(c, "w", "OK", "closed");
    cr_expect(w_is_chosen(c, "d"));

    // A claim is a booking, too.
    call_ok(c, "KVROUTE.ALTER p OPENTIME 1");
    report(c, "w", "FAILED", "open");
    wait_until(is_half_open, c, "the time is over");
    call_ok(c, "KVROUTE.ALTER p OPENTIME 600000");
    expect_int(c, 1, "KVROUTE.CLAIM p e w 0 IDS 0");
    cr_expect(!w_is_chosen(c, "f"));
}

Test(report, switched_off) {
    struct conn *c = start_two("BLOCKSIZE 1 FAILURES 1 OPENTIME 600000");
    report(c, "w", "FAILED", "open");
    call_ok(c, "KVROUTE.ALTER p FAILURES 0");
    expect_circuit(c, "closed", 0);
    int64_t version = pool_info(c, "p", "version");
    for (int i = 0; i < 10; i++)
        report(c, "w", "FAILED", "closed");
    expect_version(c, "p", version);
    cr_expect(w_is_chosen(c, "a"));
    // A worker that is registered anew is a stranger.
    call_ok(c, "KVROUTE.ALTER p FAILURES 1");
    report(c, "w", "FAILED", "open");
    call_int(c, "KVROUTE.WORKER SET p w");
    expect_circuit(c, "open", 1);
    call_int(c, "KVROUTE.WORKER DEL p w");
    call_int(c, "KVROUTE.WORKER SET p w");
    expect_circuit(c, "closed", 0);
}

Test(report, refusals) {
    struct conn *c = start_two("BLOCKSIZE 1");
    struct digest before = pool_digest(c, "p");
    int64_t version = pool_info(c, "p", "version");
    expect_error(c, "NOPOOL", "KVROUTE.REPORT q w OK");
    expect_error(c, "NOWORKER", "KVROUTE.REPORT p nosuch FAILED");
    expect_error(c, "ERR", "KVROUTE.REPORT p w MAYBE");
    expect_error(c, "ERR", "KVROUTE.REPORT p w OK OK");
    expect_error(c, "ERR", "KVROUTE.REPORT p w FAILED AT 5");
    expect_error(c, "ERR", "KVROUTE.ALTER p FAILURES -1");
    expect_error(c, "ERR", "KVROUTE.ALTER p FAILURES 1000001");
    expect_error(c, "ERR", "KVROUTE.ALTER p OPENTIME 0");
    report(c, "w", "OK", "closed"); // changes nothing, so it counts as none
    expect_version(c, "p", version);
    cr_expect(same_digest(before, pool_digest(c, "p")));
}

Test(report, replicated_and_saved) {
    static const char *const with_aof[] = {"--appendonly", "yes", NULL};
    struct server *primary = server_start(with_aof), *replica = server_start(NULL);
    server_replica_of(replica, primary);
    struct conn *c = primary->conn;
    call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1 FAILURES 1 OPENTIME 300");
    call_int(c, "KVROUTE.WORKER SET p w");
    call_int(c, "KVROUTE.WORKER SET p x");
    call_int(c, "KVROUTE.EVENT p w 0 1 1 STORED - IDS 4 1 2 3 4");
    report(c, "w", "FAILED", "open");
    wait_until(is_half_open, c, "the time is over");
    call_ok(c, "KVROUTE.ALTER p OPENTIME 600000");
    cr_expect(w_is_chosen(c, "probe"));
    expect_equal(primary, replica, "p");
    expect_circuit(replica->conn, "open", 1); // the probe is known there, too

    struct digest before = pool_digest(c, "p");
    server_kill(primary, SIGKILL);
    server_restart(primary);
    c = primary->conn;
    cr_expect(same_digest(before, pool_digest(c, "p")));
    expect_circuit(c, "open", 1);
    call(c, "BGREWRITEAOF");
    while (server_info(c, "persistence", "aof_rewrite_in_progress") ||
           server_info(c, "persistence", "aof_rewrite_scheduled"))
        sleep_ms(10);
    server_kill(primary, SIGKILL);
    server_restart(primary);
    c = primary->conn;
    cr_expect(same_digest(before, pool_digest(c, "p")));
    expect_circuit(c, "open", 1);
    cr_expect(!w_is_chosen(c, "a"));
}
