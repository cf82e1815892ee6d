// SPDX-License-Identifier: Apache-2.0
// A request on its way through the proxy: a state machine.
//
//                               ┌───────3──────┬──────────┬──────────┬────6────┐
//                               v              │          │          │         │
//   READ ─────> TOKENIZE ────> CHOOSE ──5──> PREFILL ──> SEND ────> HEAD ────> RELAY ────> DONE
//     │                        ^ │ └┘1 │                 ^ └┘2
//     ├───────────0────────────┤ 4     └─────────────────┘
//     └────7───> FIND ─────────┘ │
//                                v
//                            ABANDONED ──────────────────────────────────────────────────> DONE
//
//   0  The body has the blocks, or nobody can be asked for them.
//   1  Nobody but suspects is left: they may be chosen, too. Or the pool doesn't know the class.
//   2  A kept connection turned out to be over: the same engine, on a new one.
//   3  The engine failed, and the client has seen nothing of it: another one (router_retry.h).
//   4  The client left while the pool was choosing: what the pool books is still to be released. If the request
//      waits for room there, its waiting ends at once.
//   5  Another engine computes the prompt. PREFILL lasts until it has, or until it has been asked where the two
//      meet; then its leg goes on beside SEND and HEAD, and when either fails, both are left (router_prefill.h).
//   6  The engine failed in the middle of a stream that is kept: the rest comes from another one (router_migration.h).
//      The client has the head then, also in CHOOSE, PREFILL, SEND and HEAD.
//   7  It names a response that an engine keeps: the pool is asked which (router_stored.h). FIND may be ABANDONED, too.
//   From each state to DONE: the client has its answer, or has left.
//
// router_request_move() changes the state, and nothing else does: it checks the table of what may follow
// what (router_request.c), and calls what is done on entering the new state (the table in router_proxy.c).
// That may end the request, so nobody may touch a request after moving it.
//
//   TOKENIZE   router_tokenize.c    SEND, HEAD, RELAY       router_attempt.c
//   FIND       router_stored.c
//   CHOOSE     router_choice.c      READ, ABANDONED, DONE   router_proxy.c
//   PREFILL    router_prefill.c
#ifndef ROUTER_REQUEST_H
#define ROUTER_REQUEST_H

#include <event2/event.h>
#include <jansson.h>
#include <kvroute/client.h>
#include <string.h>

#include "client/common/list.h"
#include "client/http1/h1_client.h"
#include "client/router/pools/router_circuit.h"
#include "client/router/pools/router_pools.h"
#include "client/router/pools/router_waiters.h"
#include "client/router/prompt/router_members.h"
#include "client/router/prompt/router_prompt.h"
#include "client/router/router.h"
#include "client/router/router_exchange.h"
#include "router_detokenize.h"
#include "router_kept.h"
#include "router_retry.h"
#include "router_stream.h"

enum { ROUTER_MAX_TARGET = 2048 }; // bytes of a request's target

enum router_state {
    ROUTER_READ,      // what is asked, and of which pool
    ROUTER_TOKENIZE,  // an engine is asked for the prompt's token ids
    ROUTER_FIND,      // the pool is asked which engine keeps the response that is named
    ROUTER_CHOOSE,    // the pool is asked for an engine
    ROUTER_PREFILL,   // another engine computes the prompt for the one that was chosen
    ROUTER_SEND,      // the engine gets the request, or has it and says nothing yet
    ROUTER_HEAD,      // the head of its answer is here, and nothing of the body
    ROUTER_RELAY,     // the client has the head, and gets what comes
    ROUTER_ABANDONED, // only the pool's answer to SELECT is waited for
    ROUTER_DONE,      // freed
    ROUTER_STATES
};

struct router_request;
struct router_prefill;
struct router_request_spans;
struct tokens_answer;

// What requests share.
struct router_proxy {
    struct router *router;
    struct router_circuits *circuits;
    struct router_checks *checks;
    void (*const *enter)(struct router_request *r); // by state; NULL: nothing is done
    // The engine that was to compute a prompt has failed, or refuses it (NONE). *r may be over then.
    void (*prefill_failed)(struct router_request *r, enum router_failure what);
    struct kvr_list_item requests; // under way
    struct event *tick;
    struct evbuffer *out;   // pieces on their way
    double budget;          // retries that may be made now
    struct evbuffer *taken; // pieces of streams that are kept
    struct router_kept_total kept;
    uint64_t random;     // for booking ids
    size_t traced_bytes; // of answers, kept for their spans
    size_t turn;         // which worker is asked next for tokens or models
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
    json_t *json; // what of the body an answer to /tokenize is read with; NULL: none is asked for
    struct evbuffer *question, *response; // to /tokenize; what has come of its answer
    struct tokens_answer *answer;         // being read; NULL: none is
    char asked[KVR_MAX_NAME + 1];         // the worker that is asked, or was last
    unsigned n_asked;

    bool plain;   // turns of nothing but text, which an engine may render
    bool renders; // it is asked to, not for the tokens of a text

    // FIND, and from there on: the response that it is about, or goes on from.
    char *refers;              // its id; NULL: none
    struct router_name pinned; // the worker that has it; n 0: not known
    uint32_t pinned_rank;
    size_t n_asked_pools;
    bool stores; // it is one whose answer an engine may keep, and the pool wasn't told

