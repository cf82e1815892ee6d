// SPDX-License-Identifier: Apache-2.0
// The processes that are measured: a redis-server, mock engines, a router, another one that calls the same engines over
// TLS, haproxy.
#ifndef BENCH_ROUTER_SETUP_H
#define BENCH_ROUTER_SETUP_H

#include <stdbool.h>
#include <sys/types.h>

#include "bench/common/bench_engines.h"
#include "tests/support/support_redis.h"

enum { BENCH_ENGINES = 4, BENCH_ADVISE_WORKERS = 64 };

struct bench_router_setup {
    struct support_redis redis;
    struct bench_engine engines[BENCH_ENGINES];
    pid_t router, tls_router, haproxy;
    int router_port, tls_router_port,
        haproxy_port;                // tls_router_port, haproxy_port 0: there is none
    int haproxy_at_once_port;        // of the same one, with http-no-delay
    int tls_ports[BENCH_ENGINES];    // 0: there is no TLS
    char certificate[256], key[256]; // files; "": there are none
};

// A certificate for the engines, where openssl is installed; otherwise there is no TLS.
void bench_router_certificate(struct bench_router_setup *s);
// Makes the pool "advise", with so many workers that nobody reaches.
void bench_router_fill_advise(struct support_redis *redis);
// Engines' options besides the port and the model. False with a message.
bool bench_router_engines(struct bench_router_setup *s, const char *time_scale,
                          const char *decode_speed);
// A router of its own process in front of the engines, and of the pool "advise"; another one, of a pool of its own, if
// there is TLS.
bool bench_router_routers(struct bench_router_setup *s);
bool bench_router_haproxy(struct bench_router_setup *s); // true also where haproxy isn't installed
void bench_router_end_engines(struct bench_router_setup *s); // engines, routers and haproxy

#endif
