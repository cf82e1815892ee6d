// SPDX-License-Identifier: Apache-2.0
// The bodies of other APIs as those of a chat or a completion, which are all that the engine itself knows.
// Each gives a new object, or NULL and what is wrong.
#ifndef MOCK_DIALECT_H
#define MOCK_DIALECT_H

#include <jansson.h>

// Anthropic's: `system` and the blocks of messages. What a billing header says isn't a part of the prompt.
json_t *mock_dialect_messages(const json_t *body, const char **wrong);
// OpenAI's: `instructions`, then `earlier` (messages of a chat, or NULL), then `input`.
json_t *mock_dialect_responses(const json_t *body, const json_t *earlier, const char **wrong);
// SGLang's own: `text` or `input_ids`, and sampling_params.
json_t *mock_dialect_generate(const json_t *body, const char **wrong);

#endif
