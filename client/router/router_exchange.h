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
struct router_service;
struct router_tenant;
struct router_trace;

enum { ROUTER_MAX_REQUEST_ID = 128 };

// What a bearer token is for.
enum router_class {
    ROUTER_USER = 1,     // inference, through the proxy
    ROUTER_FRONTEND = 2, // advice
    ROUTER_OPERATOR = 4, // what all of it is doing, and what engines are to be left alone
    ROUTER_CLASSES = 7
};

// What the access log and the metrics say of a request; handlers fill in what they know.
struct router_record {
    char id[ROUTER_MAX_REQUEST_ID + 1]; // the client's X-Request-Id, or one made here
    char worker[KVR_MAX_NAME + 1];
    uint32_t rank;
    char prefill_worker[KVR_MAX_NAME + 1]; // who computed the prompt; "": the worker
    uint32_t prefill_rank;
    int64_t prefill_us; // from the choice to that one's answer; −1: none came
    char model[129];
    char code[24];           // of an error, "" if there was none
    int64_t blocks, overlap; // of the request, found; −1: nothing was chosen
    int64_t expected;        // found, or being computed there
    uint32_t block_size;     // tokens of each; 0: unknown
    int64_t input, output;   // tokens; −1: unknown
    int64_t cached;          // of the input, as the engine says; −1: it doesn't
    int64_t told_output;     // of the output, what the last minutes' figures have already
    unsigned tries;          // engines tried
    int64_t first_us;        // from the request's arrival to the first token; −1: none
    int64_t booked_us;       // from the choice to it, and what the pool took that to be; −1: none
    int64_t predicted_us;
    int64_t waited;         // ms that it waited for room; −1: nothing was chosen
    unsigned continued;     // times that its stream went on at another engine
    const char *protection; // how it can, or why it can't; NULL: it isn't one
    bool question;          // it is none to be served, but asks whether one would be
    bool degraded;          // the choice was made without Redis
    bool stream;
};

struct router_exchange;

struct router_route {
    const char
        *path; // {id} in it stands for any one segment, {name} at its end for all that is left
    unsigned methods; // of enum h1_method
    void (*handle)(struct router_exchange *x);
    int kind;         // for the handler: enum router_advice_kind or router_prompt_kind
    const char *name; // in metrics
    unsigned may;     // whose tokens: of enum router_class
    unsigned flags;
};
enum {
    ROUTER_ROUTE_OPEN = 1,      // needs no token
    ROUTER_ROUTE_DRAINING = 2,  // answered also when the router is draining or full
    ROUTER_ROUTE_ADMIN = 4,     // at admin_listen, if there is one, and nowhere else
    ROUTER_ROUTE_BOTH = 8,      // there, too
    ROUTER_ROUTE_ANY_TYPE = 16, // its body needn't be JSON
};

struct router_exchange {
    struct h1_exchange h1;
    struct router *router;
    const struct router_route *route; // NULL: there is none for it
    struct router_pool *pool;         // set by router_pools_take, given back with the exchange
    struct router_record record;
    struct router_tenant *tenant; // whom its token stands for; NULL: nobody
    unsigned may;                 // its token's classes, of enum router_class; 0: none was needed
    struct router_service
        *service; // its class and flow in the queue; NULL: the pool's default, and none
    struct router_trace *trace; // NULL: it isn't sampled
};

// The router's exchange that one of HTTP is part of.
static inline struct router_exchange *router_exchange(struct h1_exchange *x) {
    return (struct router_exchange *)x;
}

// Whole answers; the exchange is no more.
void router_json(struct router_exchange *x, int status, json_t *body); // takes the reference
// {"error": {"message": …, "type": …, "param": null, "code": …}}, as OpenAI's; of /v1/messages and below
// {"type": "error", "error": {"type": …, "message": …}, "request_id": …}, as Anthropic's. 503 says when to come back.
void router_error(struct router_exchange *x, int status, const char *code, const char *message);
// An error of the pool or of libkvroute. message NULL or "": a text of our own.
void router_pool_error(struct router_exchange *x, enum kvr_code code, const char *message);
// An answer to SELECT that is none of OK: what may come again later is told when.
void router_pool_refusal(struct router_exchange *x, const struct kvr_result *r);

#endif
