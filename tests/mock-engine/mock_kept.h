// SPDX-License-Identifier: Apache-2.0
// Responses that an engine keeps, as vLLM does with VLLM_ENABLE_RESPONSES_API_STORE: in its process, the
// newest ones only, and gone with its life.
#ifndef MOCK_KEPT_H
#define MOCK_KEPT_H

#include "mock_engine.h"

// Nothing, unless the engine has a store. Neither is taken over. messages: NULL, while it isn't over.
void mock_kept_add(struct mock_engine *m, const char *id, json_t *response, json_t *messages);
// Of one that is kept: queued, in_progress, failed, cancelled.
void mock_kept_set_status(struct mock_engine *m, const char *id, const char *status);
// Of the response, and of all before it, as a chat's; borrowed. NULL: there is none.
const json_t *mock_kept_messages(const struct mock_engine *m, const char *id);

void mock_serve_kept(struct mock_engine *m, struct h1_exchange *x);   // GET /v1/responses/ID
void mock_serve_cancel(struct mock_engine *m, struct h1_exchange *x); // POST …/ID/cancel

#endif
