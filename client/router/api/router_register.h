// SPDX-License-Identifier: Apache-2.0
// POST /kvroute/workers: an engine joins a pool, by its URL. It is asked whether it is there and what it is
// (engine_probe.h), registered as a worker with the label by=http, and from then on looked after by all routers
// (router_shared_engines.h). Doing it again says it anew: of the name, and of all else, the last word counts.
//
// DELETE /kvroute/workers/NAME: it gets no new requests, and is removed when it has none. Doing it again changes
// at most the time that they have.
//
//   400 BADREQUEST    a field that isn't known, or isn't what it should be
//   404 NOPOOL, NOWORKER
//   409 EXISTS        a worker of that name is registered by others, at another address
//   409 NOTOURS       DELETE of one that is registered by others, who would bring it back
//   409 BLOCKSIZE     the engine's blocks are of another size than the pool's
//   502 UNREACHABLE   the engine doesn't answer, or says that it isn't well
// and those of the pool's commands. 202 with `degraded`: Redis is away, and is told when it is back.
#ifndef ROUTER_REGISTER_H
#define ROUTER_REGISTER_H

struct router_exchange;

void router_register(struct router_exchange *x);
void router_remove(struct router_exchange *x);

#endif
