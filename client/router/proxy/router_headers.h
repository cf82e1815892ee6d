// SPDX-License-Identifier: Apache-2.0
// Which headers pass, from the client to the engine and back.
#ifndef ROUTER_HEADERS_H
#define ROUTER_HEADERS_H

#include <stddef.h>
#include <stdint.h>

#include "client/http1/h1_client.h"
#include "client/router/router_exchange.h"

// The client's headers as lines for an engine, n bytes, with room for the rank and the traceparent behind them; to be
// freed.
// NULL: no memory.
char *router_headers_for_engine(const struct router_exchange *x, size_t *n);
// more: the line of the traceparent, or "".
void router_headers_set_rank(char *headers, size_t n, uint32_t rank, const char *more);
// The line with the client's own key, where that is meant for the engines; to be freed. NULL: none.
char *router_headers_authorization(const struct router_exchange *x);
// The engine's headers, and what is known of the choice.
// X-Kvroute-Waited: ms, as far as that is known.
void router_headers_waited(struct router_exchange *x);
void router_headers_to_client(struct router_exchange *x, const struct h1_head *reply);

#endif
