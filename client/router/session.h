// SPDX-License-Identifier: Apache-2.0
// Which session a request is of, as far as it says so.
//
// There is no one way to say it: engines and other routers take headers of several names, agents send
// one of their own, OpenAI's API has prompt_cache_key and user. So the names are settings, and
// the first one that a request has counts, headers before the body.
#ifndef ROUTER_SESSION_H
#define ROUTER_SESSION_H

#include <jansson.h>
#include <kvroute/types.h>

#include "http.h"
#include "options.h"

// Writes the session's name and returns its bytes; 0: it is of none. A name that is longer than pools
// take is replaced by 32 hex digits of its hash. body may be NULL.
size_t session_read(const struct options *o, const struct http_head *head, const json_t *body,
                    char out[KVR_MAX_ID]);

#endif
