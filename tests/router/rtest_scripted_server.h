// SPDX-License-Identifier: Apache-2.0
// A server on the test's own event loop that says just what a test wants it to.
#ifndef ROUTER_TEST_SERVER_H
#define ROUTER_TEST_SERVER_H

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SERVER_STREAMS = 256 };

struct server {
    struct event_base *base;
    // Request number n (from 0) has come in whole, or, with `early`, its head has.
    void (*serve)(struct server *s, size_t n, struct bufferevent *to);
    bool early;
    SSL_CTX *tls; // NULL: none
    bool rude;    // ends TLS without saying so
    size_t requests, connections, closed;
    char *head;        // of the latest request
    size_t body_bytes; // of the latest request
    uint64_t body_sum; // XXH3-64 of it
    char address[64];
    struct evconnlistener *listener;
    struct bufferevent *streams[SERVER_STREAMS]; // that are open
    int port;
};

void server_open(struct server *s, struct event_base *base,
                 void (*serve)(struct server *, size_t, struct bufferevent *));
// From now on it speaks TLS; its address says so. The context stays the caller's.
void server_secure(struct server *s, SSL_CTX *tls);
void server_close(struct server *s);
// Nobody can connect while it is shut.
void server_shut(struct server *s, bool shut);
void server_say(struct bufferevent *to, const char *text);
void server_say_whole(struct bufferevent *to, const char *body); // an answer of 200 with its head
void server_say_chunk(struct bufferevent *to, const char *text); // of a chunked body
// Ends the connection when all that was said has left; reset: at once, with an RST.
void server_end(struct bufferevent *to, bool reset);

#endif
