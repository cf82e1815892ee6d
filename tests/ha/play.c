// SPDX-License-Identifier: Apache-2.0
// The table of scenarios, and what they share; see scenario.h and play.h.
#include "play.h"

#include <stdio.h>
#include <string.h>

// Between the last good answer and the next: the time after which Sentinels call a primary down, and
// two seconds for them to agree, promote and be asked.
enum { SENTINEL_BOUND_MS = DOWN_AFTER_MS + 2000 };

const struct scenario scenarios[] = {
    {"primary-killed", "SIGKILL of the primary under load; 3 Sentinels, 2 replicas", false,
     SENTINEL_BOUND_MS, play_primary_killed},
    {"replica-lags", "the same while the only replica is frozen: what it hasn't got is lost", true,
     SENTINEL_BOUND_MS, play_replica_lags},
    {"restart-aof", "SIGKILL of a single server, back from its AOF (everysec)", false, 0,
     play_restart_aof},
    {"restart-old-rdb", "SIGKILL of a single server, back from an older RDB", true, 0,
     play_restart_old_rdb},
    {"restart-empty", "SIGKILL of a single server, back without data", true, 0, play_restart_empty},
    {"split", "a partition leaves the old primary to some clients; then it heals", true, 0,
     play_split},
    {"split-min-replicas", "the same with min-replicas-to-write 1", false, 0,
     play_split_min_replicas},
    {"failover-twice", "SIGKILL of the primary, and of the next one, within ten seconds", false,
     SENTINEL_BOUND_MS, play_failover_twice},
    {"sentinels-down", "all Sentinels down, the primary restarts; they return and fail over", false,
     SENTINEL_BOUND_MS, play_sentinels_down},
    {"operator-promotes", "SENTINEL FAILOVER to a replica that is far behind", true, 0,
     play_operator_promotes},
    {"cluster-failover", "Cluster of 6: SIGKILL of the pool's primary", false, 0,
     play_cluster_failover},
    {"cluster-slot-moves", "Cluster of 6: the pool's slot moves to another node and back", false, 0,
     play_cluster_slot_moves},
    {"client-kill", "CLIENT KILL TYPE normal, again and again", false, 0, play_client_kill},
    {"client-pause", "CLIENT PAUSE, first WRITE, then ALL", false, 0, play_client_pause},
    {"slow-server", "the server stands still for 2.5 s, twice", false, 0, play_slow_server},
    {"late-commands", "connections get stuck; what was sent on them arrives after 2.5 s", false, 0,
     play_late_commands},
    {"short-deadlines", "calls give up after 0.2 s on a server that stands still, six times", false,
     0, play_short_deadlines},
    {"disk-full", "the AOF's disk is full for 3 s: writes are refused with MISCONF", false, 0,
     play_disk_full},
    {"clients-die", "SIGKILL of half of the clients: their leases end", false, 0, play_clients_die},
    {"no-primary", "no primary for 4 s, clients that may degrade", false, 0, play_no_primary},
};
const size_t n_scenarios = sizeof scenarios / sizeof *scenarios;

const struct scenario *scenario_find(const char *name) {
    for (size_t i = 0; i < n_scenarios; i++)
        if (strcmp(scenarios[i].name, name) == 0) return &scenarios[i];
    return NULL;
}

void scenario_play(const struct scenario *s, struct verdict *v) {
    memset(v, 0, sizeof *v);
    world_open();
    s->play(v);
    v->complete = true;
    world_close();
}

void strike(struct verdict *v, const struct stage *s, const char *what) {
    snprintf(v->killed, sizeof v->killed, "%s", what);
    v->in_flight = stage_live(s);
}

void count_losses(struct verdict *v, const struct stage *s, struct server *server) {
    struct losses l;
    judge_losses(s, server, &l);
    v->counted = true;
    v->lost += losses_sum(&l);
}

void conclude(struct verdict *v, struct stage *s, struct fleet *f) {
    fleet_settle(f);
    stage_wait_served(s, now_ms());
    sleep_ms(AFTER_MS);
    judge(s, f, v);
}
