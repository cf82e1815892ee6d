// SPDX-License-Identifier: Apache-2.0
// Calls to engines over HTTP/1.1, on connections that are kept.
//
//   start ──> connect ──> request ──> head ──> data … data ──> end
//                └───────────┴──────────┴────────┴──> failed
//
// A call is over with `end` or `failed`, one of them, once, or with upstream_cancel,
// after which nothing is called. Nothing is called before upstream_start returns. Callbacks may start,
// pause and cancel any call.
//
// What an engine sends is handed on as it comes. While a call is paused, nothing is read from its
// connection: up to UPSTREAM_AHEAD bytes wait here, the rest in the sockets, and then the engine has
// to wait. No call is tried again here, because only the caller knows whether that is wise; but he
// is told when a kept connection turned out to be over before anything came (UPSTREAM_STALE), which
// says nothing against the engine.
#ifndef ROUTER_UPSTREAM_H
#define ROUTER_UPSTREAM_H

#include <event2/event.h>

#include "reply.h"

enum { UPSTREAM_AHEAD = 65536 };

struct upstream;
struct upstream_call;

struct upstream_options {
    int64_t connect_ms; // to reach an engine
    int64_t
        head_ms; // from the request to the first byte of the answer's body: heads may come early
    int64_t idle_ms;  // between two pieces of the body
    int64_t keep_ms;  // an unused connection is closed after
    size_t keep_most; // unused connections an address
};

enum upstream_failure {
    UPSTREAM_STALE,    // see above; a new connection may do
    UPSTREAM_CONNECT,  // nobody there, or not in time
    UPSTREAM_RESET,    // the connection ended in the middle
    UPSTREAM_TIMEOUT,  // head_ms or idle_ms have passed
    UPSTREAM_NONSENSE, // what came is no HTTP
};
const char *upstream_failure_name(enum upstream_failure f);

struct upstream_port {
    void (*head)(void *ctx,
                 const struct reply *reply);         // lasts to the call's very end
    void (*data)(void *ctx, struct evbuffer *bytes); // what isn't taken is dropped
    void (*end)(void *ctx);
    void (*failed)(void *ctx, enum upstream_failure why);
};

struct upstream_request {
    const char *address; // http://host[:port][/prefix]
    const char *method, *path;
    const char
        *headers; // whole lines with their ends; Host and Content-Length are added. May be NULL
    struct evbuffer *body; // NULL: none. Referred to, so it stays as it is
    bool fresh;            // on a new connection
    int64_t head_ms;       // instead of the options', and at most so long to connect; 0: theirs
};

// NULL: no memory.
struct upstream *upstream_new(struct event_base *base, const struct upstream_options *options);
void upstream_free(struct upstream *u);                                     // cancels all calls
void upstream_change(struct upstream *u, const struct upstream_options *o); // from now on

// port is copied. NULL: the address isn't one (*wrong is set), or no memory.
struct upstream_call *upstream_start(struct upstream *u, const struct upstream_request *request,
                                     const struct upstream_port *port, void *ctx, bool *wrong);
void upstream_cancel(struct upstream_call *c); // NULL: nothing
void upstream_pause(struct upstream_call *c);
void upstream_resume(struct upstream_call *c);

// Whether an address is one that can be called.
bool upstream_is_address(const char *address);

size_t upstream_calls(const struct upstream *u); // under way
size_t upstream_kept(const struct upstream *u);  // unused connections

#endif
