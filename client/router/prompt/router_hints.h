// SPDX-License-Identifier: Apache-2.0
// What a request says of itself besides its prompt, for the pool's choice: its session, and how long its
// answer is expected to be.
//
// There is no one way to name a session: engines and other routers take headers of several names,
// agents send one of their own, OpenAI's API has prompt_cache_key and user. So the names are
// settings, and the first one that a request has counts, headers before the body.
#ifndef ROUTER_HINTS_H
#define ROUTER_HINTS_H

#include <jansson.h>
#include <kvroute/types.h>

#include "client/http1/h1_parse.h"
#include "client/router/router_config.h"

// Writes the session's name and returns its length; 0: the request names none. A name that is longer than
// pools take is replaced by 32 hex digits of its hash. body may be NULL.
size_t router_hints_session(const struct router_config *o, const struct h1_head *head,
                            const json_t *body, char out[KVR_MAX_ID]);
// Tokens that the header X-Kvroute-OSL says the answer will have; 0: it isn't there, or is no such number.
int64_t router_hints_osl(const struct h1_head *head);

#endif
