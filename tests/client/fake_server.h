// SPDX-License-Identifier: Apache-2.0
// Servers that answer as real ones do, until they are told to misbehave.
//
// One thread plays all the nodes of a deployment. It reads whole commands, answers each out of a
// table, and keeps just enough of a pool to be believed: which requests are live, and a version.
// Every command that any node hears is counted; with a fault set, the chosen one (and perhaps all
// after it) is answered in the fault's way. So a test can let a conversation break at each of its
// points in turn.
#ifndef FAKE_SERVER_H
#define FAKE_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fake_kind {
    FAKE_TCP,      // node 0: the server
    FAKE_UNIX,     // the same over a unix socket
    FAKE_SENTINEL, // node 0: the primary, 1: its replica, 2 and 3: the Sentinels
    FAKE_CLUSTER,  // node 1 has the pool's slot, 0 the other slots; the URL names 0 first
    FAKE_KINDS,
};

#define FAKE_POOL "pool" // the key that a handle must use

enum fake_fault_kind {
    FAKE_FAULT_NONE,
    FAKE_FAULT_SAY,        // the fault's bytes instead of the reply
    FAKE_FAULT_SAY_HANG,   // the bytes, and nothing more on this connection
    FAKE_FAULT_SAY_CLOSE,  // the bytes, and the end
    FAKE_FAULT_HALF_HANG,  // half of the right reply
    FAKE_FAULT_HALF_CLOSE, //
    FAKE_FAULT_HANG,       // nothing
    FAKE_FAULT_STALL,      // this and what follows on the connection is heard a while later
    FAKE_FAULT_CLOSE,      // the end
    FAKE_FAULT_DROP,       // the end, and the command wasn't carried out
    FAKE_FAULT_DIE,        // the end of all connections, and nobody listens any more
    FAKE_FAULT_TWICE,      // the right reply, and again
    FAKE_FAULT_BYTEWISE,   // the right reply, byte by byte: no fault at all
    FAKE_FAULT_REDIRECT,   // "-BYTES slot address of node n"
};

struct fake_fault {
    const char *name; // for people
    enum fake_fault_kind kind;
    const char *bytes;
    size_t n; // of bytes; 0: a C string. FAKE_FAULT_REDIRECT: the node
};

struct fake_server;

struct fake_server *fake_start(enum fake_kind kind);
void fake_stop(struct fake_server *f);
// How to reach it, with these settings ("deadline=100&timeout=20").
void fake_url(struct fake_server *f, const char *settings, char *out, size_t size);

// The at-th command from now on, counted from 1, meets the fault; with stay, all after it, too.
// Lasts until fake_heal(), which also listens again after FAKE_FAULT_DIE. The fault must live that long.
void fake_set_fault(struct fake_server *f, const struct fake_fault *fault, uint64_t at, bool stay);
void fake_heal(struct fake_server *f);
uint64_t fake_heard(struct fake_server *f);                     // commands heard so far
uint64_t fake_faults_met(struct fake_server *f);                // and met by a fault
size_t fake_live(struct fake_server *f);                        // requests booked
bool fake_has(struct fake_server *f, const char *id, size_t n); // whether this one is
// The last commands heard, and how they were answered ("!" with a fault), and what was done to the
// servers in between. Only commands that have `about` in their first words, NULL: all.
void fake_story(struct fake_server *f, const char *about, char *out, size_t size);
// All words of the last command heard that has this name, "" if there was none; blobs of hashes as "…".
void fake_said(struct fake_server *f, const char *name, char *out, size_t size);

// ---- Deployments that are wrong ------------------------------------------------------------------

struct fake_lies {
    const char *role;       // what every data node says it is: "slave", "sentinel", "", NULL: true
    const char *master;     // what SENTINEL MASTER says instead: a RESP reply; NULL: the truth
    const char *ip, *port;  // or only these values of it
    const char *slots;      // what CLUSTER SLOTS says instead: a RESP reply; NULL: true
    bool circle;            // every node sends for every key to the next
    bool ask;               // the pool's slot is moving: its owner says ASK, the next one serves it
    bool swapped;           // primary and replica, or the two nodes' slots, have changed places
    const char *fails;      // a command's name that is always answered with `error`
    const char *error;      //
    const char *draining;   // a worker that is
    const char *open;       // a worker whose circuit is open; the other's is half-open
    const char *addr;       // of the workers; NULL: one where nobody is
    bool old;               // the module is of version 1: no sessions, labels, predictions or queue
    const char *subscribe;  // what SUBSCRIBE is answered with: RESP, @ its channel; NULL: the truth
    bool mute;              // nobody may name a channel
    bool classless;         // nothing can be booked for a class
    bool unprefilled;       // nobody whom a CLAIM names as PREFILLER is registered
    const char *role_of_w2; // NULL: decode
};
void fake_lie(struct fake_server *f, const struct fake_lies *lies); // copied; NULL: the truth again
int fake_port(struct fake_server *f, int node);

// ---- Waiting for room ----------------------------------------------------------------------------

// From now on there is room for so many live requests, and who was admitted has `accept` ms to come. SIZE_MAX: for
// any number, as at first.
void fake_set_room(struct fake_server *f, size_t room, int64_t accept);
void fake_lose_news(struct fake_server *f, unsigned percent); // of admissions nobody is told
void fake_publish(struct fake_server *f, const char *id);     // that it was admitted, true or not
struct fake_queue_counts {
    size_t waiting, uncalled, subscribed;   // now; uncalled: admitted, and nobody has come yet
    uint64_t enqueued, admitted, unclaimed; // so far; unclaimed: admitted, and nobody came in time
} fake_queue_counts(struct fake_server *f);
bool fake_waits(struct fake_server *f, const char *id);
// The ids that wait, in order, as one text.
void fake_waiting_ids(struct fake_server *f, char *out, size_t size);

// Another history: other ids, and nothing of what was booked.
void fake_forget(struct fake_server *f);
// Keeps what is booked now; and another history that goes on from there, as after a failover to a
// replica that lagged. Connections are closed.
void fake_keep(struct fake_server *f);
void fake_go_back(struct fake_server *f);
// Closes all connections; they are closed when it returns.
void fake_hang_up(struct fake_server *f);

#endif
