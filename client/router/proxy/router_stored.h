// SPDX-License-Identifier: Apache-2.0
// Responses that engines keep (OpenAI's /v1/responses): a request that names one goes to the engine that has it.
//
// Which engine that is all routers of a pool know: when a response begins that its engine keeps, it becomes a session of
// the pool, by a booking that lasts for a moment (CLAIM with the response's id as request and session, then RELEASE),
// and nobody waits for that. FIND asks for that session (EXPLAIN tells of it and books nothing).
//
//   the pool knows the id          there, and nowhere else
//   it doesn't, or has forgotten,  engines are asked in turn, up to ROUTER_MAX_TRIES, until one says other than 404
//     or that worker is gone
//
// A pool remembers a session for SESSIONTTL, engines often longer.
#ifndef ROUTER_STORED_H
#define ROUTER_STORED_H

#include <jansson.h>
#include <stdbool.h>

#include "client/router/prompt/router_prompt_kind.h"

struct router_request;

// The id of the response that a request is about, or goes on from; to be freed. NULL: none, or one that no pool could
// remember.
char *router_stored_id(enum router_prompt_kind kind, const char *path, const json_t *body);
void router_stored_enter(struct router_request *r); // FIND
// A piece of the answer has come, or its end: if it is a response that is kept, the pool is told.
void router_stored_note(struct router_request *r, bool over);
// In HEAD: whether this answer only says that another engine may have it.
bool router_stored_elsewhere(const struct router_request *r);

#endif
