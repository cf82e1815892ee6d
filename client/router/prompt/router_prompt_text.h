// SPDX-License-Identifier: Apache-2.0
// The text that a body's prompt is, put together so that the next turn begins with the same bytes as this one: tools,
// then what stands before all turns, then the turns in order. What changes from one request to the next and isn't seen
// by the model, like marks for a cache, is left out.
#ifndef ROUTER_PROMPT_TEXT_H
#define ROUTER_PROMPT_TEXT_H

#include "router_prompt_kind.h"
#include "router_text_pieces.h"

// Of bodies that have more than a field with the prompt. Of several prompts the first one; of pairs, what is the same
// in all.
void router_prompt_text(struct router_text_pieces *t, enum router_prompt_kind kind,
                        const json_t *body);
// Bytes of all prompts, less those above.
int64_t router_prompt_other_bytes(enum router_prompt_kind kind, const json_t *body);
// Whether a block of Anthropic's `system` is the header that some clients put there, other for each request. Engines
// leave it out.
bool router_prompt_is_billing(const json_t *block);

#endif
