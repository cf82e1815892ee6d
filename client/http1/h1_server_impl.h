// SPDX-License-Identifier: Apache-2.0
// What h1_connection.c (connections), h1_exchange.c (answers) and h1_listen.c (sockets, TLS) share.
#ifndef H1_SERVER_IMPL_H
#define H1_SERVER_IMPL_H

#include <event2/listener.h>
#include <openssl/ssl.h>

#include "h1_server.h"
#include "h1_stream.h"

enum {
    H1_OUT_HIGH = 64 << 10, // bytes waiting for a client from which on it is slow
    H1_OUT_LOW = 16 << 10,
    H1_ADMIN_CONNECTIONS = 8, // beyond max_connections
    H1_SWEEP_MS = 200,        // how exact deadlines are
    H1_LINGER_MS = 2000,
    H1_PAUSE_US = 1000,
    H1_PAUSE_TURNS = 8,
    H1_LATE_MS = 1000, // what an idle client sends so long after its time is still read
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
    struct h1_stream *stream;
    struct h1_exchange *x; // in H1_CONNECTION_BODY and H1_CONNECTION_ANSWER
    enum h1_connection_state state;
    int64_t deadline; // µs; of the state. None in H1_CONNECTION_ANSWER: handlers have their own
    size_t seen;      // of a head that isn't complete
    bool begun;       // something of a head has come
    bool used;        // it has had a request
    bool working;     // work() is at it: it isn't freed, nor entered again
    bool dead;        // to be freed when that is done
    bool linger;      // the client may still be sending
    bool shut;        // our side is closed
    bool tls, admin;
};

struct h1_listener {
    struct evconnlistener *socket;
    enum h1_place place;
    char path[108]; // of a unix socket that we remove; "": none
    bool given;     // as in h1_socket
    bool theirs;    // inherited, and the server that has it isn't replaced yet
};

struct h1_server {
    struct h1_server_options options; // its texts and sockets are not kept
    struct h1_listener listeners[H1_MAX_LISTENERS];
    size_t n_listeners;
    // Of inherited sockets that aren't wanted: removed when the server that had them is replaced.
    char dropped[H1_MAX_LISTENERS][108];
    size_t n_dropped;
    SSL_CTX *tls;
    struct h1_connection *connections;
    struct event *sweep;
    struct h1_server_stats stats;
    // Of h1_connection.c, for those that it calls itself.
    void (*accept)(struct h1_server *s, evutil_socket_t fd, enum h1_place place);
    // The answer is complete: what comes next on the connection. Its exchange is freed.
    void (*answered)(struct h1_connection *c, bool keep);
    bool draining;
    int64_t last_idle_ms; // of h1_server_drain
    bool held;            // accepts nothing yet
    bool resting;         // out of descriptors: accepts again at the next sweep
    // Lets others go first (`yields`) until `pause` has passed; so many that it accepts after that all the same, in
    // case nobody does.
    bool yielding;
    unsigned turns;
    struct event *pause; // NULL: there are no others
    time_t date_at;
    char date[32];
};

// h1_listen.c
void h1_listen_again(struct h1_server *s);                          // after it rested
void h1_listen_pause(evutil_socket_t fd, short what, void *server); // has passed
// Connections are more or fewer. Whether others go first.
bool h1_listen_count(struct h1_server *s);
bool h1_listen(struct h1_server *s, char *error, size_t error_size);
// The certificate that the options name. False with a reason: what was stays.
bool h1_read_certificate(struct h1_server *s, const struct h1_server_options *o, char *error,
                         size_t error_size);

// h1_exchange.c
struct h1_exchange *h1_exchange_new(struct h1_connection *c);
void h1_exchange_free(struct h1_exchange *x);

#endif
