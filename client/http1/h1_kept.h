// SPDX-License-Identifier: Apache-2.0
// Connections to engines, for h1_client.c: those that calls have, and those that are kept for the next one, by
// the URL that was called. Knows nothing of calls but that there are some.
#ifndef H1_KEPT_H
#define H1_KEPT_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/common/table.h"
#include "h1_address.h"
#include "h1_stream.h"
#include "h1_tls.h"

struct h1_call;

struct h1_kept_set {
    struct event_base *base;
    size_t keep_most; // unused connections a URL
    int64_t keep_ms;  // an unused one is closed after
    struct kvr_table origins;
    size_t n_idle, n_connections; // unused; all
    struct h1_tls *tls;           // NULL: nobody is called over TLS
    unsigned trust;               // how often that was set
};

// Who is being called, or has unused connections.
struct h1_origin {
    struct kvr_table_item item; // first; by its URL
    struct h1_address at;
    unsigned turn; // of the addresses that its name has, which the next connection tries first
    struct h1_kept *idle; // the latest first
    size_t n_idle, calls;
    struct h1_resumption resumption; // of the latest handshake
    char url[];                      // as it was given
};

struct h1_kept {
    struct h1_kept_set *set;
    struct h1_origin *origin;
    struct h1_stream *stream;
    SSL *ssl;                    // of the stream; NULL: it has none, or not yet
    bool open;                   // there was a handshake, and no error since
    unsigned trust;              // the set's, when it was made
    struct evbuffer *held;       // what is to be sent once there is TLS; NULL: nothing waits for it
    struct h1_call *call;        // NULL: unused
    struct h1_kept *prev, *next; // of the origin's unused
    int64_t since;               // unused
};

// Of a set that is all 0. False: no memory; end it nevertheless.
bool h1_kept_init(struct h1_kept_set *s, struct event_base *base);
// Closes what is unused; nothing else may be there.
void h1_kept_end(struct h1_kept_set *s);

// NULL: the URL isn't one that can be called (*wrong is set), or no memory.
struct h1_origin *h1_kept_origin(struct h1_kept_set *s, const char *url, bool *wrong);
// Forgets an origin on which nothing hangs any more; one that has calls, connections or a session stays.
void h1_kept_forget(struct h1_kept_set *s, struct h1_origin *o);

// A connection that was unused, the latest; NULL: there is none.
struct h1_kept *h1_kept_take(struct h1_origin *o);
// One that is yet to be made. NULL: no memory.
struct h1_kept *h1_kept_new(struct h1_kept_set *s, struct h1_origin *o);
// Where its request goes.
struct evbuffer *h1_kept_output(const struct h1_kept *k);
// The connection is there, for an https URL: TLS begins, on another stream, which has no callbacks yet. What was
// held goes out after the handshake. False: no memory; nothing has changed.
bool h1_kept_secure(struct h1_kept *k);
// Takes it over, in the place of the one before, under which nothing goes on: unused connections are closed, those
// in use aren't kept, sessions are forgotten. NULL: nobody is called over TLS.
void h1_kept_trust(struct h1_kept_set *s, struct h1_tls *tls);
// Its call is over: it is kept for another from `now` on (ms), or closed if there are enough.
void h1_kept_put(struct h1_kept *k, int64_t now);
void h1_kept_free(struct h1_kept *k); // closes it; NULL: nothing

// Closes one that is unused, because another is wanted more. False: there is none.
bool h1_kept_drop_any(struct h1_kept_set *s);
void h1_kept_drop_old(struct h1_kept_set *s, int64_t now);

#endif
