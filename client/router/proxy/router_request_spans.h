// SPDX-License-Identifier: Apache-2.0
// The spans of a request on its way through the proxy, below the one that it has as a request of HTTP:
//
//   tokenize       TOKENIZE: engines are asked for the prompt's tokens
//   select         each question to the pool, in CHOOSE; with `wait` below it, if the request waited for room
//   prefill        another engine computes the prompt; each call to it is a span of kind CLIENT below
//   chat MODEL …   each call to an engine for the answer, of kind CLIENT. It is over when the engine fails, is left, or
//                  has said all. One that goes on with another's stream has a link to that one's
//   relay          RELAY: the client gets the answer
//
// Each function does nothing where the request isn't sampled.
#ifndef ROUTER_REQUEST_SPANS_H
#define ROUTER_REQUEST_SPANS_H

#include "client/router/router_metrics.h"
#include "router_request.h"

struct router_request_spans;

// In `parsed`: what the body asks for, without the prompt.
void router_spans_asked(struct router_exchange *x, const json_t *body);
void router_spans_begin(struct router_request *r);
void router_spans_free(struct router_request *r);
// Before a request moves. What ends with its state ends.
void router_spans_move(struct router_request *r, enum router_state to);
// In CHOOSE: the pool has answered.
void router_spans_selected(struct router_request *r, const struct kvr_result *result);
// In SEND: an engine is called, with the headers that say so.
void router_spans_call(struct router_request *r);
void router_spans_head(struct router_request *r);
void router_spans_first(struct router_request *r, int64_t now);
// Bytes for the client.
void router_spans_data(struct router_request *r, struct evbuffer *bytes);
// How the call ends, which it does when the request moves on; the first word counts.
void router_spans_failed(struct router_request *r, enum router_failure what);
void router_spans_error(struct router_request *r, const char *error);
void router_spans_outcome(struct router_request *r, enum router_engine_outcome how);
// The stream goes on elsewhere, because of this.
void router_spans_continues(struct router_request *r, enum router_migration_why why);
// The call to the prefilling engine, and its end.
void router_spans_prefill_call(struct router_request *r);
void router_spans_prefill_failed(struct router_request *r, enum router_failure what);
void router_spans_prefill_over(struct router_request *r, enum router_engine_outcome how);

#endif
