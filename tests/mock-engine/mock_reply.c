// SPDX-License-Identifier: Apache-2.0
// Whole answers; see mock_reply.h.
#include "mock_reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void mock_reply_text(struct h1_exchange *x, int status, const char *type, const char *text) {
    h1_exchange_send(x, status, type, text, strlen(text));
}

void mock_reply_buffer(struct h1_exchange *x, const char *type, struct evbuffer *body) {
    h1_exchange_start(x, 200, type, (int64_t)evbuffer_get_length(body));
    h1_exchange_data(x, body);
    h1_exchange_end(x);
}

void mock_reply_json(struct h1_exchange *x, int status, json_t *body) {
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    mock_reply_text(x, status, "application/json", text ? text : "null");
    free(text);
}

void mock_reply_error(struct h1_exchange *x, int status, const char *format, ...) {
    char message[500];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    const char *type = status == 404   ? "NotFoundError"
                       : status >= 500 ? "InternalServerError"
                                       : "BadRequestError";
    // What a client sent may be cut inside a character, and then isn't text any more.
    json_t *text = json_string(message);
    mock_reply_json(x, status,
                    json_pack("{s:{s:o,s:s,s:n,s:i}}", "error", "message",
                              text ? text : json_string("not UTF-8"), "type", type, "param", "code",
                              status));
}

json_t *mock_body_object(struct h1_exchange *x) {
    size_t len = evbuffer_get_length(x->body);
    json_error_t error;
    json_t *body = json_loadb(len ? (const char *)evbuffer_pullup(x->body, -1) : "", len,
                              JSON_ALLOW_NUL, &error);
    if (json_is_object(body)) return body;
    mock_reply_error(x, 400, "the body is no JSON object: %s", body ? "another value" : error.text);
    json_decref(body);
    return NULL;
}
