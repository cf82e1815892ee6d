// SPDX-License-Identifier: Apache-2.0
// Of Anthropic's API what isn't an answer.
#ifndef MOCK_MESSAGES_H
#define MOCK_MESSAGES_H

#include "mock_engine.h"

void mock_serve_count(struct mock_engine *m, struct h1_exchange *x); // /v1/messages/count_tokens
void mock_messages_refuse(struct h1_exchange *x, int status, const char *why);

#endif
