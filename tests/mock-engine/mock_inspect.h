// SPDX-License-Identifier: Apache-2.0
// What there is to see of an engine without asking it for an answer.
#ifndef MOCK_INSPECT_H
#define MOCK_INSPECT_H

#include "mock_engine.h"

void mock_serve_ping(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_version(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_health(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_ready(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_paused(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_sleeping(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_sources(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_models(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_metrics(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_info(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_cache(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_reset(struct mock_engine *m, struct h1_exchange *x);

#endif
