// SPDX-License-Identifier: Apache-2.0
// What proxy.c (from the request to the choice), tokens.c, forward.c (from the choice to the answer's
// end) and models.c share.
#ifndef ROUTER_PROXY_IMPL_H
#define ROUTER_PROXY_IMPL_H

#include <event2/event.h>
#include <jansson.h>
#include <kvroute/client.h>

#include "circuit.h"
#include "client/http1/h1_client.h"
#include "pools.h"
#include "prompt.h"
#include "proxy.h"
#include "router.h"
#include "router_exchange.h"
#include "stream.h"

enum { MOST_TRIES = 8, MOST_TARGET = 2048 }; // a target's bytes

struct proxy {
    struct router *router;
    struct h1_client *upstream;
    struct circuits *circuits;
    struct forwarded *all; // under way
    struct event *tick;
    struct evbuffer *out; // pieces on their way
    double budget;        // retries that may be made now
    uint64_t dice;        // for booking ids
    size_t turn;          // which worker is asked next for tokens or models
};

// A request under way.
struct forwarded {
    struct proxy *proxy;
    struct router_exchange *x; // NULL: it has ended, and only the pool's answer is waited for
    struct pool *pool;
    struct forwarded *prev, *next;
    enum prompt_kind kind;
    json_t *json; // until its blocks are known, or /tokenize is asked; then only what salts them
    struct evbuffer *question, *told; // for /tokenize, and what it has answered so far
    char asked[KVR_MAX_NAME + 1];     // the worker that is asked, or was last
    unsigned n_asked;
    struct prompt prompt;
    char *session; // its name; NULL: it is of none
    size_t session_size;
    char *headers; // for the engine; behind headers_size bytes, the rank
    size_t headers_size;
    struct h1_call *call;

    // The choice.
    char id[KVR_MAX_ID];
    size_t id_size;
    int64_t asked_us;
    bool selecting, placed; // placed: there is a choice
    bool booked, any;       // any: also workers that are suspected
    char worker[KVR_MAX_NAME], address[KVR_MAX_ADDR + 1];
    size_t worker_size;
    uint32_t rank;
    char tried[MOST_TRIES][KVR_MAX_NAME];
    size_t tried_size[MOST_TRIES];
    unsigned n_tried;
    unsigned n_sent; // of these, the ones that may have read the request
    bool given_up;   // it was thought dead when it was chosen, and nobody else was left
    bool fresh;      // the connection is to be a new one
    bool turned;     // away by an engine that has too much to do
    // The engine that failed with this request, to be blamed if another one answers it; "": none.
    char accused[KVR_MAX_ADDR + 1], accused_name[KVR_MAX_NAME];
    size_t accused_size;
    bool accused_reached;

    // The answer.
    const struct h1_head *reply; // its head has come
    bool answering, good;        // the client has it; and it is no refusal
    bool counted;                // how this try ended
    struct stream stream;
    int64_t booked_us;            // when the pool's choice came
    int64_t told_us, told_tokens; // what the pool was told last
    int64_t piece_us;             // when the last piece came
};

static inline struct kvr_bytes forwarded_worker(const struct forwarded *f) {
    return (struct kvr_bytes){f->worker, f->worker_size};
}

// proxy.c
void forwarded_free(struct forwarded *f); // its exchange has ended or is about to
void proxy_select(struct forwarded *f);
void proxy_release(struct forwarded *f); // the booking, if there is one
void proxy_update(struct forwarded *f, bool prefilled);
// The checks or the pool say that the engine that was chosen is dead.
bool proxy_is_dead(const struct forwarded *f);
void proxy_heard(const struct forwarded *f, int64_t now); // its engine has said something
// Whether one more try is within the limits; takes it out of the budget.
bool proxy_may_retry(struct forwarded *f);
bool proxy_has_try(const struct forwarded *f);        // the same, whatever the budget is
void proxy_retry(struct forwarded *f);                // leaves the engine out, and chooses again
struct prompt_how proxy_how(const struct pool *pool); // how prompts become blocks there
void proxy_blocks_known(struct forwarded *f);         // or can't be: the choice is next

// forward.c
bool forward_prepare(struct forwarded *f); // false: no memory
// The header line with the client's own key, where that is meant for the engines; to be freed. NULL: none.
char *forward_key(const struct router_exchange *x);
void forward(struct forwarded *f);
// Looks at an engine that has said nothing of an answer yet: a silent one is probed, a dead one left for
// another. *f may be over then.
void forward_watch(struct forwarded *f, int64_t now);

#endif
