// SPDX-License-Identifier: Apache-2.0
// The event loop of a handle that was given none: a handful of sockets and one timer, over poll().
#ifndef KVR_LIB_POLL_LOOP_H
#define KVR_LIB_POLL_LOOP_H

#include <kvroute/client.h>

#include "client/common/alloc.h"

struct poll_loop;

struct poll_loop *poll_loop_new(const struct kvr_alloc *a); // NULL: out of memory
void poll_loop_free(struct poll_loop *l);                   // may be NULL
struct kvr_loop poll_loop_face(struct poll_loop *l);

// Waits at most ms (0: not at all) for a socket or the timer, and serves what is ready.
void poll_loop_turn(struct poll_loop *l, int64_t ms);

int64_t clock_ms(void); // monotonic

#endif
