// SPDX-License-Identifier: Apache-2.0
// The body that an engine gets: the client's, with what the request's legs need changed in it.
#ifndef ROUTER_OUTGOING_H
#define ROUTER_OUTGOING_H

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>

struct router_request;

// Which part of a request an engine computes.
enum router_leg_side {
    ROUTER_LEG_WHOLE,
    ROUTER_LEG_PREFILL, // the prompt, for another engine
    ROUTER_LEG_DECODE,  // the answer, from a prompt that another engine computes
};

// To be freed; it refers to the client's body, and keeps its bytes. NULL: no memory.
struct evbuffer *router_outgoing_body(const struct router_request *r, enum router_leg_side side);
// The path and the query that the client asked for, as both engines get them; returns `out`.
const char *router_outgoing_target(const struct router_request *r, char *out, size_t size);
// In SEND: r->outgoing, the body for the engine that was chosen, where that isn't the client's. False: no memory.
bool router_outgoing_make(struct router_request *r);
void router_outgoing_drop(struct router_request *r);
// Whether the body can be edited at all.
bool router_outgoing_editable(const struct router_request *r);

#endif
