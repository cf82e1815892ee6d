// SPDX-License-Identifier: Apache-2.0
// What a request has to do with another engine's: the fields of its body in the five shapes there are,
// what is refused, and what an answer carries.
//
// vLLM with NIXL: kv_transfer_params; the prefilling request comes first, and its answer brings what the
// decoding one is given. vLLM with Mooncake: kv_transfer_params, both at once, which meet by a
// transfer_id. A shared store: nothing. SGLang: bootstrap_host, _port and _room, both at once; each waits
// for the other. TensorRT-LLM: disaggregated_params, first the context, then the generation, or both at
// once.
#ifndef MOCK_CONNECTOR_H
#define MOCK_CONNECTOR_H

#include "mock_engine.h"

enum mock_leg_side { MOCK_LEG_WHOLE, MOCK_LEG_PREFILL, MOCK_LEG_DECODE };

struct mock_leg {
    enum mock_leg_side side;
    char key[160];             // of what it offers
    struct mock_source source; // of what it pulls
    struct mock_offer *offer;  // while it is this request's
    struct mock_load *load;
    struct event *timer;     // until what is in the shared store is here
    uint64_t *hashes;        // of the prompt's blocks, with a shared store
    size_t n_hashes, stored; // stored: how many of them the store has
    bool has_cached;         // the router said how much the other engine had cached
    size_t cached;
    int64_t context_id, request_id; // TensorRT-LLM's names of it
    bool waits_for_peer;            // SGLang: nothing is computed before the pull is there
};

// Reads the request. rank: the one that the headers wish, or -1; it may be changed. NULL, or what is
// wrong, and *status.
const char *mock_leg_read(struct mock_leg *leg, struct mock_engine *m, const json_t *body,
                          int *rank, int *status);
void mock_leg_free(
    struct mock_leg *leg); // the request is over: lets the other side go, as a real engine would
// A request that is refused for another reason, after it was read.
void mock_leg_refuse(struct mock_leg *leg, struct mock_engine *m);
// Makes the offer's key, once the request has its id and its rank.
void mock_leg_name(struct mock_leg *leg, const struct mock_engine *m, const char *id, size_t rank);
// What is looked up in a shared store, and saved there.
void mock_leg_look(struct mock_leg *leg, const struct mock_engine *m,
                   const struct mock_tokens *prompt, struct mock_events_names names);
void mock_leg_save(const struct mock_leg *leg, const struct mock_engine *m);

// Of an answer that isn't a stream: kv_transfer_params; and what TensorRT-LLM has beside a choice.
// NULL: nothing.
json_t *mock_leg_params(const struct mock_leg *leg, const struct mock_engine *m, size_t rank,
                        size_t n_prompt);
json_t *mock_leg_choice_params(const struct mock_leg *leg, const struct mock_engine *m, size_t rank,
                               uint32_t first_token);

json_t *mock_connector_config(const struct mock_engine *m); // as /server_info has it
const char *mock_connector_name(const struct mock_engine *m);
void mock_serve_query(struct mock_engine *m, struct h1_exchange *x); // Mooncake's bootstrap server
void mock_serve_route(struct mock_engine *m, struct h1_exchange *x); // SGLang's
void mock_serve_transfers(struct mock_engine *m, struct h1_exchange *x);

#endif
