// SPDX-License-Identifier: Apache-2.0
// The table of scenarios; see ha_scenario.h.
#include "ha_steps.h"

#include <stdio.h>
#include <string.h>

#include "client/common/clock.h"
#include "tests/support/support_home.h"

// Between the last good answer and the next: the time after which Sentinels call a primary down, and
// two seconds for them to agree, promote and be asked.
enum { HA_SENTINEL_BOUND_MS = HA_DOWN_AFTER_MS + 2000 };

const struct ha_scenario ha_scenarios[] = {
    {"primary-killed", "SIGKILL of the primary under load; 3 Sentinels, 2 replicas", false,
     HA_SENTINEL_BOUND_MS, ha_primary_killed},
    {"replica-lags", "the same while the only replica is frozen: what it hasn't got is lost", true,
     HA_SENTINEL_BOUND_MS, ha_replica_lags},
    {"restart-aof", "SIGKILL of a single server, back from its AOF (everysec)", false, 0,
     ha_restart_aof},
    {"restart-old-rdb", "SIGKILL of a single server, back from an older RDB", true, 0,
     ha_restart_old_rdb},
    {"restart-empty", "SIGKILL of a single server, back without data", true, 0, ha_restart_empty},
    {"split", "a partition leaves the old primary to some clients; then it heals", true, 0,
     ha_split},
    {"split-min-replicas", "the same with min-replicas-to-write 1", false, 0,
     ha_split_min_replicas},
    {"failover-twice", "SIGKILL of the primary, and of the next one, within ten seconds", false,
     HA_SENTINEL_BOUND_MS, ha_failover_twice},
    {"sentinels-down", "all Sentinels down, the primary restarts; they return and fail over", false,
     HA_SENTINEL_BOUND_MS, ha_sentinels_down},
    {"operator-promotes", "SENTINEL FAILOVER to a replica that is far behind", true, 0,
     ha_operator_promotes},
    {"cluster-failover", "Cluster of 6: SIGKILL of the pool's primary", false, 0,
     ha_cluster_failover},
    {"cluster-slot-moves", "Cluster of 6: the pool's slot moves to another node and back", false, 0,
     ha_cluster_slot_moves},
    {"client-kill", "CLIENT KILL TYPE normal, again and again", false, 0, ha_client_kill},
    {"client-pause", "CLIENT PAUSE, first WRITE, then ALL", false, 0, ha_client_pause},
    {"slow-server", "the server stands still for 2.5 s, twice", false, 0, ha_slow_server},
    {"late-commands", "connections get stuck; what was sent on them arrives after 2.5 s", false, 0,
     ha_late_commands},
    {"short-deadlines", "calls give up after 0.2 s on a server that stands still, six times", false,
     0, ha_short_deadlines},
    {"disk-full", "the AOF's disk is full for 3 s: writes are refused with MISCONF", false, 0,
     ha_disk_full},
    {"clients-die", "SIGKILL of half of the clients: their leases end", false, 0, ha_clients_die},
    {"no-primary", "no primary for 4 s, clients that may degrade", false, 0, ha_no_primary},
};
const size_t ha_n_scenarios = sizeof ha_scenarios / sizeof *ha_scenarios;

const struct ha_scenario *ha_scenario_find(const char *name) {
    for (size_t i = 0; i < ha_n_scenarios; i++)
        if (strcmp(ha_scenarios[i].name, name) == 0) return &ha_scenarios[i];
    return NULL;
}

void ha_scenario_run(const struct ha_scenario *s, struct ha_result *v) {
    memset(v, 0, sizeof *v);
    ha_open();
    s->play(v);
    v->complete = true;
    ha_close();
}
