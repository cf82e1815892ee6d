// SPDX-License-Identifier: Apache-2.0
// What a router is called among others: HOST:PORT:PID, the first port it listens at. Its connections to
// Redis have that as their name, behind a prefix.
#ifndef ROUTER_IDENTITY_H
#define ROUTER_IDENTITY_H

#define ROUTER_IDENTITY_PREFIX "kvroute-router:"
enum { ROUTER_IDENTITY_SIZE = 160 };

struct router_config;

// Letters, digits and ".-_:" only: fit for a URL and for CLIENT SETNAME.
void router_identity(const struct router_config *c, char out[ROUTER_IDENTITY_SIZE]);
// Of the router whose connection has this name; NULL: it isn't a router's.
const char *router_identity_of(const char *name);

#endif
