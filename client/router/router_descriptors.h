// SPDX-License-Identifier: Apache-2.0
// How many connections there may be, of clients and to engines, with the descriptors that the process may
// open. Whoever is let in can be served: there is one for his engine, and Redis has some that nobody else
// gets. Otherwise idle clients alone would cut a router off, and it would take that for its engines' fault.
#ifndef ROUTER_DESCRIPTORS_H
#define ROUTER_DESCRIPTORS_H

#include <stdbool.h>
#include <stddef.h>

#include "router_config.h"

struct router_descriptors {
    size_t limit;            // of the process
    size_t clients, engines; // connections; clients: at most max_connections
};

// Shares them out. False with a reason: they are too few.
bool router_descriptors_share(struct router_descriptors *d, const struct router_config *o,
                              char *error, size_t error_size);

#endif
