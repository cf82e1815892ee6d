// SPDX-License-Identifier: Apache-2.0
// The first exchange with a server: who we are, whether it is a primary, whose history it has, and
// whether it has the pool. One pipelined exchange; and a second one with a server that may still have
// unread commands of ours from a connection that was given up.
//
// The history is the server's run id with its replication id. Both are the same as last time only when
// the same process has gone on being a primary, and then nothing that it acknowledged is gone: any
// restart changes the first, any failover the second.
#ifndef KVR_TRANSPORT_HANDSHAKE_H
#define KVR_TRANSPORT_HANDSHAKE_H

#include "discover.h"
#include "resp_command.h"

enum { KVR_MAX_STALE = 8 }; // connections given up that a server may still know

// A connection of ours that was given up while it owed replies. What it was sent may still reach the
// server, after its repetition and whatever followed that; so the server is asked to end it first.
struct kvr_stale_connection {
    uint64_t run; // of the server, a hash of its run id
    int64_t id;   // as CLIENT ID names it; 0: none
};

struct kvr_handshake {
    struct kvr_context *context;
    const struct kvr_topology *topology;
    struct kvr_discovery *discovery;
    struct kvr_connection *connection;
    void (*done)(struct kvr_connection *l); // it is a primary and ready for commands
    struct kvr_command info;                // the pool's INFO, encoded once
    struct kvr_stale_connection stale[KVR_MAX_STALE];
    size_t next_stale;
    bool denied; // it fails by a matter of users and passwords
    struct kvr_server_facts {
        unsigned pending; // replies
        uint64_t run;     // a hash of the run id
        int64_t id;       // of this connection; 0: we may not ask
        bool is_primary, no_pool, knows_history, ended_stale;
        uint64_t history;               // a hash of run id and replication id
        int64_t version, lease, accept; // of the pool; -1: not said
    } facts;                            // what this handshake has found out
};

int kvr_handshake_init(struct kvr_handshake *h); // the fields up to done are set. -1: no memory
void kvr_handshake_free(struct kvr_handshake *h);
void kvr_handshake_begin(struct kvr_handshake *h); // once the connection is open
// The connection was given up with commands on their way.
void kvr_handshake_note_stale(struct kvr_handshake *h);

#endif
