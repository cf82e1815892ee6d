// SPDX-License-Identifier: Apache-2.0
// One test a scenario: nothing stays lost, no client sees an error, replicas are equal; and where
// something was to be lost, something was.
#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <stdio.h>
#include <stdlib.h>

#include "ha_scenario.h"

// No scenario of the table is without its test.
ReportHook(PRE_ALL)(struct criterion_test_set *tests) {
    if (tests->tests == ha_n_scenarios) return;
    fprintf(stderr, "%zu scenarios, %zu tests\n", ha_n_scenarios, tests->tests);
    exit(1);
}

TestSuite(ha, .timeout = 240);

static void expect_kept(const char *name) {
    static struct ha_result v;
    const struct ha_scenario *s = ha_scenario_find(name);
    cr_assert(s, "no scenario %s", name);
    ha_scenario_run(s, &v);
    cr_assert(v.complete);
    cr_expect(v.unrepaired == 0, "%s: %s", name, v.faults);
    cr_expect(v.errors == 0, "%s: %d errors, the first: %s", name, (int)v.errors, v.first_error);
    cr_expect(v.digests_equal, "%s: replicas differ", name);
    cr_expect(v.requests > 0 && v.in_flight > 0, "%s: nobody was at work", name);
    if (s->loses) cr_expect(v.lost > 0, "%s: nothing was lost, so nothing is shown", name);
}

Test(ha, primary_killed) {
    expect_kept("primary-killed");
}

Test(ha, replica_lags) {
    expect_kept("replica-lags");
}

Test(ha, restart_aof) {
    expect_kept("restart-aof");
}

Test(ha, restart_old_rdb) {
    expect_kept("restart-old-rdb");
}

Test(ha, restart_empty) {
    expect_kept("restart-empty");
}

Test(ha, split) {
    expect_kept("split");
}

Test(ha, split_min_replicas) {
    expect_kept("split-min-replicas");
}

Test(ha, failover_twice) {
    expect_kept("failover-twice");
}

Test(ha, sentinels_down) {
    expect_kept("sentinels-down");
}

Test(ha, operator_promotes) {
    expect_kept("operator-promotes");
}

Test(ha, cluster_failover) {
    expect_kept("cluster-failover");
}

Test(ha, cluster_slot_moves) {
    expect_kept("cluster-slot-moves");
}

Test(ha, client_kill) {
    expect_kept("client-kill");
}

Test(ha, client_pause) {
    expect_kept("client-pause");
}

Test(ha, slow_server) {
    expect_kept("slow-server");
}

Test(ha, late_commands) {
    expect_kept("late-commands");
}

Test(ha, short_deadlines) {
    expect_kept("short-deadlines");
}

Test(ha, disk_full) {
    expect_kept("disk-full");
}

Test(ha, clients_die) {
    expect_kept("clients-die");
}

Test(ha, no_primary) {
    expect_kept("no-primary");
}
