// SPDX-License-Identifier: Apache-2.0
// A handle: the transport, the calls and the recovery over one clock, and what a publisher uses of it:
// events that are sent until they are answered, news of other histories, and time.
//
//     client_api.c (the public calls)      publisher/
//          └────────────┬────────────────┘
//                   handle.c         opening, closing, the tick
//          ┌────────────┼────────────────┐
//     recovery/ ──>   calls/  ──>   transport/       each knows those to its right
//
// Everything that takes time happens in the tick, which the loop's timer calls. Closing is put off while
// anything of the handle is on the stack: a caller's callback, the tick, a blocking call, a run or a drain.
#ifndef KVR_LIB_HANDLE_H
#define KVR_LIB_HANDLE_H

#include "client/common/spares.h"
#include "client/lib/recovery/recovery.h"
#include "client/lib/transport/poll_loop.h"

// Something that lives on a handle and follows what becomes of it. Its callbacks come out of the
// handle's timer, never out of a call that the follower itself has made.
struct kvr_follower {
    struct kvr_follower *prev, *next; // the handle's
    int64_t wake_at;                  // kvr_handle_wake(); KVR_NEVER: not at all
    // The pool that answers from now on may lack what had been acknowledged.
    void (*history)(struct kvr_follower *f);
    // wake_at is over; it has been set to KVR_NEVER.
    void (*wake)(struct kvr_follower *f, int64_t now);
};

struct kvr_client {
    struct kvr_context context;
    struct kvr_spares spares; // what the context allocates from
    struct kvr_loop loop;
    struct kvr_poll_loop *own; // the loop, if the caller has given none
    void *timer;
    int64_t timer_at;  // KVR_NEVER: not set
    int64_t ticked_at; // ms
    char *pool;
    struct kvr_transport transport;
    struct kvr_calls calls;
    struct kvr_recovery recovery;
    struct kvr_follower followers; // the head
    struct kvr_result result;      // of the last blocking call
    bool has_result;
    unsigned turns; // blocking calls, runs and drains on the stack: they outlast a close
    bool closing;
};

// After turning the handle's own loop, with c->turns raised around it. false: the handle was closed, and may
// be gone.
bool kvr_handle_leave(struct kvr_client *c);

// ---- For publishers ------------------------------------------------------------------------------

void kvr_handle_follow(struct kvr_client *c, struct kvr_follower *f);
void kvr_handle_unfollow(struct kvr_follower *f);
// 0: as soon as possible
void kvr_handle_wake(struct kvr_client *c, struct kvr_follower *f, int64_t at);

// Sends an EVENT command (the whole of it, encoded) as soon as there is a primary, and again after
// every failure, in the order of the calls: it has no deadline, and max_pending doesn't hold for it.
// Takes over the command when it returns KVR_CODE_OK; else NOMEM or CLOSED, and it is the caller's.
// done gets the pool's answer, or CLOSED.
enum kvr_code kvr_handle_send(struct kvr_client *c, struct kvr_command *command, kvr_done *done,
                              void *ctx);

#endif
