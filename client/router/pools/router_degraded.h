// SPDX-License-Identifier: Apache-2.0
// Choosing when the pool can't, and libkvroute doesn't either: Redis is there but refuses (it is full,
// the user may not, the key is something else), or hasn't been there since the start. Nothing is booked
// then. Of the workers that are known (from the last refresh, or from the settings) it is the one with the
// fewest requests of this router; of equals, the one that was chosen longest ago.
#ifndef ROUTER_DEGRADED_H
#define ROUTER_DEGRADED_H

#include <kvroute/client.h>
#include <stdbool.h>

struct router_pool;
struct router_circuits;
struct router_worker;

// Whether this answer to SELECT is one that says nothing about the workers.
bool router_degraded_applies(const struct router_pool *p, enum kvr_code code);
// Of those that serve the model (NULL: none is named); leaves out those named and, if another can be had, those
// with open circuits. False: there is none.
bool router_degraded_choose(struct router_pool *p, const struct router_circuits *c,
                            const char *model, const struct kvr_bytes *exclude, size_t n,
                            struct kvr_result *out);
// Whether a is to be chosen rather than b, which may be NULL: of those that don't differ in their circuits it is the one
// with fewer requests, and then the one that was chosen longer ago.
bool router_degraded_is_better(const struct router_pool *p, const struct router_circuits *c,
                               const struct router_worker *a, const struct router_worker *b);

#endif
