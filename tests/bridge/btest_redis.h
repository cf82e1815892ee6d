// SPDX-License-Identifier: Apache-2.0
// A real redis-server with the module, and real bridges. All of them die with the test process.
#ifndef BTEST_REDIS_H
#define BTEST_REDIS_H

#include <hiredis/hiredis.h>
#include <stdint.h>
#include <sys/types.h>

enum { BTEST_BLOCK = 4, BTEST_PATIENCE_MS = 60000 }; // tokens a block of the pool

struct btest_redis {
    pid_t server, bridge;
    int port, metrics;
    redisContext *look;
    char log[300]; // the bridge's
};

void btest_redis_start(struct btest_redis *s); // on a new port, or, after a kill, empty on the same
// `more`: flags after those of the pool, NULL at the end.
void btest_redis_bridge(struct btest_redis *s, const char *const *more);
int btest_redis_wait(pid_t *pid); // its exit code; the test fails after BTEST_PATIENCE_MS
void btest_redis_stop(struct btest_redis *s);

// What the pool says of rank 0 of worker w: its overlap with these blocks, and how many it holds;
// -1: not known, or Redis isn't there.
long long btest_redis_overlap(struct btest_redis *s, const uint64_t *hashes, size_t n);
long long btest_redis_held(struct btest_redis *s, const char *tier_field);
redisReply *btest_redis_command(struct btest_redis *s, const char *format,
                                ...); // hiredis's formats

#endif