    // Up to RELAY: what is needed for one more try.
    char *model;           // asked for; NULL: none is named
    struct kvr_bytes lora; // the adapter that this is, a part of it; empty: none
    struct router_prompt prompt;
    char *session; // its name; NULL: it is of none
    size_t session_size;
    struct router_members members; // of the body; empty: it can't be edited
    char *headers;                 // for the engine; behind headers_size bytes, the rank
    size_t headers_size;
    bool splits;                 // two engines may share it
    bool paired, unpaired;       // the pool was asked for two; it has none who computes the prompt
    bool any;                    // workers that are suspected may be chosen, too
    bool asked_class;            // the pool was asked with its class
    bool unclassed;              // the pool doesn't know its class: it is of the default one
    struct router_waiter waiter; // its SELECT, while that may wait for room
    struct router_name tried[ROUTER_MAX_TRIES];
    unsigned n_tried;
    struct router_name spared; // failed, perhaps not by its own fault: another one, if there is one
    unsigned n_sent;           // engines that may have read the request
    bool turned_away;          // by an engine whose queue was full
    bool unasked;              // the last one wasn't asked, because this machine lacked something
    // The engine that failed with this request, to be blamed if another one answers it; "": none.
    char accused[KVR_MAX_ADDR + 1];
    struct router_name accused_name;
    bool accused_reached;
    struct router_name accused_prefill; // who computed the prompt for it then; n 0: itself

    // TOKENIZE, SEND, HEAD, RELAY: the call to an engine.
    struct evbuffer *outgoing;   // the body it gets, where that isn't the client's; NULL: it is
    struct h1_call *call;        // NULL: it is over
    const struct h1_head *reply; // its head has come
    bool fresh;                  // on a new connection, since a kept one was over

    struct router_prefill *prefill; // PREFILL to RELAY: the other engine's leg; NULL: there is none

    // PREFILL, SEND, HEAD, RELAY: the choice.
    char id[KVR_MAX_ID]; // of the booking
    size_t id_size;
    int64_t lease;             // ms, of the booking; 0: it has none
    int64_t asked_us;          // when the pool was
    int64_t booked_us;         // when its answer came
    bool booked;               // the pool knows of it
    char left[KVR_MAX_ID];     // the booking at the engine that broke, until the next one is there
    size_t left_size;          // 0: none
    struct router_name worker; // n 0: there is no choice
    char address[KVR_MAX_ADDR + 1];
    uint32_t rank;
    bool given_up;  // it was thought dead when it was chosen, and nobody else was left
    bool counted;   // how this try ended
    bool prefilled; // the pool was told that its first token has come
    int64_t told_us, told_tokens; // what the pool was told last

    // HEAD, RELAY: the answer.
    struct router_stream stream;
    int status;       // that the client has; 0: it has none
    bool unlimited;   // its length wasn't announced
    int64_t piece_us; // when the last piece came

    struct router_request_spans *spans; // NULL: it isn't sampled

    // Going on at another engine (router_migration.h).
    struct router_kept *kept;    // NULL: it can't
    enum router_because because; // then, why
    int64_t broken_us;           // when it left its last engine; 0: never
    int64_t rest_us;             // when the pool is asked again; 0: it is being asked
    void (*detokenized)(struct router_request *r, enum router_detokenized how,
                        enum h1_failure failure); // gets the answer to /detokenize
    int64_t tokens_before;                        // of the answer, at the last seam
    uint64_t events_before;
    int64_t sent_before; // tokens of the answer that the prompt counts
    unsigned tries_before;
};

// The client has the head, so all that comes now is a part of that answer.
static inline bool router_request_goes_on(const struct router_request *r) {
    return r->status != 0;
}

static inline struct kvr_bytes router_name_bytes(const struct router_name *n) {
    return (struct kvr_bytes){n->text, n->n};
}

// Cut to fit.
static inline void router_name_set(struct router_name *out, struct kvr_bytes name) {
    out->n = name.n < sizeof out->text ? name.n : sizeof out->text;
    memcpy(out->text, name.p, out->n);
}

static inline bool router_name_is(const struct router_name *n, struct kvr_bytes name) {
    return n->n == name.n && !memcmp(n->text, name.p, name.n);
}

// The worker that was chosen.
static inline struct kvr_bytes router_request_worker(const struct router_request *r) {
    return router_name_bytes(&r->worker);
}

// Whether a try there has failed.
bool router_request_was_tried(const struct router_request *r, struct kvr_bytes worker);

// In READ. NULL: no memory.
struct router_request *router_request_new(struct router_proxy *p, struct router_exchange *x,
                                          struct router_pool *pool, enum router_prompt_kind kind);
void router_request_move(struct router_request *r, enum router_state to);
// From READ or TOKENIZE to CHOOSE: the blocks are known, or can't be.
void router_request_blocks_known(struct router_request *r);
// From READ to FIND: the blocks are known, and it names a response.
void router_request_find(struct router_request *r);
// To DONE. Returns the exchange, which is to be ended.
struct router_exchange *router_request_end(struct router_request *r);
// The same; the client's answer breaks off, visibly. Of a stream the reason is counted.
void router_request_break(struct router_request *r, enum router_because why);
// To DONE, and answers with an error; if the client has the head, that breaks off.
void router_request_refuse(struct router_request *r, int status, const char *code,
                           const char *message);
void router_request_forget_body(struct router_request *r);   // what was only for the blocks
void router_request_forget_choice(struct router_request *r); // what was only to choose and to send
// How its prompt becomes blocks.
struct router_prompt_config router_request_prompt_config(const struct router_request *r);

#endif
