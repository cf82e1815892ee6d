// SPDX-License-Identifier: Apache-2.0
// The pool's words as HTTP and JSON.
#ifndef ROUTER_POOL_ERROR_H
#define ROUTER_POOL_ERROR_H

#include <jansson.h>
#include <kvroute/client.h>

struct exchange;

// Names may have any bytes, JSON only UTF-8: where a name isn't, its other bytes become '?'.
json_t *router_json_text(struct kvr_bytes b);

// The status that says what a code says.
int router_pool_error_status(enum kvr_code code);

// Answers with an error of the pool or the library.
void router_pool_error_send(struct exchange *x, enum kvr_code code, const char *message);

#endif
