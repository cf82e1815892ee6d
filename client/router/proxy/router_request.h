// SPDX-License-Identifier: Apache-2.0
// A request on its way through the proxy: a state machine.
//
//                               ┌───────3────┬──────────┐
//                               v            │          │
//   READ ─────> TOKENIZE ────> CHOOSE ────> SEND ────> HEAD ────> RELAY ────> DONE
//     │                        ^ │ └┘1       └┘2
//     └───────────0────────────┘ 4
//                                v
//                            ABANDONED ─────────────────────────────────────> DONE
//
//   0  The body has the blocks, or nobody can be asked for them.
//   1  Nobody but suspects is left: they may be chosen, too.
//   2  A kept connection turned out to be over: the same engine, on a new one.
//   3  The engine failed, and the client has seen nothing of it: another one (router_retry.h).
//   4  The client left while the pool was choosing: what the pool books is still to be released.
//   From each state to DONE: the client has its answer, or has left.
//
// router_request_move() changes the state, and nothing else does: it checks the table of what may follow
// what (router_request.c), and calls what is done on entering the new state (the table in router_proxy.c).
// That may end the request, so nobody may touch a request after moving it.
//
//   TOKENIZE   router_tokenize.c    SEND, HEAD, RELAY       router_attempt.c
//   CHOOSE     router_choice.c      READ, ABANDONED, DONE   router_proxy.c
#ifndef ROUTER_REQUEST_H
#define ROUTER_REQUEST_H

#include <event2/event.h>
#include <jansson.h>
#include <kvroute/client.h>

#include "client/common/list.h"
#include "client/http1/h1_client.h"
#include "client/router/pools/router_circuit.h"
#include "client/router/pools/router_pools.h"
#include "client/router/prompt/router_prompt.h"
#include "client/router/router.h"
#include "client/router/router_exchange.h"
#include "router_retry.h"
#include "router_stream.h"

enum { ROUTER_MAX_TARGET = 2048 }; // bytes of a request's target

enum router_state {
    ROUTER_READ,      // what is asked, and of which pool
    ROUTER_TOKENIZE,  // an engine is asked for the prompt's token ids
    ROUTER_CHOOSE,    // the pool is asked for an engine
    ROUTER_SEND,      // the engine gets the request, or has it and says nothing yet
    ROUTER_HEAD,      // the head of its answer is here, and nothing of the body
    ROUTER_RELAY,     // the client has the head, and gets what comes
    ROUTER_ABANDONED, // only the pool's answer to SELECT is waited for
    ROUTER_DONE,      // freed
    ROUTER_STATES
};

struct router_request;

// What requests share.
struct router_proxy {
    struct router *router;
    struct h1_client *upstream;
    struct router_circuits *circuits;
    void (*const *enter)(struct router_request *r); // by state; NULL: nothing is done
    struct kvr_list_item requests;                  // under way
    struct event *tick;
    struct evbuffer *out; // pieces on their way
    double budget;        // retries that may be made now
    uint64_t random;      // for booking ids
    size_t turn;          // which worker is asked next for tokens or models
};

struct router_name {
    size_t n;
    char text[KVR_MAX_NAME];
};

struct router_request {
    struct kvr_list_item link; // of the proxy's requests
    struct router_proxy *proxy;
    struct router_exchange *x; // NULL in ABANDONED
    struct router_pool *pool;
    enum router_state state;
    enum router_prompt_kind kind;

    // READ, TOKENIZE: what the blocks are made of.
    json_t *json; // the body; while an engine is asked, only what it isn't asked for
    struct evbuffer *question, *response; // to /tokenize; what has come of its answer
    char asked[KVR_MAX_NAME + 1];         // the worker that is asked, or was last
    unsigned n_asked;

    // Up to RELAY: what is needed for one more try.
    struct router_prompt prompt;
    char *session; // its name; NULL: it is of none
    size_t session_size;
    char *headers; // for the engine; behind headers_size bytes, the rank
    size_t headers_size;
    bool any; // workers that are suspected may be chosen, too
    struct router_name tried[ROUTER_MAX_TRIES];
    unsigned n_tried;
    unsigned n_sent;  // engines that may have read the request
    bool turned_away; // by an engine whose queue was full
    // The engine that failed with this request, to be blamed if another one answers it; "": none.
    char accused[KVR_MAX_ADDR + 1];
    struct router_name accused_name;
    bool accused_reached;

    // TOKENIZE, SEND, HEAD, RELAY: the call to an engine.
    struct h1_call *call;        // NULL: it is over
    const struct h1_head *reply; // its head has come
    bool fresh;                  // on a new connection, since a kept one was over

    // SEND, HEAD, RELAY: the choice.
    char id[KVR_MAX_ID]; // of the booking
    size_t id_size;
    int64_t asked_us;          // when the pool was
    int64_t booked_us;         // when its answer came
    bool booked;               // the pool knows of it
    struct router_name worker; // n 0: there is no choice
    char address[KVR_MAX_ADDR + 1];
    uint32_t rank;
    bool given_up; // it was thought dead when it was chosen, and nobody else was left
    bool counted;  // how this try ended
    int64_t told_us, told_tokens; // what the pool was told last

    // HEAD, RELAY: the answer.
    struct router_stream stream;
    int status;       // that the client has; 0: it has none
    int64_t piece_us; // when the last piece came
};

static inline struct kvr_bytes router_name_bytes(const struct router_name *n) {
    return (struct kvr_bytes){n->text, n->n};
}

// The worker that was chosen.
static inline struct kvr_bytes router_request_worker(const struct router_request *r) {
    return router_name_bytes(&r->worker);
}

// In READ. NULL: no memory.
struct router_request *router_request_new(struct router_proxy *p, struct router_exchange *x,
                                          struct router_pool *pool, enum router_prompt_kind kind);
void router_request_move(struct router_request *r, enum router_state to);
// From READ or TOKENIZE to CHOOSE: the blocks are known, or can't be.
void router_request_blocks_known(struct router_request *r);
// To DONE. Returns the exchange, which is to be ended.
struct router_exchange *router_request_end(struct router_request *r);
// The same, and answers with an error.
void router_request_refuse(struct router_request *r, int status, const char *code,
                           const char *message);
void router_request_forget_body(struct router_request *r); // what was only for the blocks

#endif
