// SPDX-License-Identifier: Apache-2.0
// A fleet of real processes: redis-server, mock engines and so many routers in front of one pool.
#ifndef BENCH_FLEET_H
#define BENCH_FLEET_H

#include "bench/common/bench_engines.h"
#include "tests/support/support_redis.h"

enum { BENCH_FLEET_ROUTERS = 16, BENCH_FLEET_ENGINES = 8 };

struct bench_fleet_plan {
    size_t engines, routers;
    const char *engine;       // options of each engine
    const char *pool;         // options of the pool; "": none
    const char *settings;     // further lines of the routers' settings
    const char *const *setup; // commands to the pool, after CREATE; NULL at the end
};

struct bench_fleet {
    struct bench_fleet_plan plan;
    struct support_redis redis;
    struct bench_engine engines[BENCH_FLEET_ENGINES];
    pid_t routers[BENCH_FLEET_ROUTERS];
    int ports[BENCH_FLEET_ROUTERS];
};

// Comes up, or ends the program with a message. All routers know all engines then.
void bench_fleet_start(struct bench_fleet *f, const struct bench_fleet_plan *plan);
void bench_fleet_end(struct bench_fleet *f);
// Seconds of steps of all engines so far: what they were in use.
double bench_fleet_step_seconds(struct bench_fleet *f);

#endif
