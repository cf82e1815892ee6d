// SPDX-License-Identifier: Apache-2.0
// What of a request's body matters for choosing: the blocks of its prompt, and how long it and its
// answer are.
//
// In one of three ways, chosen for each pool:
//   ROUTER_PROMPT_IDS       token ids that are in the body; what comes as text has no blocks
//   ROUTER_PROMPT_TOKENIZE  the same, and for text the engine's own /tokenize
//   ROUTER_PROMPT_TEXT      hashes of the text, cut into pieces of so many bytes. No engine reports such
//                    blocks: they are for pools with PREDICT
// Token ids become the prefix hashes of hash.h, so they are what engines report. Text is put together
// so that the next turn of a chat begins with the same bytes as this one: tools, then the messages
// in order. It isn't what a chat template makes of it, and needn't be: what has the same beginning
// here has the same beginning there.
//
// A body that isn't as expected has no blocks, and goes on: whether a request is good is for
// the engine to say. Only what is no JSON object is refused, because nothing could be chosen for it.
#ifndef ROUTER_PROMPT_H
#define ROUTER_PROMPT_H

#include <event2/buffer.h>
#include <jansson.h>
#include <kvroute/types.h>
#include <stdbool.h>

#include "router_prompt_kind.h"

enum { ROUTER_TOKEN_BYTES = 4 }; // of text, where nothing better is known

enum router_prompt_way { ROUTER_PROMPT_IDS, ROUTER_PROMPT_TOKENIZE, ROUTER_PROMPT_TEXT };

struct router_prompt_config {
    enum router_prompt_way way;
    uint32_t block_size;    // tokens; 0: not known, so no blocks
    uint32_t chunk;         // bytes of text that count as a block; 0: 4 for a token
    struct kvr_bytes lora;  // the adapter's name, if the model is one
    struct kvr_bytes space; // cache namespace of requests that don't name one (cache_salt)
};

// With texts of its own, for who reads while settings may be replaced. False: no memory; free it nevertheless.
bool router_prompt_config_copy(struct router_prompt_config *to,
                               const struct router_prompt_config *from);
void router_prompt_config_free(struct router_prompt_config *c); // such a copy, or one that is all 0

struct router_prompt {
    uint64_t *hashes; // of the full blocks
    size_t n;
    int64_t isl, osl; // tokens; 0: not known. osl: only what is said to be expected, or certain
    bool stream;      // the answer is to be one
    bool tokenize;    // it is text that /tokenize is to be asked for
};

// False: no memory. What there was in *p before is overwritten.
bool router_prompt_read(struct router_prompt *p, enum router_prompt_kind kind, const json_t *body,
                        const struct router_prompt_config *how);
void router_prompt_free(struct router_prompt *p);

// What the hashes of its blocks begin with: the adapter, and the cache namespace.
uint64_t router_prompt_seed(const json_t *body, const struct router_prompt_config *how);
// Whether it is turns of nothing but text, so that what an engine renders them to is all of the prompt.
bool router_prompt_is_plain(enum router_prompt_kind kind, const json_t *body);
// The body of a /tokenize for a prompt that is `tokenize`; NULL: no memory.
struct evbuffer *router_prompt_tokenize_request(enum router_prompt_kind kind, const json_t *body);
// What of a body router_prompt_tokenize_response wants, so that the rest may go; NULL: no memory.
json_t *router_prompt_tokenize_rest(const json_t *body);
// Takes the ids out of its answer, or of one that says what the whole request was rendered to. False: there
// are none, or no memory; *p is as before.
bool router_prompt_tokenize_response(struct router_prompt *p, struct evbuffer *answer,
                                     const json_t *body, const struct router_prompt_config *how);

#endif
