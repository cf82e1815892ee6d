// SPDX-License-Identifier: Apache-2.0
// A real redis-server with the module, and real bridges. All of them die with the test process.
#ifndef BTEST_REDIS_H
#define BTEST_REDIS_H

#include <hiredis/hiredis.h>
#include <stdint.h>
#include <sys/types.h>

enum { BLOCK = 4, PATIENCE_MS = 60000 }; // tokens a block of the pool

struct stand {
    pid_t server, bridge;
    int port, metrics;
    redisContext *look;
    char log[300]; // the bridge's
};

void stand_server(struct stand *s); // on a new port, or, after a kill, empty on the same
// `more`: flags after those of the pool, NULL at the end.
void stand_bridge(struct stand *s, const char *const *more);
int stand_wait(pid_t *pid); // its exit code; the test fails after PATIENCE_MS
void stand_down(struct stand *s);

// What the pool says of rank 0 of worker w: its overlap with these blocks, and how many it holds;
// -1: not known, or Redis isn't there.
long long stand_overlap(struct stand *s, const uint64_t *hashes, size_t n);
long long stand_held(struct stand *s, const char *tier_field);
redisReply *stand_say(struct stand *s, const char *format, ...); // hiredis's formats

#endif
