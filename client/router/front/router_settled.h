// SPDX-License-Identifier: Apache-2.0
// When a router that has just begun routes as well as one that has been there for long. Where that takes long (Redis is
// away, an engine stands still), a few seconds are enough.
#ifndef ROUTER_SETTLED_H
#define ROUTER_SETTLED_H

#include <stdbool.h>

struct router;

// Engines have been asked what they serve, and have answered or not: else the first to answer would get all requests.
// Once it is so, it stays so: an engine that joins later makes no router a beginner.
bool router_has_asked(struct router *r);
// All pools have been seen, too; or, after these seconds, some worker is known.
bool router_has_settled(struct router *r);

#endif
