// SPDX-License-Identifier: Apache-2.0
// The events of a stream that is kept, on their way from the engine to the client (router_kept.h).
#ifndef ROUTER_KEPT_EVENTS_H
#define ROUTER_KEPT_EVENTS_H

#include "router_kept.h"

enum {
    ROUTER_KEPT_MAX_EVENT = 8 << 20,   // bytes; the first one has the prompt's ids
    ROUTER_KEPT_MAX_PENDING = 1 << 16, // bytes of events without text
};

enum router_kept_outcome {
    ROUTER_KEPT_GOOD,
    ROUTER_KEPT_NO_MEMORY,
    ROUTER_KEPT_ABORTED, // the engine ended it as if it were complete
    ROUTER_KEPT_ERROR,   // it says that it failed
    ROUTER_KEPT_STOPPED, // there is a stop string across the joint: nothing more is to come
};

// Moves to `out` what may go on of `in`, which is empty afterwards. ABORTED, ERROR: only of one that can go on;
// the event that says so, and what came behind it, isn't passed on.
enum router_kept_outcome router_kept_pass(struct router_kept *k, struct evbuffer *in,
                                          struct evbuffer *out);
// The engine has said all: what was held goes. False: no memory.
bool router_kept_end(struct router_kept *k, struct evbuffer *out);

#endif
