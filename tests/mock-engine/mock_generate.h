// SPDX-License-Identifier: Apache-2.0
// Requests for an answer: one function for each API.
#ifndef MOCK_GENERATE_H
#define MOCK_GENERATE_H

#include "mock_engine.h"

void mock_serve_completion(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_chat(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_responses(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_messages(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_native(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_transcription(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_translation(struct mock_engine *m, struct h1_exchange *x);
void mock_generate_unstall(struct mock_engine *m); // what a fault holds back goes on

#endif
