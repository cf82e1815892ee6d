// SPDX-License-Identifier: Apache-2.0
// What a handle remembers: its live requests, its last releases, what it said of workers, and which
// instances there are.
//
// It is what makes a loss repairable. Each remembered thing is in one of three lists: *confirmed*, the
// history of the primary that answers now has it; *waiting*, it may not, and somebody should look;
// *checking*, a look is under way. Another history moves everything from confirmed to waiting, which
// is a splice; a connection that breaks moves what was being checked back. Nothing here does I/O:
// repair.c looks, and calls.c puts things in and takes them out.
//
// Invariants
//   - A request is in `live` or in `released`, never in both.
//   - requests of instance = entries in `live` that point to it.
//   - live_bytes = sum of the sizes of the entries in `live`.
#ifndef KVR_LIB_MEMORY_H
#define KVR_LIB_MEMORY_H

#include <kvroute/client.h>

#include "client/common/list.h"
#include "client/common/table.h"
#include "wire.h"

// Encoded arguments inside a command's buffer.
struct fragment {
    const char *p;
    size_t n, argc;
};

struct memory_lists {
    struct kvr_list_item confirmed; // of live requests: by last word, the oldest first
    struct kvr_list_item waiting, checking;
};

// One (worker, rank) that we have heard of.
struct instance {
    struct kvr_table_item item;    // key: the name, and the rank as 4 bytes
    struct kvr_list_item in;       // memory.instances
    struct kvr_bytes worker, addr; // addr: own allocation of addr_size bytes
    size_t addr_size;
    char *labels; // of its worker, in the last WORKER LIST: each a byte for its length, then itself
    size_t labels_n, labels_size;
    uint32_t rank;
    enum kvr_state state;
    bool open;       // its worker's circuit, in the last WORKER LIST
    bool listed;     // in the last WORKER LIST
    size_t requests; // of ours, live there
    uint64_t chosen; // when a degraded choice last fell on it; 0: never
};

struct live {
    struct kvr_list_item in; // one of memory.live's lists
    struct kvr_table_item item;
    struct memory *memory;
    char *base;               // what holds the id and the blocks; own allocation
    struct fragment blocks;   // as the command had them, salts included
    struct kvr_bytes session; // likewise; empty: of none
    size_t size;              // bytes that this entry counts for
    struct instance *at;
    int64_t isl, osl, cached, output, lease; // 0: not said; lease: KVR_NO_LEASE
    bool prefilled;
    bool chosen_here;  // without a primary: something else may be booked under this id
    bool gone;         // released or forgotten; kept for the look that is under way
    unsigned looks;    // under way
    unsigned failures; // in a row, to book it back
    int64_t retry_at;  // ms; not before
    int64_t word_at;   // ms, when its owner last said something
};

struct released {
    struct kvr_list_item in; // one of memory.released's lists
    struct kvr_table_item item;
    struct memory *memory;
    bool acknowledged; // a primary has released it once
    bool gone;
    unsigned looks;
    char id[];
};

// What was last said of a worker.
struct registered {
    struct kvr_list_item in; // one of memory.registered's lists
    struct kvr_table_item item;
    struct memory *memory;
    bool deleted, departed;      // departed: it is in memory.departed
    struct kvr_worker_call said; // merged; addr, labels: own allocations
    unsigned looks;
    int64_t word_at; // ms, when its owner last said something
    char name[];
};

enum {
    MIN_SWEEP = 1024,    // instances, before any are looked at
    MAX_DEPARTED = 1024, // deletions that are said again after a loss, the last ones
    // A pool has no more instances; what is beyond has gone without a word of ours.
    MAX_REGISTERED = KVR_MAX_INSTANCES,
    SILENCE =
        60000, // ms beyond a lease or a TTL, for a server that counts them anew after a failover
};

struct memory {
    const struct kvr_alloc *alloc;
    size_t max_live, max_live_bytes, max_released;
    struct kvr_table live_table, released_table, registered_table, instance_table;
    struct memory_lists live, released, registered;
    struct kvr_list_item departed; // of registered: deletions that are confirmed, the oldest first
    size_t n_departed;
    struct kvr_list_item instances;
    size_t sweep_at; // so many instances: who is of no use to anybody goes before another comes
    size_t live_bytes;
    uint64_t choices; // degraded, so far
};

int memory_init(struct memory *m, const struct kvr_alloc *a, const struct kvr_client_options *o,
                uint64_t secret); // -1: no memory
void memory_free(struct memory *m);

// Another history answers: nothing is confirmed any more.
void memory_doubt(struct memory *m);

// ---- Live requests -------------------------------------------------------------------------------

// An entry in the making: it is no part of the memory yet. NULL: no memory. base is taken over only by
// live_keep.
struct live *live_new(struct memory *m);
void live_drop(struct live *l); // one that was never kept

// Remembers it, confirmed or waiting; the id is neither live nor released. false: there is no room, or no
// memory for the instance; nothing has changed then. Takes over base and l when true.
bool live_keep(struct live *l, char *base, struct kvr_bytes id, size_t size,
               struct kvr_bytes worker, uint32_t rank, struct kvr_bytes addr, bool confirmed,
               int64_t now);
struct live *live_find(const struct memory *m, struct kvr_bytes id);
void live_forget(struct live *l);
void live_move(struct live *l, struct kvr_list_item *list); // of memory.live
void live_look_ended(struct live *l);                       // may free it

// ---- Releases ------------------------------------------------------------------------------------

// Remembers that a request is over; it leaves `live`, if it is in it (was_live). NULL: no room or memory
// to remember it.
struct released *released_add(struct memory *m, struct kvr_bytes id, bool *was_live);
// A call of the caller's releases it: until released_move it is in no list.
void released_hold(struct released *r);
struct released *released_find(const struct memory *m, struct kvr_bytes id);
void released_forget(struct released *r);
void released_move(struct released *r, struct kvr_list_item *list);
void released_look_ended(struct released *r);

// ---- Workers -------------------------------------------------------------------------------------

// Merges what was said into what is remembered. NULL: no memory, or no room: too many wait to be said.
struct registered *registered_say(struct memory *m, const struct kvr_worker_call *call,
                                  bool deleted);
// A deletion that is moved to `confirmed` joins the departed, and the oldest of too many are forgotten.
void registered_move(struct registered *r, struct kvr_list_item *list);
// Forgets whom the pool has let go: its TTL was over long ago without a word.
void registered_forget_silent(struct memory *m, int64_t now);
void registered_free(struct registered *r); // one that is in no list any more
struct registered *registered_find(const struct memory *m, struct kvr_bytes worker);

struct instance *instance_find(const struct memory *m, struct kvr_bytes worker, uint32_t rank);
// The same, made if it isn't there. NULL: no memory.
struct instance *instance_get(struct memory *m, struct kvr_bytes worker, uint32_t rank);
void instance_addr(struct memory *m, struct instance *i, struct kvr_bytes addr);
void instance_labels(struct memory *m, struct instance *i, const struct kvr_bytes *labels,
                     size_t n);
bool instance_has_label(const struct instance *i, struct kvr_bytes label);
// Before a fresh list is taken in: nothing counts as listed, and what nobody uses goes after.
void instances_unlist(struct memory *m);
void instances_sweep(struct memory *m);

// NULL, or the invariant that is broken; for tests.
const char *memory_validate(const struct memory *m);

#endif
