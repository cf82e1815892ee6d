// SPDX-License-Identifier: Apache-2.0
// What is where: a table, ended by a NULL path.
#ifndef ROUTER_ROUTES_H
#define ROUTER_ROUTES_H

#include "server.h"

extern const struct route routes[];

#endif
