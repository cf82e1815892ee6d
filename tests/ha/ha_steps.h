// SPDX-License-Identifier: Apache-2.0
// What scenarios share: noting what is broken, what is lost, and the end; and the scenarios, by family.
#ifndef HA_STEPS_H
#define HA_STEPS_H

#include "ha_check.h"
#include "ha_fleet.h"

enum {
    HA_BEFORE_MS = 1000, // at work before anything breaks
    HA_AFTER_MS = 700,   // at work after all are served again
};

// Notes what is about to be broken and how many requests are live.
void ha_note_fault(struct ha_result *v, const struct ha_load *s, const char *what);
// Notes what this server lacks; everybody stands still.
void ha_note_losses(struct ha_result *v, const struct ha_load *s, struct ha_server *server);
// When all servers and all clients have found each other again, all is compared; see ha_check.h.
void ha_finish(struct ha_result *v, struct ha_load *s, struct ha_fleet *f);

void ha_primary_killed(struct ha_result *v);
void ha_replica_lags(struct ha_result *v);
void ha_failover_twice(struct ha_result *v);
void ha_sentinels_down(struct ha_result *v);
void ha_operator_promotes(struct ha_result *v);

void ha_split(struct ha_result *v);
void ha_split_min_replicas(struct ha_result *v);

void ha_restart_aof(struct ha_result *v);
void ha_restart_old_rdb(struct ha_result *v);
void ha_restart_empty(struct ha_result *v);

void ha_client_kill(struct ha_result *v);
void ha_client_pause(struct ha_result *v);
void ha_slow_server(struct ha_result *v);
void ha_late_commands(struct ha_result *v);
void ha_short_deadlines(struct ha_result *v);
void ha_disk_full(struct ha_result *v);

void ha_clients_die(struct ha_result *v);
void ha_no_primary(struct ha_result *v);

void ha_cluster_failover(struct ha_result *v);
void ha_cluster_slot_moves(struct ha_result *v);

#endif
