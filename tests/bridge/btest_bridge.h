// SPDX-License-Identifier: Apache-2.0
// A bridge beside a real redis-server with the module. Both die with the test process.
#ifndef BTEST_BRIDGE_H
#define BTEST_BRIDGE_H

#include "tests/support/support_redis.h"

enum { BTEST_BLOCK_SIZE = 4, BTEST_WAIT_MS = 60000 };
#define BTEST_CREATE "BLOCKSIZE 4"

struct btest_bridge {
    struct support_redis redis;
    pid_t pid;
    int metrics;
    char log[300];
};

void btest_bridge_redis(struct btest_bridge *b); // starts the server, or after a kill an empty one
// `more`: flags after those of the pool, NULL at the end.
void btest_bridge_start(struct btest_bridge *b, const char *const *more);
void btest_bridge_stop(struct btest_bridge *b); // both

// What the pool says of rank 0 of worker w: its overlap with these blocks, and how many it holds;
// -1: not known, or Redis isn't there.
long long btest_bridge_overlap(struct btest_bridge *b, const uint64_t *hashes, size_t n);
long long btest_bridge_held(struct btest_bridge *b, const char *tier_field);

#endif
