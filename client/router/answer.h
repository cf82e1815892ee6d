// SPDX-License-Identifier: Apache-2.0
// The pool's words as HTTP and JSON.
#ifndef ROUTER_ANSWER_H
#define ROUTER_ANSWER_H

#include <jansson.h>
#include <kvroute/client.h>

struct router_exchange;

// Names may have any bytes, JSON only UTF-8: where a name isn't, its other bytes become '?'.
json_t *answer_text(struct kvr_bytes b);

// The status that says what a code says.
int answer_status(enum kvr_code code);

// Answers with an error of the pool or the library.
void answer_code(struct router_exchange *x, enum kvr_code code, const char *message);

#endif
