// SPDX-License-Identifier: Apache-2.0
// The router: one process (or several of the same kind), one loop, and a thread that reads large bodies. What it keeps is only of requests under
// way and can be lost; all that routers have to agree on is in the pool.
#ifndef ROUTER_ROUTER_H
#define ROUTER_ROUTER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

#include "client/common/list.h"
#include "router_config.h"
#include "router_descriptors.h"

struct h1_server;
struct h1_socket;
struct h1_client;
struct router_front;
struct router_pools;
struct router_found;
struct router_own_engines;
struct router_metrics;
struct router_access_log;
struct router_offload;
struct router_proxy;
struct router_shared_engines;
struct router_slots;
struct router_tracer;

struct router {
    struct event_base *base;
    struct router_config config; // replaced as a whole by SIGHUP: keep no pointers into it
    struct router_descriptors files;
    struct h1_server *server; // NULL: closed
    struct router_front *front;
    struct router_pools *pools;
    struct h1_client *upstream; // connections to engines
    struct router_found *found;
    struct router_own_engines *own_engines;
    struct router_shared_engines *shared_engines;
    struct router_metrics *metrics;
    struct router_access_log *access;
    struct router_proxy *proxy; // what the proxy keeps between requests
    struct router_offload *offload;
    struct router_tracer *tracer; // NULL: there are no traces
    struct kvr_list_item waiters; // what may be waiting in pools' queues (router_waiters.h)
    bool has_asked;               // engines, what they serve (router_settled.h)
    bool draining;                // leaves, and nobody is in its place: what comes is refused
    bool replaced; // leaves, and another process goes on in its place, with settings of its own
    // Sockets to begin with, and whether to accept nothing at first (h1_server.h).
    const struct h1_socket *inherited;
    size_t n_inherited;
    bool hold;
    // What the processes of one router share (router_slots.h), NULL: this is all of it; and which of them it is.
    struct router_slots *slots;
    size_t process;
    int64_t began_us;          // of this process, monotonic
    int64_t since_us, since_s; // of the router, which may be of several; since_s: since 1970
};

#endif
