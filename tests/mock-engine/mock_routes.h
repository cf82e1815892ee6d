// SPDX-License-Identifier: Apache-2.0
// Which function serves which path, and what they answer with.
#ifndef MOCK_ROUTES_H
#define MOCK_ROUTES_H

#include "mock_engine.h"

void mock_routes_serve(struct evhttp_request *request, void *mock);
void mock_routes_resume(struct mock_engine *m); // serves what arrived while nothing was answered

// Each answers once; body is taken over.
void mock_reply_json(struct evhttp_request *request, int status, json_t *body);
void mock_reply_text(struct evhttp_request *request, int status, const char *type,
                     const char *text);
void mock_reply_error(struct evhttp_request *request, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// The body as a JSON object, or NULL, and an error has been answered. The caller drops it.
json_t *mock_body_object(struct evhttp_request *request);

// Routes, by file. generate.c
void mock_serve_completion(struct mock_engine *m, struct evhttp_request *request);
void mock_serve_chat(struct mock_engine *m, struct evhttp_request *request);
// prompt.c
void mock_serve_tokenize(struct mock_engine *m, struct evhttp_request *request);
void mock_serve_embeddings(struct mock_engine *m, struct evhttp_request *request);
// look.c
void mock_serve_health(struct mock_engine *m, struct evhttp_request *request);
void mock_serve_models(struct mock_engine *m, struct evhttp_request *request);
void mock_serve_metrics(struct mock_engine *m, struct evhttp_request *request);
void mock_serve_info(struct mock_engine *m, struct evhttp_request *request);
void mock_serve_cache(struct mock_engine *m, struct evhttp_request *request);
void mock_serve_reset(struct mock_engine *m, struct evhttp_request *request);
// faults.c
void mock_serve_fault(struct mock_engine *m, struct evhttp_request *request);
void mock_serve_batch(struct mock_engine *m, struct evhttp_request *request);

#endif
