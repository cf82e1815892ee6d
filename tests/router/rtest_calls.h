// SPDX-License-Identifier: Apache-2.0
// Calls of an HTTP client to a scripted server, on one loop, and what became of them.
#ifndef RTEST_CALLS_H
#define RTEST_CALLS_H

#include "client/http1/h1_client.h"
#include "rtest_scripted_server.h"

enum { RTEST_CALL_WAIT_MS = 60000 };

struct rtest_calls {
    struct event_base *base;
    struct h1_client *up;
    struct server server;
    int64_t all_ms; // of each call
    bool
        tls; // the server speaks TLS, with a certificate that the client trusts; set before it begins
    SSL_CTX *server_tls;
};
extern struct rtest_calls rtest_calls;
extern const struct h1_client_options rtest_calls_usual;
extern const struct h1_callbacks rtest_calls_port; // with a struct rtest_heard

// What became of a call.
struct rtest_heard {
    struct h1_call *call;
    struct evbuffer *body;
    char type[100];
    int status, heads, ends, failures;
    enum h1_failure why;
    enum {
        RTEST_NOTHING,
        RTEST_PAUSE_AT_HEAD,
        RTEST_PAUSE_AT_DATA,
        RTEST_CANCEL_AT_HEAD,
        RTEST_CANCEL_AT_DATA
    } then;
};

void rtest_calls_up(void (*serve)(struct server *, size_t, struct bufferevent *),
                    const struct h1_client_options *options);
void rtest_calls_down(void);
// Answers "ok" to everything.
void rtest_calls_ok(struct server *s, size_t n, struct bufferevent *to);
void rtest_calls_turn(int ms);

void rtest_call_start(struct rtest_heard *h, const char *address, struct evbuffer *body,
                      bool fresh);
void rtest_call_await(struct rtest_heard *h);
void rtest_call_forget(struct rtest_heard *h);
struct rtest_heard rtest_call_get(const char *address, bool fresh);
bool rtest_call_body_is(struct rtest_heard *h, const char *text);
enum h1_failure rtest_call_failure(const char *address); // the call must fail

#endif
