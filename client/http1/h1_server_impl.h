// SPDX-License-Identifier: Apache-2.0
// What h1_connection.c (connections), h1_exchange.c (answers) and h1_listen.c (sockets, TLS) share.
#ifndef H1_SERVER_IMPL_H
#define H1_SERVER_IMPL_H

#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <openssl/ssl.h>

#include "h1_server.h"

enum {
    H1_OUT_HIGH = 64 << 10, // bytes waiting for a client from which on it is slow
    H1_OUT_LOW = 16 << 10,
    H1_MAX_LISTENERS = 8,
    H1_SWEEP_MS = 200, // how exact deadlines are
    H1_LINGER_MS = 2000,
};

enum h1_connection_state {
    H1_CONNECTION_HEAD,    // between requests, or in the middle of a head
    H1_CONNECTION_BODY,    // a head is read, its body comes
    H1_CONNECTION_ANSWER,  // the handler has it; what comes is left where it is
    H1_CONNECTION_CLOSING, // what is to be sent is sent, what comes is thrown away
};

struct h1_connection {
    struct h1_connection *next, **link; // of all connections
    struct h1_server *server;
    struct bufferevent *bev;
    struct h1_exchange *x; // in H1_CONNECTION_BODY and H1_CONNECTION_ANSWER
    enum h1_connection_state state;
    int64_t deadline; // µs; of the state. None in H1_CONNECTION_ANSWER: handlers have their own
    size_t seen;      // of a head that isn't complete
    bool begun;       // something of a head has come
    bool working;     // work() is at it: it isn't freed, nor entered again
    bool dead;        // to be freed when that is done
    bool linger;      // the client may still be sending
    bool shut;        // our side is closed
    bool tls;
};

struct h1_server {
    struct h1_server_options options; // its texts are not kept
    struct evconnlistener *listeners[H1_MAX_LISTENERS];
    bool listens_tls[H1_MAX_LISTENERS];
    char paths[H1_MAX_LISTENERS][108]; // of unix sockets, to be removed
    size_t n_listeners;
    SSL_CTX *tls;
    struct h1_connection *connections;
    struct event *sweep;
    struct h1_server_stats stats;
    // Of h1_connection.c, for those that it calls itself.
    void (*accept)(struct h1_server *s, evutil_socket_t fd, bool tls);
    // The answer is complete: what comes next on the connection. Its exchange is freed.
    void (*answered)(struct h1_connection *c, bool keep);
    bool draining;
    bool resting; // out of descriptors: accepts again at the next sweep
    time_t date_at;
    char date[32];
};

// h1_listen.c
bool h1_listen(struct h1_server *s, char *error, size_t error_size);
// The certificate that the options name. False with a reason: what was stays.
bool h1_read_certificate(struct h1_server *s, const struct h1_server_options *o, char *error,
                         size_t error_size);

// h1_exchange.c
struct h1_exchange *h1_exchange_new(struct h1_connection *c);
void h1_exchange_free(struct h1_exchange *x);

#endif
