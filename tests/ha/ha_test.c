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

static const struct ha_scale few = {.waiting = 120, .bookings = 1500};

TestSuite(ha, .timeout = 240);

static void expect_kept(const char *name) {
    static struct ha_result v;
    const struct ha_scenario *s = ha_scenario_find(name);
    cr_assert(s, "no scenario %s", name);
    ha_scenario_run(s, &few, &v);
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

Test(ha, clock_steps) {
    expect_kept("clock-steps");
}

Test(ha, clients_die) {
    expect_kept("clients-die");
}

Test(ha, no_primary) {
    expect_kept("no-primary");
}

Test(ha, http_engine_frozen) {
    expect_kept("http-engine-frozen");
}

Test(ha, http_no_health) {
    expect_kept("http-no-health");
}

Test(ha, http_deadly) {
    expect_kept("http-deadly");
}

Test(ha, http_redis_full) {
    expect_kept("http-redis-full");
}

Test(ha, http_redis_absent) {
    expect_kept("http-redis-absent");
}

Test(ha, stream_engines) {
    expect_kept("stream-engines");
}

Test(ha, stream_long) {
    expect_kept("stream-long");
}

Test(ha, stream_rolling) {
    expect_kept("stream-rolling");
}

Test(ha, http_descriptors) {
    expect_kept("http-descriptors");
}

Test(ha, queue_primary_killed, .timeout = 600) {
    expect_kept("queue-primary-killed");
}

Test(ha, queue_primary_frozen, .timeout = 600) {
    expect_kept("queue-primary-frozen");
}

Test(ha, queue_replica_lags, .timeout = 600) {
    expect_kept("queue-replica-lags");
}

Test(ha, queue_split, .timeout = 600) {
    expect_kept("queue-split");
}

Test(ha, queue_demoted, .timeout = 600) {
    expect_kept("queue-demoted");
}

Test(ha, queue_failover, .timeout = 600) {
    expect_kept("queue-failover");
}

Test(ha, queue_restart_aof, .timeout = 600) {
    expect_kept("queue-restart-aof");
}

Test(ha, queue_restart_always, .timeout = 600) {
    expect_kept("queue-restart-always");
}

Test(ha, queue_restart_rdb, .timeout = 600) {
    expect_kept("queue-restart-rdb");
}

Test(ha, queue_slot_moves, .timeout = 600) {
    expect_kept("queue-slot-moves");
}

Test(ha, queue_client_pause, .timeout = 600) {
    expect_kept("queue-client-pause");
}

Test(ha, queue_late_commands, .timeout = 600) {
    expect_kept("queue-late-commands");
}

Test(ha, queue_client_kill, .timeout = 600) {
    expect_kept("queue-client-kill");
}

Test(ha, queue_unheard, .timeout = 600) {
    expect_kept("queue-unheard");
}

Test(ha, queue_callers_die, .timeout = 600) {
    expect_kept("queue-callers-die");
}

Test(ha, queue_pool_deleted, .timeout = 600) {
    expect_kept("queue-pool-deleted");
}

Test(ha, queue_clock_steps, .timeout = 600) {
    expect_kept("queue-clock-steps");
}

Test(ha, pair_prefill_killed, .timeout = 600) {
    expect_kept("pair-prefill-killed");
}

Test(ha, pair_decode_killed, .timeout = 600) {
    expect_kept("pair-decode-killed");
}

Test(ha, pair_engines_silent, .timeout = 600) {
    expect_kept("pair-engines-silent");
}

Test(ha, pair_clients_die, .timeout = 600) {
    expect_kept("pair-clients-die");
}

Test(ha, pair_connections_cut, .timeout = 600) {
    expect_kept("pair-connections-cut");
}

Test(ha, pair_primary_killed, .timeout = 600) {
    expect_kept("pair-primary-killed");
}

Test(ha, pair_replica_lags, .timeout = 600) {
    expect_kept("pair-replica-lags");
}

Test(ha, pair_restart_aof, .timeout = 600) {
    expect_kept("pair-restart-aof");
}

Test(ha, pair_everything, .timeout = 600) {
    expect_kept("pair-everything");
}
