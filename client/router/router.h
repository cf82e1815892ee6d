// SPDX-License-Identifier: Apache-2.0
// The router: one process, one thread, one loop. What it keeps is only of requests under way and can
// be lost; all that routers have to agree on is in the pool.
#ifndef ROUTER_ROUTER_H
#define ROUTER_ROUTER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

#include "options.h"

struct server;
struct router_pools;
struct metrics;
struct access_log;
struct router_proxy;

struct router {
    struct event_base *base;
    struct options options; // replaced as a whole by SIGHUP: keep no pointers into it
    struct server *server;
    struct router_pools *pools;
    struct metrics *metrics;
    struct access_log *access;
    struct router_proxy *proxy; // what the proxy keeps between requests
    bool draining;
    int64_t began_us; // monotonic
};

#endif
