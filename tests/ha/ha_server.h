// SPDX-License-Identifier: Apache-2.0
// Real redis-servers with the module, Sentinels and Clusters of them, and plain calls to them.
//
// Calls here go straight to a server's own socket, past all proxies: they are how the truth is looked at
// from outside.
#ifndef HA_SERVER_H
#define HA_SERVER_H

#include "ha_process.h"
#include "tests/support/support_clock.h"
#include "tests/support/support_redis.h"

enum { HA_MAX_SERVERS = 10, HA_NAME_SIZE = 24 };

struct ha_server {
    char name[HA_NAME_SIZE]; // for people: "a", "sentinel-1"
    struct support_redis redis;
    int side;            // see ha_proxy.h
    int address;         // where the others reach it: its port, or a proxy's in front of it
    int bus;             // of a Cluster; else 0
    bool on_small_disk;  // its data lie in a file system of its own, HA_SMALL_DISK bytes
    bool has_small_disk; // ... and that could be had; else the limit on file sizes stands in for it
    struct support_clock *clock; // NULL: the machine's
    struct ha_process *process;
    char config[800];
};

enum { HA_SMALL_DISK = 4 << 20 };

struct ha_server_plan { // of a server; all may be 0
    const char *name;
    int side, address;
    const char *settings; // further lines of its configuration file
    bool sentinel, on_small_disk;
    struct support_clock *clock; // its date is by this one
    int node_timeout_ms;         // of a Cluster; 0: of none
};

// Starts it and waits until it answers. Appends to an AOF (everysec) unless settings say otherwise.
struct ha_server *ha_server_start(const struct ha_server_plan *plan);
void ha_server_kill(struct ha_server *s); // SIGKILL
// With its configuration file, wherever that has come to.
void ha_server_restart(struct ha_server *s);
bool ha_server_runs(struct ha_server *s);
void ha_server_replicate(struct ha_server *s, const struct ha_server *primary);

// Waits until the replica follows the primary and has all that it has.
void ha_server_wait_synced(struct ha_server *replica, struct ha_server *primary);
bool ha_server_linked(struct ha_server *replica, struct ha_server *primary); // it follows it by now
bool ha_server_synced(struct ha_server *replica,
                      struct ha_server *primary); // and has all that it has
bool ha_server_is_primary(struct ha_server *s);
size_t ha_server_count(void);
struct ha_server *ha_server_at(size_t i);
// NULL, or which server has ended by itself or reports a crash in its log.
const char *ha_servers_broken(void);

// ---- Sentinels -----------------------------------------------------------------------------------

enum { HA_DOWN_AFTER_MS = 1000 };

// One that watches `primary` under the name "main"; quorum 2.
struct ha_server *ha_sentinel_start(const char *name, int side, int address,
                                    struct ha_server *primary);
void ha_sentinel_restart(struct ha_server *s);
// Waits until each knows the others and all replicas, and thinks that all is well.
void ha_sentinels_wait_ready(struct ha_server **sentinels, size_t n, size_t replicas);
// The server that this Sentinel calls the primary; NULL: none of ours.
struct ha_server *ha_sentinel_primary(struct ha_server *sentinel);
// Waits until it calls another one than `old` so, and that one agrees.
struct ha_server *ha_sentinel_wait_primary(struct ha_server *sentinel, const struct ha_server *old);

// ---- Cluster -------------------------------------------------------------------------------------

// Three primaries with a replica each: servers i and i + 3.
struct ha_cluster {
    struct ha_server *servers[6];
};
void ha_cluster_start(struct ha_cluster *c, int node_timeout_ms);
int ha_cluster_slot(struct ha_cluster *c, const char *key);
// Where the slot's owner is according to `asked`; NULL: nowhere.
struct ha_server *ha_cluster_owner(struct ha_server *asked, int slot);
const char *ha_cluster_id(struct ha_server *s, char out[64]);

// ---- Calls ---------------------------------------------------------------------------------------
// Formats are hiredis's. All give up when the server doesn't answer.

redisReply *ha_call(struct ha_server *s, const char *format, ...); // to be freed
void ha_call_ok(struct ha_server *s, const char *format, ...);     // gives up on an error
int64_t ha_call_int(struct ha_server *s, const char *format, ...);
// Whether the answer is no error; for what may be refused.
bool ha_call_try(struct ha_server *s, const char *format, ...);
// A field of a map that came as a flat array; NULL if it isn't there.
const redisReply *ha_field(const redisReply *map, const char *name);
int64_t ha_field_int(const redisReply *map, const char *name); // gives up if it isn't there

#endif
