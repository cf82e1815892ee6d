// SPDX-License-Identifier: Apache-2.0
// Mock engines and the bridges beside them, of one run.
#ifndef DEMO_MOCKS_H
#define DEMO_MOCKS_H

#include "bench/common/engines.h"
#include "bench/common/server.h"
#include "options.h"

struct mocks {
    struct engine_process engines[MAX_MOCKS];
    size_t n;
    struct bridge_process bridges[2]; // each has half of the engines
    size_t n_bridges;
    char url[64], log[220]; // the bridges', in the server's folder
};

// False, with a message, when something doesn't come up.
bool mocks_start(struct mocks *m, const struct options *o, size_t capacity);
// Bridges to the pool; returns when it knows all engines, and hears them.
bool mocks_bridge(struct mocks *m, const struct server *s);
// Waits until the pool holds what the engines do. *blocks: what is different, when it was given up.
bool mocks_compare(const struct mocks *m, struct server *s, long *blocks);
void mocks_end(struct mocks *m);

#endif
