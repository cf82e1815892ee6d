// SPDX-License-Identifier: Apache-2.0
// The event loop of a handle that was given none: a handful of sockets and one timer, over poll().
#ifndef KVR_TRANSPORT_POLL_LOOP_H
#define KVR_TRANSPORT_POLL_LOOP_H

#include <kvroute/client.h>

#include "client/common/alloc.h"

struct kvr_poll_loop;

struct kvr_poll_loop *kvr_poll_loop_new(const struct kvr_alloc *a); // NULL: out of memory
void kvr_poll_loop_free(struct kvr_poll_loop *l);                   // may be NULL
struct kvr_loop kvr_poll_loop_interface(struct kvr_poll_loop *l);

// Waits at most ms (0: not at all) for a socket or the timer, and serves what is ready.
void kvr_poll_loop_turn(struct kvr_poll_loop *l, int64_t ms);

#endif
