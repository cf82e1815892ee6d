// SPDX-License-Identifier: Apache-2.0
// Operations on their way: queued, sent, sent again, answered or given up.
//
// An operation is one call. It owns the bytes that it sends: its command, in which its id, names and
// blocks are. It is in one state at a time, and for each but the first and the last there is a list:
//
//   NEW ──submitted──> QUEUED ──> SENT ──reply──> REPLIED ──answered──> OVER
//                       ^  ^  ^     │              │  │  │                ^
//                       │  │  └─────│─ as CLAIM ───┘  │  │ TRYAGAIN       │
//                       │  └────────│──── 20 ms ──────│─ WAITING          │
//                       └───────────│─ RETURNED <─────┘                   │
//                                   │             connection lost         │
//                                   └─ deadline ──> ABANDONED ─ reply ────┘
//
//   state       it                                            what may follow
//   NEW         is being put together                         QUEUED, OVER (no memory)
//   QUEUED      waits for a primary, or for room              SENT, OVER (given up)
//   SENT        waits for its reply                           REPLIED, ABANDONED (given up)
//   ABANDONED   waits for its reply, its caller doesn't       REPLIED
//   REPLIED     is dealt with: its reply, or the              OVER, WAITING, RETURNED, QUEUED (it goes
//               connection's end, has come                    on as another command)
//   WAITING     goes again in a moment (TRYAGAIN)             QUEUED, OVER (given up)
//   PARKED      waits for room, in the pool's queue           QUEUED (asks again), OVER (given up)
//   RETURNED    was taken along by a connection               QUEUED, PARKED, OVER (closed)
//   OVER        is freed
//
// A call that waits for room goes from REPLIED to PARKED, and from there to QUEUED again: when the pool tells
// that it was admitted, when its turn has come (see parked.h), when its time is over, and when another primary is
// reached. The last of these happens in the order in which the calls were made, so that a pool that has lost its
// queue has them in their order again.
//
// Order is kept: what a connection takes with it comes back to the front of the queue as it was. Only
// a call that the server asks to repeat, or that waits for room, stands aside while others pass it.
//
// What an answer means for what the handle remembers isn't known here: the functions in `events` do.
#ifndef KVR_CALLS_OPERATION_H
#define KVR_CALLS_OPERATION_H

#include "client/common/arena.h"
#include "client/common/list.h"
#include "client/lib/transport/transport.h"
#include "parked.h"

enum kvr_operation_kind {
    KVR_CALL_SELECT,
    KVR_CALL_SCORE,
    KVR_CALL_EXPLAIN,
    KVR_CALL_UPDATE,
    KVR_CALL_UPDATE_CLAIM, // an UPDATE that found its request gone and books it back
    KVR_CALL_RELEASE,
    KVR_CALL_CLAIM,
    KVR_CALL_WORKER_SET,
    KVR_CALL_WORKER_DEL,
    KVR_CALL_WORKER_LIST,
    KVR_CALL_REPORT,
    KVR_CALL_EVENT,
    KVR_CALL_INFO,
    KVR_CALL_SERVER,
    KVR_CALL_CONNECTIONS,
    KVR_CALL_POOLS,
    KVR_CALL_QUEUE,
    KVR_CALL_CLASS_SET,
    KVR_CALL_CLASS_DEL,
    KVR_CALL_CLASS_LIST,
    KVR_CALL_FLOW_SET,
    KVR_CALL_FLOW_DEL,
    KVR_CALL_FLOW_LIST,
};

enum kvr_operation_state {
    KVR_OPERATION_NEW,
    KVR_OPERATION_QUEUED,
    KVR_OPERATION_SENT,
    KVR_OPERATION_ABANDONED,
    KVR_OPERATION_REPLIED,
    KVR_OPERATION_WAITING,
    KVR_OPERATION_PARKED,
    KVR_OPERATION_RETURNED,
    KVR_OPERATION_OVER,
    KVR_OPERATION_STATES,
};

// Encoded arguments inside a command.
struct kvr_fragment {
    const char *p;
    size_t n, argc;
};

// What is said of a request: enough to book it again. Strings are those of a command.
struct kvr_booked_request {
    struct kvr_fragment blocks;           // salts included
    struct kvr_bytes session;             // empty: of none
    struct kvr_bytes service_class, flow; // empty: `default`, and none
    struct kvr_bytes prefill_worker;      // empty: it is no pair
    uint32_t prefill_rank;
    int64_t isl, osl, cached, output, lease; // 0: not said; lease: KVR_NO_LEASE
    bool prefilled;
    bool may_have_waited; // a history that lacks its owner's coming would end it
};

// Lists of names in the command of a SELECT, in this order and at its end. A list that isn't there has
// no names; only AMONG may be there and empty.
enum kvr_name_list { KVR_AMONG, KVR_EXCLUDE, KVR_WITH, KVR_WITHOUT, KVR_NAME_LISTS };

