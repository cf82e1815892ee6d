// SPDX-License-Identifier: Apache-2.0
// What models without answers give: vectors, scores and classes. Nothing of it is cached.
#ifndef MOCK_POOLING_H
#define MOCK_POOLING_H

#include "mock_engine.h"

void mock_serve_embeddings(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_pooling(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_classify(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_score(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_rerank(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_cohere_embed(struct mock_engine *m, struct h1_exchange *x);

#endif
