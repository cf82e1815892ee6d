// SPDX-License-Identifier: Apache-2.0
// Calls to engines over HTTP/1.1, on connections that are kept.
//
//   start ──> connect [──> handshake] ──> request ──> head ──> data … data ──> end
//                └────────────┴──────────────┴──────────┴────────┴──> failed
//
// A call is over with `end` or `failed`, one of them, once, or with h1_call_cancel,
// after which nothing is called. Nothing is called before h1_call_start returns. Callbacks may start,
// pause and cancel any call.
//
// What an engine sends is handed on as it comes. While a call is paused, nothing is read from its
// connection: up to H1_READ_AHEAD bytes wait here, the rest in the sockets, and then the engine has
// to wait. No call is tried again here, because only the caller knows whether that is wise; but he
// is told when a kept connection turned out to be over before anything came (H1_STALE), which
// says nothing against the engine.
#ifndef H1_CLIENT_H
#define H1_CLIENT_H

#include <event2/event.h>

#include "h1_parse.h"

enum { H1_READ_AHEAD = 65536 };

struct evdns_base;
struct h1_client;
struct h1_call;
struct h1_tls;

struct h1_client_options {
    int64_t connect_ms; // to reach an engine, and for the handshake
    // From the request to the first byte of the answer's body: heads may come early.
    int64_t head_ms;
    int64_t idle_ms;        // between two pieces of the body
    int64_t keep_ms;        // an unused connection is closed after
    size_t keep_most;       // unused connections an address
    size_t max_connections; // at a time, unused ones included; 0: as many as there are descriptors
};

enum h1_failure {
    H1_STALE,     // see above; a new connection may do
    H1_CONNECT,   // nobody there, or not in time
    H1_LOCAL,     // nobody was asked: out of connections, descriptors, ports or memory, no resolver
    H1_RESET,     // the connection ended in the middle
    H1_TIMEOUT,   // head_ms, idle_ms or all_ms have passed
    H1_MALFORMED, // what came is no HTTP
    H1_TLS, // reached, but no handshake: its certificate, or ours, or it speaks no TLS; the log says
};
const char *h1_failure_name(enum h1_failure f);

struct h1_callbacks {
    void (*head)(void *ctx,
                 const struct h1_head *response);    // lasts to the call's very end
    void (*data)(void *ctx, struct evbuffer *bytes); // what isn't taken is dropped
    void (*end)(void *ctx);
    void (*failed)(void *ctx, enum h1_failure why);
};

struct h1_request {
    const char *address; // http[s]://host[:port][/prefix]
    const char *method, *path;
    // Whole lines with their ends; Host and Content-Length are added. May be NULL.
    const char *headers;
    struct evbuffer *body; // NULL: none. Referred to, so it stays as it is
    bool fresh;            // on a new connection
    int64_t head_ms;       // instead of the options', and at most so long to connect; 0: theirs
    int64_t all_ms;        // for all of it, however often something comes; 0: as long as it comes
};

// NULL: no memory.
struct h1_client *h1_client_new(struct event_base *base, const struct h1_client_options *options);
void h1_client_free(struct h1_client *client); // cancels all calls
// Ends a program's loop, after all that was on it; NULL: nothing. A stream that was freed with a callback due is
// no more only when the loop has seen to that: so it turns once, before it is freed.
void h1_loop_free(struct event_base *base);
void h1_client_configure(struct h1_client *client,
                         const struct h1_client_options *o); // from now on
// Whom https URLs are believed by (h1_tls.h), from now on; connections that were made before aren't used again. Is
// the client's. NULL, as at first: such URLs are none.
void h1_client_trust(struct h1_client *client, struct h1_tls *tls);

struct h1_handshakes {
    uint64_t full, resumed;     // that went well
    uint64_t untrusted, failed; // by the engine's certificate; by anything else
};
const struct h1_handshakes *h1_client_handshakes(const struct h1_client *client); // since the start

// port is copied. NULL: the address isn't one (*wrong is set), or no memory.
struct h1_call *h1_call_start(struct h1_client *client, const struct h1_request *request,
                              const struct h1_callbacks *port, void *ctx, bool *wrong);
void h1_call_cancel(struct h1_call *c); // NULL: nothing
void h1_call_pause(struct h1_call *c);
void h1_call_resume(struct h1_call *c);

struct evdns_base *h1_client_resolver(const struct h1_client *client); // NULL: it has none
size_t h1_client_calls(const struct h1_client *client);                // under way
size_t h1_client_kept(const struct h1_client *client);                 // unused connections

#endif