struct kvr_operation {
    struct kvr_list_item in;
    struct kvr_calls *calls;
    enum kvr_operation_kind kind;
    enum kvr_operation_state state;
    struct kvr_command command;
    kvr_done *done;
    void *ctx;
    int64_t deadline;   // KVR_NEVER: a publisher's
    int64_t not_before; // WAITING
    unsigned sendings;
    bool answered; // its caller has had an answer, or wants none any more
    bool blocking; // its result is kept until the next blocking call
    // What the command says, in the command's bytes.
    struct kvr_bytes id;               // SELECT, CLAIM, UPDATE
    struct kvr_bytes worker;           // CLAIM, WORKER SET, WORKER DEL
    uint32_t rank;                     // CLAIM
    struct kvr_booked_request booking; // SELECT, CLAIM; UPDATE: its progress and lease
    const char *names;                 // SELECT
    size_t n_names[KVR_NAME_LISTS];
    bool among;
    const char *ids; // RELEASE
    size_t n_ids;
    const struct kvr_worker_call *said; // WORKER SET, WORKER DEL, until it is submitted
    struct kvr_parked_call wait;        // SELECT that may wait for room
    // For what remembers.
    void *reserved; // memory that will be needed when a request is booked; NULL: none, or used
    void *subject;  // UPDATE_CLAIM: the request that is booked back
    size_t n_live;  // RELEASE: of these ids, ours
};

// What is done about an operation by what remembers.
struct kvr_calls_events {
    void *ctx;
    // A primary has answered, and its caller will be. false: the op has been queued anew instead.
    bool (*answered)(void *ctx, struct kvr_operation *o, struct kvr_result *r);
    // It gets no answer from a primary in time. May put another result in the place of *r.
    void (*given_up)(void *ctx, struct kvr_operation *o, struct kvr_result *r);
    void (*pool_gone)(void *ctx); // NOPOOL was answered
    // The pool has said that it waits for room.
    void (*waits)(void *ctx, const struct kvr_operation *o, int64_t version);
    // Whether what this error says is missing may still be coming back.
    bool (*may_come_back)(void *ctx, const struct kvr_operation *o, enum kvr_code code,
                          int64_t now);
};

struct kvr_calls {
    struct kvr_context *context;
    struct kvr_transport *transport;
    struct kvr_calls_events events;
    size_t max_pending;
    bool degrade, closed;
    struct kvr_list_item lists[KVR_OPERATION_STATES];
    size_t pending; // callers without an answer
    size_t sent_count, sent_bytes;
    size_t unwritten_count, unwritten_bytes; // handed to hiredis since the loop last turned
    int64_t next_deadline;                   // not after the first one of a pending call
    struct kvr_parked parked;
    struct kvr_arena passing, kept; // strings of results: of callbacks; of the last blocking call
};

// context, transport, events, max_pending and degrade are set. -1: no memory.
int kvr_calls_init(struct kvr_calls *c, uint64_t secret);
void kvr_calls_close(struct kvr_calls *c); // answers all with CLOSED; the transport is disconnected
void kvr_calls_free(struct kvr_calls *c);

// deadline: ms from now, 0: the handle's, or KVR_NEVER. NULL: no memory.
struct kvr_operation *kvr_operation_new(struct kvr_calls *c, enum kvr_operation_kind kind,
                                        int64_t deadline, kvr_done *done, void *ctx);
void kvr_operation_discard(struct kvr_operation *o); // one that can't be submitted
void kvr_operation_submit(struct kvr_operation *o);  // takes the op over
// A REPLIED op goes on as this command, before all others. Takes over the command.
void kvr_operation_continue(struct kvr_operation *o, enum kvr_operation_kind kind,
                            const struct kvr_command *command);

void kvr_calls_pump(struct kvr_calls *c);  // sends what can be sent
void kvr_calls_write(struct kvr_calls *c); // what was sent goes out without waiting for the loop
void kvr_calls_connection_lost(struct kvr_calls *c);     // what was sent is to be sent again
void kvr_calls_primary_ready(struct kvr_calls *c);       // what waits for room asks again
void kvr_calls_expire(struct kvr_calls *c, int64_t now); // deadlines, and what waited to go again
int64_t kvr_calls_wake_at(const struct kvr_calls *c);
// Its caller has released a request: a SELECT of it that may wait for room is answered so, in the tick.
void kvr_calls_end_waiting(struct kvr_calls *c, struct kvr_bytes id);
// Tells the pool that those who wait for room don't any more; before the transport is disconnected.
void kvr_calls_withdraw(struct kvr_calls *c);
// No callback with this ctx comes any more; what isn't sent is dropped, and the rest isn't sent again.
void kvr_calls_detach(struct kvr_calls *c, void *ctx);

#endif
