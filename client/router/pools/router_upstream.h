// SPDX-License-Identifier: Apache-2.0
// The connections to engines, which all that asks them something shares: one HTTP client, with the limits and the
// certificates of the settings.
#ifndef ROUTER_UPSTREAM_H
#define ROUTER_UPSTREAM_H

#include <stdbool.h>
#include <stddef.h>

struct h1_client;
struct router;

// NULL with a reason: certificates that can't be read, or no memory.
struct h1_client *router_upstream_new(const struct router *r, char *error, size_t error_size);
// After the router's options were replaced, for calls from now on; the certificates are read anew. False with a
// reason: all is as it was.
bool router_upstream_reload(const struct router *r, char *error, size_t error_size);

#endif
