// SPDX-License-Identifier: Apache-2.0
// When a router that has just begun routes as well as one that has been there for long.
#ifndef ROUTER_SETTLED_H
#define ROUTER_SETTLED_H

#include <stdbool.h>

struct router;

// All pools have been seen, and engines asked what they serve. Where that takes long (Redis is away, an engine is
// dead), it is enough after a few seconds that some worker is known.
bool router_has_settled(const struct router *r);

#endif
