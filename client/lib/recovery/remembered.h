// SPDX-License-Identifier: Apache-2.0
// What a handle remembers: its live requests, its last releases, what it said of workers, and which
// instances there are.
//
// It is what makes a loss repairable. Nothing here does I/O: outcome.c puts things in and takes them out,
// repair.c looks whether the present history has them.
//
// Invariants
//   - A request is live or released, never both.
//   - requests of an instance = live requests that point to it, by either pointer.
//   - live_bytes = sum of the sizes of the live requests.
#ifndef KVR_RECOVERY_REMEMBERED_H
#define KVR_RECOVERY_REMEMBERED_H

#include "client/lib/calls/operation.h"
#include "known_instances.h"
#include "registrations.h"

struct kvr_live {
    struct kvr_list_item in; // one of the lists of live requests
    struct kvr_table_item item;
    struct kvr_remembered *memory;
    struct kvr_command command;        // held: it has the id, and the booking's strings
    struct kvr_booked_request booking; // kept up to date: the progress, the lease
    size_t size;                       // bytes that this entry counts for
    struct kvr_instance *at;
    struct kvr_instance
        *prefill;      // that computes its prompt; NULL: `at`. booking names it with its bytes
    bool chosen_here;  // without a primary: something else may be booked under this id
    bool gone;         // released or forgotten; kept for the look that is under way
    unsigned looks;    // under way
    unsigned failures; // in a row, to book it back
    int64_t retry_at;  // ms; not before
    int64_t said_at;   // ms, when its owner last said something
};

struct kvr_released {
    struct kvr_list_item in; // one of the lists of releases
    struct kvr_table_item item;
    struct kvr_remembered *memory;
    bool acknowledged; // a primary has released it once
    bool gone;
    unsigned looks;
    char id[];
};

struct kvr_remembered {
    const struct kvr_alloc *alloc;
    void *owner; // whose memory it is
    size_t max_live, max_live_bytes, max_released;
    struct kvr_table live_table, released_table;
    struct kvr_confirmation live, released;
    struct kvr_registrations workers;
    struct kvr_instances instances;
    size_t live_bytes;
};

// -1: no memory.
int kvr_remembered_init(struct kvr_remembered *m, const struct kvr_alloc *a, void *owner,
                        const struct kvr_client_options *o, uint64_t secret);
void kvr_remembered_free(struct kvr_remembered *m); // also after a -1

// Another history answers: nothing is confirmed any more.
void kvr_remembered_unconfirm(struct kvr_remembered *m);
bool kvr_remembered_settled(const struct kvr_remembered *m); // nothing is left to look at

// ---- Live requests -------------------------------------------------------------------------------

// Remembers what the command books, confirmed or waiting; the id is neither live nor released. The
// command is held. *reserved, of sizeof(struct kvr_live), becomes the entry and is NULL then. false: there
// is no room, or no memory for the instance; nothing has changed then.
bool kvr_live_keep(struct kvr_remembered *m, void **reserved, const struct kvr_command *command,
                   struct kvr_bytes id, const struct kvr_booked_request *booking,
                   struct kvr_bytes worker, uint32_t rank, struct kvr_bytes addr, bool confirmed,
                   int64_t now);
struct kvr_live *kvr_live_find(const struct kvr_remembered *m, struct kvr_bytes id);
void kvr_live_forget(struct kvr_live *l);
void kvr_live_move(struct kvr_live *l, struct kvr_list_item *list); // of memory->live
void kvr_live_look_ended(struct kvr_live *l);                       // may free it
// Its booking is of no class any more, or else of no flow, or else no pair. false: it was none of these.
bool kvr_live_simplify(struct kvr_live *l);
bool kvr_live_unpair(struct kvr_live *l); // it is no pair any more. false: it was none

// ---- Releases ------------------------------------------------------------------------------------

// Remembers that a request is over; it is live no more, if it was (was_live). NULL: no room or memory
// to remember it.
struct kvr_released *kvr_released_add(struct kvr_remembered *m, struct kvr_bytes id,
                                      bool *was_live);
struct kvr_released *kvr_released_find(const struct kvr_remembered *m, struct kvr_bytes id);
void kvr_released_forget(struct kvr_released *r);
void kvr_released_move(struct kvr_released *r, struct kvr_list_item *list);
void kvr_released_look_ended(struct kvr_released *r);

// NULL, or the invariant that is broken; for tests.
const char *kvr_remembered_validate(const struct kvr_remembered *m);

#endif
