// SPDX-License-Identifier: Apache-2.0
// A request's body for the router's own use, read as widely as engines read theirs. Engines are Python
// programs, and their reader takes what JSON doesn't allow or other readers don't: a byte order mark, NaN
// and Infinity, numbers of any size, halves of a surrogate pair, UTF-16. What is read here only chooses the
// engine; the engine gets the body as it came, and it alone says whether that is good.
#ifndef ROUTER_LOOSE_JSON_H
#define ROUTER_LOOSE_JSON_H

#include "router_json.h"

// As router_json_parse. What is beyond its reader is read as something of the same length: a number as 0, half
// a pair as U+FFFD. Of what is UTF-16 or UTF-32 nothing is known: an empty object.
json_t *router_loose_json_parse(struct evbuffer *body, char *why, size_t size);

#endif
