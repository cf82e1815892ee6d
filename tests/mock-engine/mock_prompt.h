// SPDX-License-Identifier: Apache-2.0
// Prompts out of the bodies of requests, in the forms of OpenAI's API.
#ifndef MOCK_PROMPT_H
#define MOCK_PROMPT_H

#include "mock_engine.h"

// Adds the tokens of: a text, an array of token ids, or an array with one of these. NULL, or what is
// wrong.
const char *mock_prompt_read(struct mock_tokens *t, const json_t *prompt);
// Adds the tokens of the body's messages, and of the mark that begins the answer. With
// continue_final_message the last message isn't ended, and is what the answer goes on with; that wants
// add_generation_prompt to be false. marked: MOCK_BEGIN_OF_TEXT comes first, as vLLM has it with responses.
const char *mock_prompt_read_chat(struct mock_tokens *t, const json_t *body, bool marked);
// The adapter of that name; *known: whether the engine serves the model at all. NULL: the model itself.
const char *mock_prompt_lora(const struct mock_engine *m, const json_t *model, int *id,
                             bool *known);

void mock_serve_tokenize(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_detokenize(struct mock_engine *m, struct h1_exchange *x);

#endif
