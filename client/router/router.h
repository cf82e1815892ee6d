// SPDX-License-Identifier: Apache-2.0
// The router: one process, one thread, one loop. What it keeps is only of requests under way and can
// be lost; all that routers have to agree on is in the pool.
#ifndef ROUTER_ROUTER_H
#define ROUTER_ROUTER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

#include "router_config.h"

struct h1_server;
struct router_front;
struct router_pools;
struct router_metrics;
struct router_access_log;
struct router_proxy;

struct router {
    struct event_base *base;
    struct router_config config; // replaced as a whole by SIGHUP: keep no pointers into it
    struct h1_server *server;    // NULL: closed
    struct router_front *front;
    struct router_pools *pools;
    struct router_metrics *metrics;
    struct router_access_log *access;
    struct router_proxy *proxy; // what the proxy keeps between requests
    bool draining;
    int64_t began_us; // monotonic
};

#endif
