// SPDX-License-Identifier: Apache-2.0
// Losing nothing: what a handle remembers, and what is done so that the pool has it.
//
//   remembered.h  what there is, and what is known of it in the present history
//   outcome.h     what the calls put in and take out: when they begin, and when they end
//   repair.h      looks whether the present history has it, and puts back what it lacks
//   degrade.h     chooses without a primary, among the instances that were last known
//
//            call begins / ends                 another history
//                   │                                  │
//                   v            splice                v
//   nothing ──> confirmed <────────────────────── (all of it) ──> waiting
//                   ^                                               │ up to 64 at a time
//                   └─ it is there, or was booked back ── checking <┘
//                                                             └─ it failed, the connection broke: waiting
#ifndef KVR_RECOVERY_RECOVERY_H
#define KVR_RECOVERY_RECOVERY_H

#include "client/lib/calls/operation.h"
#include "remembered.h"

enum { KVR_COMING_BACK = 10000 }; // ms after a loss in which the workers may still be coming back

struct kvr_recovery {
    struct kvr_context *context;
    struct kvr_transport *transport;
    struct kvr_calls *calls;
    struct kvr_remembered memory;
    char *create; // how to create the pool; NULL: it isn't
    bool degrade;
    int64_t refresh;
    int64_t version;  // of the pool, the highest seen in this history; -1: there was none
    int64_t lease;    // the pool's
    int64_t lost_at;  // ms, when another history was found; 0: never
    bool new_history; // followers are to be told that acknowledged things may be lost
    int64_t repair_at, refresh_at, forget_at;
    int64_t release_at;        // ms; before it nothing is released by the repair
    unsigned release_failures; // in a row, of its releases
    bool refreshing, creating;
    bool uncreated; // the server refused to create the pool, and the log has said why
    size_t looks;   // of the repair, under way
};

// context, transport and calls are set. -1: no memory.
int kvr_recovery_init(struct kvr_recovery *r, const struct kvr_client_options *o);
void kvr_recovery_free(struct kvr_recovery *r);
bool kvr_recovery_create_with(struct kvr_recovery *r, const char *create); // false: no memory

void kvr_recovery_soon(struct kvr_recovery *r);         // something waits
void kvr_recovery_history_lost(struct kvr_recovery *r); // nothing is confirmed any more
// Whether workers or the pool may still be coming back after a loss.
bool kvr_recovery_coming_back(const struct kvr_recovery *r, int64_t now);

#endif
