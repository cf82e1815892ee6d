// SPDX-License-Identifier: Apache-2.0
// TOKENIZE: engines are asked for the token ids of a prompt, for pools whose engines report blocks of ids.
//
// A request goes on whatever comes of this, without blocks if it must, so it never waits for long: an
// engine has ROUTER_TOKENIZE_MS, then another is asked, and that is all. Only engines with closed circuits
// are asked, in turn; one that didn't answer is left out for a while, and so is one that has no such path.
// An engine that renders requests is asked to render a chat of nothing but text instead: then its template,
// its own settings and whatever the request says of them are in the ids.
// A 404 that is about the model is no such answer: it is one client's mistake.
#ifndef ROUTER_TOKENIZE_H
#define ROUTER_TOKENIZE_H

#include <stdbool.h>

struct router_pool;
struct router_proxy;
struct router_request;

enum { ROUTER_TOKENIZE_MS = 300 };

// Whether anybody can be asked now for this model's tokens (NULL: none is named).
bool router_tokenize_can(const struct router_proxy *p, const struct router_pool *pool,
                         const char *model);
void router_tokenize_enter(struct router_request *r);
void router_tokenize_leave(struct router_request *r); // whatever is under way, nobody waits for it

#endif
