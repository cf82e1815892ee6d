// SPDX-License-Identifier: Apache-2.0
// A connection to the primary, found again whenever it goes.
//
//                 ┌─ nobody knows ─┐
//                 v                │
//   IDLE ──retry_at──> DISCOVERY (Sentinels or nodes are asked, one after the other)
//     ^                     │ an address
//     │                     v
//     ├── it fails ── HANDSHAKE (handshake.h) ── it is a primary ──> READY
//     └── it fails ─────────────────────────────────────────────────────┘
//
// Everything that takes time happens in the handle's tick, which calls the functions below. Callbacks of
// hiredis only take replies in and ask for a tick; nothing else closes connections or moves from
// state to state. What a new or a lost primary means for calls, and for what is remembered, isn't known
// here: the user of a transport is told through `events`.
#ifndef KVR_TRANSPORT_TRANSPORT_H
#define KVR_TRANSPORT_TRANSPORT_H

#include "handshake.h"
#include "server_reply.h"
#include "subscription.h"

enum {
    KVR_BACKOFF = 10,      // ms until the second try, doubled
    KVR_MAX_BACKOFF = 250, //
};

enum kvr_transport_state {
    KVR_TRANSPORT_IDLE,
    KVR_TRANSPORT_DISCOVERY,
    KVR_TRANSPORT_HANDSHAKE,
    KVR_TRANSPORT_READY,
};

struct kvr_transport_events {
    void *ctx;
    void (*ready)(void *ctx, bool same_process); // as with the primary before; see `ready_before`
    void (*lost)(void *ctx); // all that was under way there has been called back
};

struct kvr_transport {
    struct kvr_context *context;
    struct kvr_transport_events events;
    struct kvr_topology topology;
    struct kvr_connection_means means;
    enum kvr_transport_state state;
    struct kvr_connection primary;
    struct kvr_discovery discovery;
    struct kvr_handshake handshake;
    struct kvr_subscription subscription; // to the primary; its events are set
    unsigned failures;                    // in a row
    int64_t retry_at;                     // IDLE
    char why[160];                        // the last reason for having no primary
    bool denied;                          // that reason is a matter of users and passwords
    bool ready_before;                    // there has been a primary
    uint64_t history;                     // of the last one
    bool knows_history;
    int64_t ready_at;   // ms, when this primary was reached
    int64_t down_since; // ms; meaningless in READY
};

// The transport's context, topology, loop and events are set. NULL, or what is wrong (a static text).
const char *kvr_transport_open(struct kvr_transport *t);
void kvr_transport_disconnect(struct kvr_transport *t); // calls back all that is under way
void kvr_transport_free(struct kvr_transport *t);       // after that

// The tick, in this order: first closes what is broken or silent, then goes on looking for a primary, or
// looks whether it still is one.
void kvr_transport_watch(struct kvr_transport *t, int64_t now);
void kvr_transport_step(struct kvr_transport *t, int64_t now);
int64_t kvr_transport_wake_at(const struct kvr_transport *t, int64_t now); // the next tick

// A server has answered MOVED or ASK, or that it can't now: the primary is looked for anew.
void kvr_transport_redirect(struct kvr_transport *t, const char *error, size_t n,
                            const struct kvr_reply_error *e);
static inline bool kvr_transport_ready(const struct kvr_transport *t) {
    return t->state == KVR_TRANSPORT_READY;
}

#endif
