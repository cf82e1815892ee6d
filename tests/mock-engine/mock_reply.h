// SPDX-License-Identifier: Apache-2.0
// Whole answers, and requests' bodies as JSON. Each ends its exchange.
#ifndef MOCK_REPLY_H
#define MOCK_REPLY_H

#include <jansson.h>

#include "client/http1/h1_server.h"

void mock_reply_json(struct h1_exchange *x, int status, json_t *body); // body is taken over
void mock_reply_text(struct h1_exchange *x, int status, const char *type, const char *text);
void mock_reply_buffer(struct h1_exchange *x, const char *type,
                       struct evbuffer *body); // 200; emptied
void mock_reply_error(struct h1_exchange *x, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// The body as a JSON object, or NULL, and an error has been answered. The caller drops it.
json_t *mock_body_object(struct h1_exchange *x);

#endif
