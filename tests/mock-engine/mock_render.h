// SPDX-License-Identifier: Apache-2.0
// What vLLM's --enable-scale-out shows: the token ids that a request's prompt becomes. Off: 403.
#ifndef MOCK_RENDER_H
#define MOCK_RENDER_H

#include "mock_engine.h"

void mock_serve_render_completion(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_render_chat(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_render_responses(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_render_messages(struct mock_engine *m, struct h1_exchange *x);

#endif
