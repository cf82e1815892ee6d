// SPDX-License-Identifier: Apache-2.0
// How the prompt that one engine computed gets to the one that answers: what the two are told. One const struct
// for each way there is; all of them are pure functions over bodies, and know nothing of connections.
//
//   one after the other       prefill ──answer──> read ──> decode      nixl, shared, trtllm
//   together                  prefill ──┐ meet by a name, new in
//                             decode  ──┘ every try                    mooncake, sglang
//
// Which fields each program wants is said in docs/disaggregation.md.
#ifndef ROUTER_CONNECTOR_H
#define ROUTER_CONNECTOR_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/router/prompt/router_edits.h"
#include "client/router/prompt/router_prompt.h"
#include "client/router/router_config.h"

enum { ROUTER_MAX_ENGINE_ID = 128 };

// What the answer of the prefilling engine brought. Texts are JSON, as it was written, and are to be freed.
struct router_handover {
    char *params;   // for the decoding engine; NULL: nothing, so that computes the prompt itself
    char *ids;      // the prompt's token ids; NULL: none
    char *answer;   // what the client gets, since it is complete; NULL: it isn't
    int64_t cached; // tokens of the prompt that it had; −1: not said
};

// The two engines of a try, and what is drawn for it.
struct router_pair {
    enum router_prompt_kind kind;
    const char *prefill_host, *decode_host; // without brackets
    uint32_t bootstrap_port;                // of the prefilling engine
    uint32_t prefill_rank, prefill_ranks, decode_rank, decode_ranks;
    uint64_t draw;                            // random
    char engine_id[ROUTER_MAX_ENGINE_ID + 1]; // of the prefilling rank, if it is asked for
    struct router_handover handover;
};

struct router_connector {
    const char *name;
    bool together;  // the decoding engine gets the request at once, too
    bool must_pair; // an engine of role decode refuses what no other one has computed
    // Path at the bootstrap port that is asked first, and what is taken out of the answer; NULL: nothing.
    const char *asks;
    bool (*told)(struct router_pair *p, const json_t *answer); // false: it isn't there
    // What is changed in the bodies. `body` is the client's.
    void (*prefill)(const struct router_pair *p, const char *body, const struct router_members *m,
                    struct router_edits *e);
    void (*decode)(const struct router_pair *p, struct router_edits *e);
    // The prefilling engine's answer, of n bytes; p is all that is looked at but it. NULL: nobody needs it.
    void (*read)(const struct router_pair *p, const char *answer, size_t n,
                 struct router_handover *h);
};

extern const struct router_connector router_connector_nixl, router_connector_mooncake,
    router_connector_shared, router_connector_sglang, router_connector_trtllm;

// NULL: prompts are computed where they are decoded.
const struct router_connector *router_connector_of(enum router_connector_kind kind);
// Whether a request can be done by two engines at all: one prompt, one answer, nothing that has to be said of
// the prompt's tokens, and no such fields of the client's own.
bool router_connector_fits(enum router_prompt_kind kind, const json_t *body);
void router_handover_free(struct router_handover *h); // it is empty then

#endif
