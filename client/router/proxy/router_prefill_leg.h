// SPDX-License-Identifier: Apache-2.0
// The leg of a request that computes its prompt on another engine, and what is known of that one.
#ifndef ROUTER_PREFILL_LEG_H
#define ROUTER_PREFILL_LEG_H

#include "client/http1/h1_address.h"
#include "client/router/router_offload.h"
#include "connectors/router_connector.h"
#include "router_request.h"

struct router_prefill {
    struct router_job job;    // first: a large answer is read beside the loop
    struct router_request *r; // NULL: nobody waits for it any more. Not for the thread
    const struct router_connector *connector;
    struct router_pair pair;
    struct router_name worker;
    char address[KVR_MAX_ADDR + 1];
    struct h1_address place, decode_place; // both engines', for their hosts; all 0: it is none
    struct h1_call *call;                  // NULL: it is over
    bool asking;                           // it asks where the two meet
    const struct h1_head *reply;           // its head has come; only while there is the call
    struct evbuffer *answer;
    bool fresh;    // on a new connection, since a kept one was over
    bool given_up; // it was thought dead when it was chosen, and nobody else was left
    bool counted;  // how it ended
    bool reading;  // the thread has it
    int64_t began_us;
};

// Whether the engine still has something to do.
static inline bool router_prefill_runs(const struct router_request *r) {
    return r->prefill && r->prefill->call;
}

// Whether the other engine gets something from it, or has yet to.
static inline bool router_prefill_is_awaited(const struct router_request *r) {
    const struct router_prefill *leg = r->prefill;
    return leg && (leg->call || leg->connector->together || leg->connector->read);
}

#endif
