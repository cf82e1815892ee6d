// SPDX-License-Identifier: Apache-2.0
// /v1/completions and /v1/chat/completions.
#ifndef MOCK_GENERATE_H
#define MOCK_GENERATE_H

#include "mock_engine.h"

void mock_serve_completion(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_chat(struct mock_engine *m, struct h1_exchange *x);

#endif
