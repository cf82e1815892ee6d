// SPDX-License-Identifier: Apache-2.0
// Which function serves which path, and what they answer with.
#ifndef MOCK_ROUTES_H
#define MOCK_ROUTES_H

#include "mock.h"

void routes_serve(struct evhttp_request *request, void *mock);
void routes_resume(struct mock *m); // serves what arrived while nothing was answered

// Each answers once; body is taken over.
void answer_json(struct evhttp_request *request, int status, json_t *body);
void answer_text(struct evhttp_request *request, int status, const char *type, const char *text);
void answer_error(struct evhttp_request *request, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// The body as a JSON object, or NULL, and an error has been answered. The caller drops it.
json_t *body_object(struct evhttp_request *request);

// Routes, by file. generate.c
void serve_completion(struct mock *m, struct evhttp_request *request);
void serve_chat(struct mock *m, struct evhttp_request *request);
// prompt.c
void serve_tokenize(struct mock *m, struct evhttp_request *request);
void serve_embeddings(struct mock *m, struct evhttp_request *request);
// look.c
void serve_health(struct mock *m, struct evhttp_request *request);
void serve_models(struct mock *m, struct evhttp_request *request);
void serve_metrics(struct mock *m, struct evhttp_request *request);
void serve_info(struct mock *m, struct evhttp_request *request);
void serve_cache(struct mock *m, struct evhttp_request *request);
void serve_reset(struct mock *m, struct evhttp_request *request);
// faults.c
void serve_fault(struct mock *m, struct evhttp_request *request);
void serve_batch(struct mock *m, struct evhttp_request *request);

#endif
