// SPDX-License-Identifier: Apache-2.0
// The listening side: the HTTP server as the settings say, who may come in, what goes to which route, and what
// is counted and logged of each request.
#ifndef ROUTER_FRONT_H
#define ROUTER_FRONT_H

#include <stdbool.h>
#include <stddef.h>

#include "client/router/router_exchange.h"

struct router;
struct router_front;

extern const struct router_route router_routes[]; // what is where; ended by a NULL path

// Listens as the settings say. NULL with a reason.
struct router_front *router_front_new(struct router *r, char *error, size_t error_size);
// After the settings were replaced: limits, certificate and tokens anew. False with a reason: all is as it
// was.
bool router_front_reload(struct router_front *f, char *error, size_t error_size);
void router_front_free(struct router_front *f);

#endif
