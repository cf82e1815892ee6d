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
    {"clock-steps", "the primary's clock is set by +310 s, +1 h, −1 h and back", false, 0,
     ha_clock_steps},
    {"clients-die", "SIGKILL of half of the clients: their leases end", false, 0, ha_clients_die},
    {"no-primary", "no primary for 4 s, clients that may degrade", false, 0, ha_no_primary},
    {"http-engine-frozen", "behind routers: an engine takes requests and says nothing", false, 0,
     ha_http_engine_frozen},
    {"http-no-health", "engines without a path for their health: one is killed, and comes back",
     false, 0, ha_http_no_health},
    {"http-deadly", "a request that ends every engine that gets it", false, 0, ha_http_deadly},
    {"http-redis-full", "Redis is full for 3 s: bookings are refused with OOM", false, 0,
     ha_http_redis_full},
    {"http-redis-absent", "routers start, and Redis comes 3 s later", false, 0,
     ha_http_redis_absent},
    {"http-descriptors", "idle clients hold all connections that a router of two can have", false,
     0, ha_http_descriptors},
    {"stream-engines", "under streams: SIGKILL of an engine of 8 every 2 s, each is started again",
     false, 0, ha_stream_engines},
    {"stream-long", "the same under streams of 8 s, which may go on eight times", false, 0,
     ha_stream_long},
    {"stream-rolling", "under such streams all engines are drained and restarted, routers replaced",
     false, 0, ha_stream_rolling},
    {"queue-primary-killed", "SIGKILL of the primary; 3 Sentinels, 2 replicas", false, 0,
     ha_queue_primary_killed},
    {"queue-primary-frozen", "SIGSTOP of the primary; it goes on when another has its place", false,
     0, ha_queue_primary_frozen},
    {"queue-replica-lags", "SIGKILL of the primary while the only replica is frozen", true, 0,
     ha_queue_replica_lags},
    {"queue-split", "a partition leaves the old primary to some callers; then it heals", true, 0,
     ha_queue_split},
    {"queue-demoted", "SENTINEL FAILOVER: callers are blocked on the one that is demoted", false, 0,
     ha_queue_demoted},
    {"queue-failover", "FAILOVER without Sentinels; the address moves along", false, 0,
     ha_queue_failover},
    {"queue-restart-aof", "SIGKILL of a single server, back from its AOF (everysec)", false, 0,
     ha_queue_restart_aof},
    {"queue-restart-always", "the same with appendfsync always", false, 0, ha_queue_restart_always},
    {"queue-restart-rdb", "SIGKILL of a single server, back from an older RDB", true, 0,
     ha_queue_restart_rdb},
    {"queue-slot-moves", "Cluster of 6: the pool's slot moves to another node", false, 0,
     ha_queue_slot_moves},
    {"queue-client-pause", "CLIENT PAUSE, first WRITE, then ALL", false, 0, ha_queue_client_pause},
    {"queue-late-commands", "connections get stuck; what was sent on them arrives after 2.5 s",
     false, 0, ha_queue_late_commands},
    {"queue-client-kill", "CLIENT KILL of callers and of those who are blocked, again and again",
     false, 0, ha_queue_client_kill},
    {"queue-unheard", "CLIENT KILL TYPE pubsub, again and again", false, 0, ha_queue_unheard},
    {"queue-callers-die", "SIGKILL of two processes with calls that wait", false, 0,
     ha_queue_callers_die},
    {"queue-pool-deleted", "DEL of the pool", false, 0, ha_queue_pool_deleted},
    {"queue-clock-steps", "the primary's clock is set by +310 s, +1 h, −1 h and back", false, 0,
     ha_queue_clock_steps},
    {"pair-prefill-killed", "engines of prompts are killed, deleted, and come back", false, 0,
     ha_pair_prefill_killed},
    {"pair-decode-killed", "engines that decode are killed, deleted, and come back", false, 0,
     ha_pair_decode_killed},
    {"pair-engines-silent", "engines of both kinds die, and nobody deletes them", false, 0,
     ha_pair_engines_silent},
    {"pair-clients-die", "SIGKILL of clients in the middle: their leases end", false, 0,
     ha_pair_clients_die},
    {"pair-connections-cut", "CLIENT KILL of all connections, again and again", false, 0,
     ha_pair_connections_cut},
    {"pair-primary-killed", "SIGKILL of the primary, again and again; 3 Sentinels", false, 0,
     ha_pair_primary_killed},
    {"pair-replica-lags", "SIGKILL of the primary while the only replica is frozen", true, 0,
     ha_pair_replica_lags},
    {"pair-restart-aof", "SIGKILL of a single server, back from its AOF, again and again", false, 0,
     ha_pair_restart_aof},
    {"pair-everything", "all of these: engines, clients, connections, primaries", false, 0,
     ha_pair_everything},
};
const size_t ha_n_scenarios = sizeof ha_scenarios / sizeof *ha_scenarios;

const struct ha_scenario *ha_scenario_find(const char *name) {
    for (size_t i = 0; i < ha_n_scenarios; i++)
        if (strcmp(ha_scenarios[i].name, name) == 0) return &ha_scenarios[i];
    return NULL;
}

enum ha_kind ha_scenario_kind(const struct ha_scenario *s) {
    return strncmp(s->name, "queue-", 6) == 0    ? HA_KIND_OF_QUEUE
           : strncmp(s->name, "pair-", 5) == 0   ? HA_KIND_OF_PAIRS
           : strncmp(s->name, "stream-", 7) == 0 ? HA_KIND_OF_STREAMS
                                                 : HA_KIND_OF_ROUTING;
}

void ha_scenario_run(const struct ha_scenario *s, const struct ha_scale *scale,
                     struct ha_result *v) {
    memset(v, 0, sizeof *v);
    v->waiting = scale->waiting;
    v->bookings = scale->bookings;
    ha_open();
    s->play(v);
    v->complete = true;
    ha_close();
}
