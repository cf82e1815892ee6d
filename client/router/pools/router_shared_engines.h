// SPDX-License-Identifier: Apache-2.0
// Engines that were registered over HTTP (router_register.h). Nobody's settings have them, so they belong to all
// routers of the pool, which know them by the worker's label:
//
//   by=http      Every router that sees it looks after it. When less than two thirds of its time to live are left,
//                whoever notices asks it for its health, and renews it if it is well. So it stays while any router
//                is there and the engine answers; it expires when it doesn't, and comes back when it does again,
//                as long as the pool keeps it (WORKERGRACE). Its time is SHARED_TTLS times `ttl`, so that it
//                outlives a router's restart.
//   by=leaving   Nobody renews it, and it never expires: it is drained. Whoever took the DELETE removes it when it
//                is idle and all have had time to see that it leaves; the others do so later, in case that one is gone.
//
// A renewal names nothing but the time: what was changed meanwhile stays. But what a handle has said it says again
// to a server that lost it, and so each router says all of a worker once, as it sees it, when that hasn't
// changed for some refreshes: then any of them can put the fleet back. Of a worker that is leaving, or has been
// gone for longer than a server needs to be told everything, it forgets that again; otherwise the next failover would
// bring back what was taken out.
//
// Rejected: a list of engines beside the pool's (two truths, and two things to replicate); an owner for each (he may
// be gone for good).
#ifndef ROUTER_SHARED_ENGINES_H
#define ROUTER_SHARED_ENGINES_H

#include <stdint.h>

struct router;
struct router_pool;
struct router_shared_engines;

// When the router has its pools and its connections to engines. NULL: no memory.
struct router_shared_engines *router_shared_engines_new(struct router *r);
void router_shared_engines_free(struct router_shared_engines *s); // before these connections go
// This router has taken the DELETE of the worker, which is in the pool's list.
void router_shared_engines_remove(struct router_shared_engines *s, const struct router_pool *p,
                                  const char *worker);
int64_t router_shared_engines_ttl(const struct router *r); // ms

#endif
