// SPDX-License-Identifier: Apache-2.0
// What this handle has said of workers, to be said again to another history.
//
// At most 65,535 are kept, since a pool has no more workers. The last deletions are kept as well, because a
// history that lacks one would bring the worker back. A worker whose TTL has passed without a renewal is
// forgotten here, as the pool has forgotten it.
#ifndef KVR_RECOVERY_REGISTRATIONS_H
#define KVR_RECOVERY_REGISTRATIONS_H

#include <kvroute/client.h>

#include "client/common/table.h"
#include "confirmation.h"

enum {
    KVR_MAX_DEPARTED = 1024,                   // deletions that are said again after a loss
    KVR_MAX_REGISTRATIONS = KVR_MAX_INSTANCES, // no pool has more
    // ms beyond a lease or a TTL, for a server that counts them anew after a failover
    KVR_LEASE_MARGIN = 60000,
};

// What was last said of a worker.
struct kvr_registration {
    struct kvr_list_item in; // one of the lists
    struct kvr_table_item item;
    struct kvr_registrations *set;
    bool deleted, departed;      // departed: it is in the list of that name
    struct kvr_worker_call said; // merged; addr, labels: own allocations
    uint64_t whole_in; // the history that was told all of it; 0: none was, or it isn't known
    unsigned looks;
    int64_t said_at; // ms, when that was
    char name[];
};

struct kvr_registrations {
    const struct kvr_alloc *alloc;
    void *owner;      // whose memory it is
    uint64_t history; // which it is, from 1
    struct kvr_table table;
    struct kvr_confirmation lists;
    struct kvr_list_item departed; // deletions that are confirmed, the oldest first
    size_t n_departed;
};

// -1: no memory.
int kvr_registrations_init(struct kvr_registrations *m, const struct kvr_alloc *a, uint64_t secret);
void kvr_registrations_free(struct kvr_registrations *m);
void kvr_registrations_doubt(struct kvr_registrations *m); // nothing is confirmed any more

struct kvr_registration *kvr_registration_find(const struct kvr_registrations *m,
                                               struct kvr_bytes worker);
// Merges what was said into what is remembered. NULL: no memory, or no room: too many wait to be said.
struct kvr_registration *kvr_registration_say(struct kvr_registrations *m,
                                              const struct kvr_worker_call *call, bool deleted);
// Whether the present history was told all of it. If not, a part that is said now doesn't make up for the rest.
bool kvr_registration_is_whole(const struct kvr_registration *r);
// To another of the lists. A deletion that is moved to `confirmed` joins the departed, and the oldest of
// too many are forgotten.
void kvr_registration_move(struct kvr_registration *r, struct kvr_list_item *list);
// False: somebody is looking at it. One that isn't there is forgotten.
bool kvr_registration_forget(struct kvr_registrations *m, struct kvr_bytes worker);
// Forgets whom the pool has let go: its TTL was over long ago without a word.
void kvr_registrations_forget_silent(struct kvr_registrations *m, int64_t now);

#endif
