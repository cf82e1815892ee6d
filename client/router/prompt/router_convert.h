// SPDX-License-Identifier: Apache-2.0
// Bodies of other APIs as the chats that engines make of them, as far as their /tokenize wants to know: what is asked
// there is how long a prompt is, and which blocks it has. Engines may convert some things in another way; then the ids
// differ from there on, and so do the blocks.
#ifndef ROUTER_CONVERT_H
#define ROUTER_CONVERT_H

#include <jansson.h>
#include <stdbool.h>

// {"messages": …, "tools": …}; NULL: no memory.
json_t *router_convert_messages(const json_t *body);  // of Anthropic's /v1/messages
json_t *router_convert_responses(const json_t *body); // of OpenAI's /v1/responses
// Whether they are all text, and calls of tools with answers that are.
bool router_convert_messages_plain(const json_t *body);
bool router_convert_responses_plain(const json_t *body);

#endif
