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
void ha_clock_steps(struct ha_result *v);

void ha_clients_die(struct ha_result *v);
void ha_no_primary(struct ha_result *v);

void ha_cluster_failover(struct ha_result *v);
void ha_cluster_slot_moves(struct ha_result *v);

void ha_http_engine_frozen(struct ha_result *v);
void ha_http_no_health(struct ha_result *v);
void ha_http_deadly(struct ha_result *v);
void ha_http_redis_full(struct ha_result *v);
void ha_http_redis_absent(struct ha_result *v);
void ha_http_descriptors(struct ha_result *v);

void ha_stream_engines(struct ha_result *v);
void ha_stream_long(struct ha_result *v);
void ha_stream_rolling(struct ha_result *v);

void ha_queue_primary_killed(struct ha_result *v);
void ha_queue_primary_frozen(struct ha_result *v);
void ha_queue_replica_lags(struct ha_result *v);
void ha_queue_split(struct ha_result *v);
void ha_queue_demoted(struct ha_result *v);
void ha_queue_failover(struct ha_result *v);
void ha_queue_restart_aof(struct ha_result *v);
void ha_queue_restart_always(struct ha_result *v);
void ha_queue_restart_rdb(struct ha_result *v);
void ha_queue_slot_moves(struct ha_result *v);
void ha_queue_client_pause(struct ha_result *v);
void ha_queue_late_commands(struct ha_result *v);
void ha_queue_client_kill(struct ha_result *v);
void ha_queue_unheard(struct ha_result *v);
void ha_queue_callers_die(struct ha_result *v);
void ha_queue_pool_deleted(struct ha_result *v);
void ha_queue_clock_steps(struct ha_result *v);

void ha_pair_prefill_killed(struct ha_result *v);
void ha_pair_decode_killed(struct ha_result *v);
void ha_pair_engines_silent(struct ha_result *v);
void ha_pair_clients_die(struct ha_result *v);
void ha_pair_connections_cut(struct ha_result *v);
void ha_pair_primary_killed(struct ha_result *v);
void ha_pair_replica_lags(struct ha_result *v);
void ha_pair_restart_aof(struct ha_result *v);
void ha_pair_everything(struct ha_result *v);

// Moves the pool's slot, in steps that take their time.
void ha_move_slot(const struct ha_cluster *c, int slot, struct ha_server *from,
                  struct ha_server *to);

#endif
