// SPDX-License-Identifier: Apache-2.0
// The calls that may wait for room: SELECTs with WAIT, from their beginning to their answer.
//
// All of them are in a line, in the order in which they were made, and found by their request's id. Those that the
// pool has said wait are parked: nothing of them is under way, until the pool tells that one was admitted, its time
// to wait is over, or its turn has come to ask again all the same. That turn goes round: each asks once in `high` ms
// and not before `low` ms, evenly spread, the one that asked longest ago first.
//
// Nothing here sends anything or knows what else a call is; operation.c does.
#ifndef KVR_CALLS_PARKED_H
#define KVR_CALLS_PARKED_H

#include "client/common/list.h"
#include "client/common/table.h"
#include "client/lib/transport/resp_command.h"

// What the next sending asks.
enum kvr_wait_stage {
    KVR_WAIT_ON,   // to wait, or go on waiting
    KVR_WAIT_LAST, // for a booking or a refusal: its time is over
    KVR_WAIT_PART, // the same, after its waiting was ended: it had still been waiting
};

struct kvr_parked_call {
    struct kvr_list_item line;
    struct kvr_table_item item; // its key is set, also when a twin is in the table
    int64_t ms;                 // that it may wait; 0: it may not, and nothing else here counts
    int64_t until;              // ms, when that is over
    int64_t patience;           // ms that it does without a primary
    int64_t asked_at;           // ms, when it was last sent
    size_t place;               // among the parked ones
    // The command's last arguments, which are put anew for each sending.
    size_t tail, tail_argc, tail_most;
    enum kvr_wait_stage stage;
    bool in_line, twin; // twin: another call has this id
    bool waits;         // the pool has said so, once at least
    bool fresh;         // and nothing has been sent since
    bool told;          // of its admission, while it was asking
    bool notify;        // its last sending named the channel
    bool unsure;        // the answer to a sending was lost: it may be booked
    bool ended;         // its caller has released the request
};

struct kvr_parked {
    const struct kvr_alloc *alloc;
    struct kvr_list_item line;
    struct kvr_table table;
    struct kvr_parked_call **heap; // the parked ones, by `until`
    size_t n_heap, heap_cap;       // heap_cap: bytes of it are for so many
    size_t n_line, n_twins;
    size_t waiting;  // of the line, those that the pool has said wait
    int64_t turn_at; // ms, when the last turn to ask was
    int64_t accept;  // the pool's ACCEPT
    bool mute;       // we may not name a channel
    bool said_mute;  // and that was logged
};

int kvr_parked_init(struct kvr_parked *p, const struct kvr_alloc *a,
                    uint64_t secret); // -1: no memory
void kvr_parked_free(struct kvr_parked *p);

// Before a call joins the line: room among the parked ones. false: no memory.
bool kvr_parked_reserve(struct kvr_parked *p);
void kvr_parked_join(struct kvr_parked *p, struct kvr_parked_call *w, struct kvr_bytes id);
void kvr_parked_leave(struct kvr_parked *p, struct kvr_parked_call *w);
// The calls in line with this id, one after another; NULL: no more.
struct kvr_parked_call *kvr_parked_find(const struct kvr_parked *p, struct kvr_bytes id,
                                        const struct kvr_parked_call *after);

void kvr_parked_add(struct kvr_parked *p, struct kvr_parked_call *w);
void kvr_parked_remove(struct kvr_parked *p, struct kvr_parked_call *w);
// The one whose time is over first; NULL: none is parked.
struct kvr_parked_call *kvr_parked_first(const struct kvr_parked *p);

// When the one that asked longest ago, at asked_at, is to ask again. subscribed: notifications come.
int64_t kvr_parked_turn_at(const struct kvr_parked *p, bool subscribed, int64_t asked_at);
// How many that asked before `low` ago may ask now, of those who are parked; the others have `high`.
struct kvr_parked_turns {
    int64_t low, high;
    size_t allowed;
} kvr_parked_turns(struct kvr_parked *p, bool subscribed, int64_t now);

// WAIT and NOTIFY; ms 0, channel NULL: without.
void kvr_parked_put(struct kvr_wire *w, int64_t ms, const char *channel);
// Puts what the call asks this time: how long it may still wait, and on which channel it is to be told.
void kvr_parked_prepare(const struct kvr_parked *p, struct kvr_parked_call *w,
                        struct kvr_command *command, const char *channel, int64_t now);
// A RELEASE of the calls in line from this one on, at most so many. false: no memory.
bool kvr_parked_withdraw(const struct kvr_parked *p, const char *pool,
                         const struct kvr_list_item *from, struct kvr_command *out, size_t most);

#endif
