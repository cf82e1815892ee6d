// SPDX-License-Identifier: Apache-2.0
// The body that an engine gets of a stream that is kept: the client's, and what asks for ids; after a seam, for the
// rest of the answer.
//
//   member                   before        after a seam
//   ----------------------   -----------   -----------------------------------------------------------
//   return_token_ids         true          true
//   prompt                   as it was     completions: the ids of prompt and answer
//   kv_transfer_params                     chats: {"prompt_token_ids": these}, instead of template and tokenizer
//   max_tokens,              as they were  less by what was sent; a completion that says none has 16 in all
//   max_completion_tokens
//   min_tokens               as it was     less by what was sent, at least 0
//
// A stream that goes on by its text is another question: all of the messages, the answer so far as the last one, and
// `continue_final_message`. Engines make tokens of it anew, so what comes may differ at the joint.
//
// What there is besides, stream_options among them, is the same.
#ifndef ROUTER_CONTINUATION_H
#define ROUTER_CONTINUATION_H

#include "client/router/prompt/router_edits.h"
#include "router_kept.h"
#include "router_outgoing.h"

// The engine that only computes the prompt isn't asked for ids.
void router_continuation_edit(const struct router_kept *k, enum router_leg_side side,
                              struct router_edits *edits);

#endif
