// SPDX-License-Identifier: Apache-2.0
// A request as the router sees it: HTTP's exchange, and what the router knows besides. Handlers get one
// of these, and answer by the functions of h1_server.h on `&x->h1` or by those below.
#ifndef ROUTER_EXCHANGE_H
#define ROUTER_EXCHANGE_H

#include <jansson.h>
#include <kvroute/client.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/http1/h1_server.h"

struct router;
struct router_pool;

enum { ROUTER_MAX_REQUEST_ID = 128 };

// What the access log and the metrics say of a request; handlers fill in what they know.
struct router_record {
    char id[ROUTER_MAX_REQUEST_ID + 1]; // the client's X-Request-Id, or one made here
    char worker[KVR_MAX_NAME + 1];
    uint32_t rank;
    char model[129];
    char code[24];           // of an error, "" if there was none
    int64_t blocks, overlap; // of the request, found; −1: nothing was chosen
    int64_t expected;        // found, or being computed there
    int64_t input, output;   // tokens; −1: unknown
    unsigned tries;          // engines tried
    int64_t first_us;        // from the request's arrival to the first token; −1: none
    int64_t booked_us;       // from the choice to it, and what the pool took that to be; −1: none
    int64_t predicted_us;
    bool degraded; // the choice was made without Redis
    bool stream;
};

struct router_exchange;

struct router_route {
    const char *path;
    unsigned methods; // of enum h1_method
    void (*handle)(struct router_exchange *x);
    int kind;         // for the handler: enum router_advice_kind or router_prompt_kind
    const char *name; // in metrics
    unsigned flags;
};
enum {
    ROUTER_ROUTE_OPEN = 1,    // needs no token
    ROUTER_ROUTE_DRAINING = 2 // answered also when the router is draining or full
};

struct router_exchange {
    struct h1_exchange h1;
    struct router *router;
    const struct router_route *route; // NULL: there is none for it
    struct router_pool *pool;         // set by router_pools_take, given back with the exchange
    struct router_record record;
};

// The router's exchange that one of HTTP is part of.
static inline struct router_exchange *router_exchange(struct h1_exchange *x) {
    return (struct router_exchange *)x;
}

// Whole answers; the exchange is no more.
void router_json(struct router_exchange *x, int status, json_t *body); // takes the reference
// {"error": {"code": …, "message": …}}. 503 says when to come back.
void router_error(struct router_exchange *x, int status, const char *code, const char *message);
// An error of the pool or of libkvroute. message NULL or "": a text of our own.
void router_pool_error(struct router_exchange *x, enum kvr_code code, const char *message);

#endif
