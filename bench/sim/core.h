// SPDX-License-Identifier: Apache-2.0
// The module's core in a router's own process: a pool without Redis, with the fleet's engines in it.
#ifndef FLEET_CORE_H
#define FLEET_CORE_H

#include "router.h"

struct core {
    struct kvr_pool *pool;
    uint64_t seq[MAX_WORKERS];
};

// predict: ms for which a booked request's blocks count as held, 0: off. Ends the program if it can't.
void core_open(struct core *c, const struct world *w, int64_t predict);
void core_close(struct core *c);
void core_worker(struct core *c, const struct world *w, uint32_t worker, bool there);
// What it can't follow, because it has lost what came before, it ignores.
void core_changed(struct core *c, const struct world *w, const struct change *x);

// Names of engines and ids of requests, as pools know them.
enum { CORE_NAME = 8, CORE_SESSION = 12 };
struct kvr_bytes core_name(uint32_t worker, char room[CORE_NAME]);
uint32_t core_number(const char *name, size_t n); // NOBODY: no engine's name
struct kvr_bytes core_id(const uint32_t *request);
// The session that the request names; empty: none, as where sessions aren't named.
struct kvr_bytes core_session(const struct world *w, uint32_t request, char room[CORE_SESSION]);
int64_t core_ms(double seconds); // since the epoch, at so many seconds of the run

#endif
