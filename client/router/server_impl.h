// SPDX-License-Identifier: Apache-2.0
// What server.c (connections), exchange.c (answers) and listen.c (sockets, TLS, tokens) share.
#ifndef ROUTER_SERVER_IMPL_H
#define ROUTER_SERVER_IMPL_H

#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <openssl/ssl.h>

#include "server.h"

enum {
    OUT_HIGH = 64 << 10, // bytes waiting for a client from which on it is slow
    OUT_LOW = 16 << 10,
    MOST_LISTENERS = 8,
    MOST_TOKENS = 64,
    MOST_TOKEN = 256,
    SWEEP_MS = 200, // how exact deadlines are
    LINGER_MS = 2000,
};

enum conn_state {
    CONN_HEAD,    // between requests, or in the middle of a head
    CONN_BODY,    // a head is read, its body comes
    CONN_ANSWER,  // the handler has it; what comes is left where it is
    CONN_CLOSING, // what is to be sent is sent, what comes is thrown away
};

struct conn {
    struct conn *next, **link; // of all connections
    struct server *server;
    struct bufferevent *bev;
    struct exchange *x; // in CONN_BODY and CONN_ANSWER
    enum conn_state state;
    int64_t deadline; // µs; of the state. None in CONN_ANSWER: handlers have their own
    size_t seen;      // of a head that isn't complete
    int64_t left;     // of a body whose length is known
    bool begun;       // something of a head has come
    bool working;     // conn_work is at it: it isn't freed, nor entered again
    bool dead;        // to be freed when that is done
    bool linger;      // the client may still be sending
    bool shut;        // our side is closed
    bool tls;
};

struct token {
    size_t n;
    char text[MOST_TOKEN];
};

struct server {
    struct router *router;
    struct evconnlistener *listeners[MOST_LISTENERS];
    bool listens_tls[MOST_LISTENERS];
    char paths[MOST_LISTENERS][108]; // of unix sockets, to be removed
    size_t n_listeners;
    SSL_CTX *tls;
    struct token tokens[MOST_TOKENS];
    size_t n_tokens;
    bool closed_to_most; // there are tokens
    struct conn *conns;
    struct event *sweep;
    struct server_stats stats;
    uint64_t dice[2]; // for ids
    bool resting;     // out of descriptors: accepts again at the next sweep
    time_t date_at;
    char date[32];
};

// listen.c
bool server_listen(struct server *s, char *error, size_t error_size);
void server_unlisten(struct server *s);
bool server_admits(const struct server *s, const struct http_head *h);

// server.c
void conn_accept(struct server *s, evutil_socket_t fd, bool tls);
void conn_work(struct conn *c);
void conn_free(struct conn *c);
// The answer is complete: what comes next on the connection. Its exchange is freed.
void conn_answered(struct conn *c, bool keep);

// exchange.c
struct exchange *exchange_new(struct conn *c);
void exchange_name(struct exchange *x); // its request id
void exchange_free(struct exchange *x); // counted, logged

#endif
