// SPDX-License-Identifier: Apache-2.0
// Whether a request's stream can go on at another engine when its own dies, by what the request asks for. Pure.
//
//   asked for                                        goes on   because
//   ----------------------------------------------   -------   ---------------------------------------------
//   one answer to one prompt of text or ids          yes
//   n or best_of > 1, several prompts, beam search   no        choices    n would all begin anew
//   structured_outputs, guided_*, response_format,   no        guided     a grammar begins anew at the seam
//     a tool that must be called
//   messages with other than text                    no        pictures   ids don't stand for them
//   echo, prompt_logprobs                            no        echo       what was sent would be prompt
//   kv_transfer_params of its own                    no        transfer
//   include_reasoning: false                         no        reasoning  its ids aren't told
//   truncate_prompt_tokens                           no        truncated  the prompt would be cut anew
//   max_tokens and the like that are no numbers      no        limits
//   seed, presence_penalty, frequency_penalty,       yes, and X-Kvroute-Protected says `changes`: these
//     thinking_token_budget                          begin anew at the seam
//   stop: more than 16 or longer than 256 bytes      no        stop
//   stop, and thoughts come                          no        stop       what was held back can be in either
//   stop                                             yes       router_joint.h; by text: no, engine
//   temperature, repetition_penalty, logprobs,       yes
//     bad_words, logit_bias, stop_token_ids, tools
//     that may be called, reasoning
//
// What comes later is in router_kept.h: an engine of another kind, or one that tells no ids; a tool that is
// called; memory.
#ifndef ROUTER_PROTECTION_H
#define ROUTER_PROTECTION_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/router/prompt/router_prompt.h"

// How a stream goes on.
enum router_protected_by {
    ROUTER_PROTECTED_NOT,
    ROUTER_PROTECTED_IDS,  // by the token ids of prompt and answer: what comes would have come
    ROUTER_PROTECTED_TEXT, // by the answer's text: it may differ at the joint
};

// Why it doesn't.
enum router_because {
    ROUTER_BECAUSE_NOTHING,
    ROUTER_BECAUSE_CHOICES,
    ROUTER_BECAUSE_GUIDED,
    ROUTER_BECAUSE_PICTURES,
    ROUTER_BECAUSE_ECHO,
    ROUTER_BECAUSE_TRANSFER,
    ROUTER_BECAUSE_REASONING,
    ROUTER_BECAUSE_TRUNCATED,
    ROUTER_BECAUSE_LIMITS,
    ROUTER_BECAUSE_STOP,
    ROUTER_BECAUSE_OFF,     // `migrate` is 0, or it is no completion and no chat
    ROUTER_BECAUSE_BODY,    // it can't be edited
    ROUTER_BECAUSE_ENGINE,  // of another kind
    ROUTER_BECAUSE_IDS,     // it doesn't tell them
    ROUTER_BECAUSE_TEXT,    // what was sent isn't that of its ids
    ROUTER_BECAUSE_TOOLS,   // one is being called
    ROUTER_BECAUSE_EVENT,   // one came that isn't as expected
    ROUTER_BECAUSE_MEMORY,  // max_kept
    ROUTER_BECAUSE_AGAIN,   // it has gone on as often as is allowed
    ROUTER_BECAUSE_ALONE,   // there is no other engine
    ROUTER_BECAUSE_REFUSED, // no other one took it
    ROUTER_BECAUSES
};
const char *router_because_word(enum router_because why); // "": nothing

enum {
    ROUTER_CHANGES_SEED = 1,
    ROUTER_CHANGES_PRESENCE = 2,
    ROUTER_CHANGES_FREQUENCY = 4,
    ROUTER_CHANGES_BUDGET = 8,
};

struct router_protection {
    enum router_because because;
    unsigned changes;     // of the above
    bool chat;            // else it is a completion
    bool asks_ids;        // the client wants the ids himself
    bool asks_usage;      // at the end
    int64_t max_tokens;   // −1: not said
    int64_t max_answer;   // the same by its newer name, max_completion_tokens
    int64_t min_tokens;   // −1: not said
    uint64_t prompt_seed; // of its blocks' hashes
    json_t *stops;        // texts; NULL: none
    bool stops_included;  // in the answer
};

void router_protection_read(struct router_protection *p, enum router_prompt_kind kind,
                            const json_t *body, const struct router_prompt_config *how);
void router_protection_free(struct router_protection *p);
// Writes the names of what changes, with commas.
void router_protection_changes(const struct router_protection *p, char *out, size_t size);

#endif
