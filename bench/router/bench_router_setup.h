// SPDX-License-Identifier: Apache-2.0
// The processes that are measured: a redis-server, mock engines, a router, haproxy.
#ifndef BENCH_ROUTER_SETUP_H
#define BENCH_ROUTER_SETUP_H

#include <stdbool.h>
#include <sys/types.h>

#include "bench/common/bench_engines.h"
#include "tests/support/support_redis.h"

enum { BENCH_ENGINES = 4 };

struct bench_router_setup {
    struct support_redis redis;
    struct bench_engine engines[BENCH_ENGINES];
    pid_t router, haproxy;
    int router_port, haproxy_port; // haproxy_port 0: there is none
};

// Engines' options besides the port and the model. False with a message.
bool bench_router_engines(struct bench_router_setup *s, const char *time_scale,
                          const char *decode_speed);
// A router of its own process in front of the engines, and of the pool "advise".
bool bench_router_router(struct bench_router_setup *s);
bool bench_router_haproxy(struct bench_router_setup *s); // true also where haproxy isn't installed
void bench_router_end_engines(struct bench_router_setup *s); // engines, router and haproxy

#endif
