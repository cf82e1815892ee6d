// SPDX-License-Identifier: Apache-2.0
// Real redis-servers with the module, Sentinels and Clusters of them, and plain calls to them.
//
// Servers have configuration files, as in production: Sentinels rewrite them, and a server that comes
// back comes back as what it was last told to be. Calls here go straight to a server's own port,
// past all proxies: they are how the truth is looked at from outside.
//
//   KVROUTE_MODULE  the module, else what the build was told
//   REDIS_SERVER    the server, else what the build was told
#ifndef HA_REDIS_H
#define HA_REDIS_H

#include <hiredis/hiredis.h>

#include "world.h"

enum { MAX_SERVERS = 10, NAME_SIZE = 24 };

struct server {
    char name[NAME_SIZE]; // for people: "a", "sentinel-1"
    int side;             // see proxy.h
    int port;             // its own
    int address;          // where the others reach it: `port`, or a proxy's in front of it
    int bus;              // of a Cluster; else 0
    bool sentinel;
    bool on_small_disk;  // its data lie in a file system of its own, SMALL_DISK bytes
    bool has_small_disk; // ... and that could be had; else the limit on file sizes stands in for it
    struct process *process;
    redisContext *conn; // open while it runs
    char dir[256], config[272], log[272];
};

enum { SMALL_DISK = 4 << 20 };

struct plan { // of a server; all may be 0
    const char *name;
    int side, address;
    const char *settings; // further lines of its configuration file
    bool sentinel, on_small_disk;
    int node_timeout_ms; // of a Cluster; 0: of none
};

// Starts it and waits until it answers. Appends to an AOF (everysec) unless settings say otherwise.
struct server *server_start(const struct plan *plan);
void server_kill(struct server *s);    // SIGKILL
void server_restart(struct server *s); // with its configuration file, wherever that has come to
bool server_runs(struct server *s);
void server_configure(struct server *s, const char *line); // adds a line to the file of a dead one
void server_forget(struct server *s, const char *what);    // removes what it saved: "all" or "aof"
void server_replicate(struct server *s, const struct server *primary);

// Waits until the replica follows the primary and has all that it has.
void server_wait_synced(struct server *replica, struct server *primary);
bool server_linked(struct server *replica, struct server *primary); // it follows it by now
bool server_synced(struct server *replica, struct server *primary); // and has all that it has
bool server_is_primary(struct server *s);
size_t server_count(void);
struct server *server_at(size_t i);
// NULL, or which server has ended by itself or reports a crash in its log.
const char *servers_broken(void);

// ---- Sentinels -----------------------------------------------------------------------------------

enum { DOWN_AFTER_MS = 1000 };

// One that watches `primary` under the name "main"; quorum 2.
struct server *sentinel_start(const char *name, int side, int address, struct server *primary);
void sentinel_restart(struct server *s);
// Waits until each knows the others and all replicas, and thinks that all is well.
void sentinels_wait_ready(struct server **sentinels, size_t n, size_t replicas);
// The server that this Sentinel calls the primary; NULL: none of ours.
struct server *sentinel_primary(struct server *sentinel);
// Waits until it calls another one than `old` so, and that one agrees.
struct server *sentinel_wait_primary(struct server *sentinel, const struct server *old);

// ---- Cluster -------------------------------------------------------------------------------------

// Three primaries with a replica each: servers i and i + 3.
struct cluster {
    struct server *servers[6];
};
void cluster_start(struct cluster *c, int node_timeout_ms);
int cluster_slot(struct cluster *c, const char *key);
// Where the slot's owner is according to `asked`; NULL: nowhere.
struct server *cluster_owner(struct server *asked, int slot);
const char *cluster_id(struct server *s, char out[64]);

// ---- Calls ---------------------------------------------------------------------------------------
// Formats are hiredis's. All give up when the server doesn't answer.

redisReply *call(struct server *s, const char *format, ...); // to be freed
void call_ok(struct server *s, const char *format, ...);     // gives up on an error
int64_t call_int(struct server *s, const char *format, ...);
// Whether the answer is no error; for what may be refused.
bool call_try(struct server *s, const char *format, ...);
// The text of "name:" in INFO; "" if there is none.
void server_info(struct server *s, const char *section, const char *name, char *out, size_t size);
int64_t server_info_int(struct server *s, const char *section, const char *name);
// A field of a map that came as a flat array; NULL if it isn't there.
const redisReply *field(const redisReply *map, const char *name);
int64_t field_int(const redisReply *map, const char *name); // gives up if it isn't there

#endif
