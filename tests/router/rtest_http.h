// SPDX-License-Identifier: Apache-2.0
// Requests to routers, and the JSON of their answers.
#ifndef RTEST_HTTP_H
#define RTEST_HTTP_H

#include <jansson.h>

#include "tests/support/support_http.h"

enum { RTEST_WAIT_MS = 30000 };

void rtest_say(int fd, const char *text);
// One request on a connection of its own.
struct support_response rtest_get(int port, const char *path);
struct support_response rtest_post(int port, const char *path, const char *body);
bool rtest_is_served(struct support_response r); // with 200; the rest is forgotten
// The answer's body; the test fails if the status is another or it is no JSON.
json_t *rtest_json(struct support_response r, int status);
// A text in it; the test fails if there is none of that name.
const char *rtest_text(const json_t *object, const char *name);
// The code in an error's body; the test fails if the status is another. Static until the next call.
const char *rtest_error_code(struct support_response r, int status);

#endif
