// SPDX-License-Identifier: Apache-2.0
// What is where: a table, ended by a NULL path.
#ifndef ROUTER_ROUTES_H
#define ROUTER_ROUTES_H

#include "client/router/router_exchange.h"

typedef void router_handler(struct router_exchange *x);

struct router_route {
    const char *path;
    unsigned methods; // of enum h1_method
    router_handler *handle;
    const char *name; // in metrics
    unsigned flags;
};
enum {
    ROUTER_ROUTE_OPEN = 1,    // needs no token
    ROUTER_ROUTE_DRAINING = 2 // answered also when the router is draining or full
};
extern const struct router_route router_routes[];

#endif
