// SPDX-License-Identifier: Apache-2.0
// Which trace a request is part of, as headers say it (W3C Trace Context): traceparent and tracestate.
#ifndef ROUTER_TRACEPARENT_H
#define ROUTER_TRACEPARENT_H

#include <stdbool.h>
#include <stdint.h>

#include "client/http1/h1_parse.h"

enum { ROUTER_TRACE_SAMPLED = 1 }; // of the flags
// "traceparent: 00-…-…-01\r\n" and a NUL.
enum { ROUTER_TRACEPARENT_LINE = 72 };

struct router_trace_context {
    uint64_t trace[2]; // not both 0
    uint64_t span;     // the sender's; not 0
    unsigned flags;
};

// False: there is none, there are several, or it isn't just as the standard has it.
bool router_traceparent_read(const struct h1_head *h, struct router_trace_context *out);
// As a line of a request's head.
void router_traceparent_write(char out[ROUTER_TRACEPARENT_LINE],
                              const struct router_trace_context *c);
// Whether the headers tracestate, if there are any, are such that they may be passed on.
bool router_tracestate_fits(const struct h1_head *h);

#endif
