// SPDX-License-Identifier: Apache-2.0
// What scenarios share: their beginnings, the blow, and their ends; and the scenarios, by family.
#ifndef HA_PLAY_H
#define HA_PLAY_H

#include "fleet.h"
#include "judge.h"

enum {
    BEFORE_MS = 1000, // at work before anything breaks
    AFTER_MS = 700,   // at work after all are served again
};

// Notes what is about to be broken and how many requests are live.
void strike(struct verdict *v, const struct stage *s, const char *what);
// Notes what this server lacks; everybody stands still.
void count_losses(struct verdict *v, const struct stage *s, struct server *server);
// When all servers and all clients have found each other again, the judge has the word.
void conclude(struct verdict *v, struct stage *s, struct fleet *f);

void play_primary_killed(struct verdict *v);
void play_replica_lags(struct verdict *v);
void play_failover_twice(struct verdict *v);
void play_sentinels_down(struct verdict *v);
void play_operator_promotes(struct verdict *v);

void play_split(struct verdict *v);
void play_split_min_replicas(struct verdict *v);

void play_restart_aof(struct verdict *v);
void play_restart_old_rdb(struct verdict *v);
void play_restart_empty(struct verdict *v);

void play_client_kill(struct verdict *v);
void play_client_pause(struct verdict *v);
void play_slow_server(struct verdict *v);
void play_late_commands(struct verdict *v);
void play_short_deadlines(struct verdict *v);
void play_disk_full(struct verdict *v);

void play_clients_die(struct verdict *v);
void play_no_primary(struct verdict *v);

void play_cluster_failover(struct verdict *v);
void play_cluster_slot_moves(struct verdict *v);

#endif
