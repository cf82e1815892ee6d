// SPDX-License-Identifier: Apache-2.0
// A fleet behind HTTP: a server, mock engines, kvroute-routers that register them, and clients that talk to
// the routers as to an engine. Clients keep no truth of the pool as those of ha_client.h do; theirs is that every
// request is answered, whole and without an error.
#ifndef HA_HTTP_H
#define HA_HTTP_H

#include "ha_scenario.h"
#include "ha_server.h"

enum { HA_HTTP_ROUTERS = 2, HA_HTTP_MAX_ENGINES = 6, HA_HTTP_MAX_CLIENTS = 8 };

struct ha_http_plan { // numbers must be given
    size_t engines, clients;
    const char *engine_options; // words for kvroute-mock-engine; NULL: none
    const char *router_options; // words for kvroute-router; NULL: none
    bool streams;               // every second request asks for one
    bool without_redis;         // the server is down when the routers start
    size_t few_files;           // RLIMIT_NOFILE of the first router; 0: as this process
};

struct ha_http_engine {
    struct ha_process *process;
    int port;
    char options[160];
};

// What a client has seen, in memory that is shared with it.
struct ha_http_client {
    struct ha_process *process;
    _Atomic bool stop, busy;                     // busy: a request is under way
    _Atomic bool may_refuse;                     // the first router may say 503 with a code
    _Atomic uint64_t requests, refusals, errors; // refusals: those that were allowed
    _Atomic int64_t longest_ms;                  // without a good answer
    char first_error[160];
};

struct ha_http {
    struct ha_server *server;
    struct ha_http_engine engines[HA_HTTP_MAX_ENGINES];
    struct ha_process *routers[HA_HTTP_ROUTERS];
    int ports[HA_HTTP_ROUTERS]; // of the routers
    struct ha_http_client *clients;
    size_t n_engines, n_clients;
};

struct ha_http_router_plan {
    size_t number; // of its log
    int port;
    const struct ha_server *server;
    const struct ha_http_engine *engines; // that it registers; at most 8
    size_t n_engines;
    const char *options; // words; NULL: none
    size_t few_files;    // RLIMIT_NOFILE; 0: as this process
    bool replaced;       // it will be, by ha_http_router_replace
};
struct ha_process *ha_http_router_start(const struct ha_http_router_plan *plan);
// A new process takes the place of the router that was started with this number: SIGUSR2. The old one ends by
// itself, and is left to that.
void ha_http_router_replace(struct ha_process *router, size_t number);
// Until all routers at these ports can route.
void ha_http_wait_routed(const int *ports, size_t n);
// Until they know what each engine serves, and so which program it is: before, they protect no stream of it.
void ha_http_wait_learnt(size_t routers, size_t engines);
// The sum of a counter of theirs, by its name without "kvroute_router_".
uint64_t ha_http_sum(const int *ports, size_t n, const char *name);
// Whether the pool comes to have no booking.
bool ha_http_wait_empty(struct ha_server *server);

// Starts all of it; clients are at work when it returns.
void ha_http_start(struct ha_http *h, const struct ha_http_plan *plan);
// Again, after it has ended; waits until it answers.
void ha_http_engine_start(struct ha_http_engine *e);
// Notes what is about to be broken, and how many requests are under way.
void ha_http_note_fault(struct ha_result *v, const struct ha_http *h, const char *what);
// Notes something that should have been so and wasn't.
void ha_http_note_wrong(struct ha_result *v, const char *what);
// From now on the first router may, or may not, refuse clients with 503 and a code.
void ha_http_may_refuse(struct ha_http *h, bool may);
uint64_t ha_http_refusals(const struct ha_http *h);
void ha_http_wait_ready(const struct ha_http *h); // until all routers can route
// Engines with an open circuit in the pool.
int64_t ha_http_open_circuits(const struct ha_http *h);
// Waits until so many engines have an open circuit in the pool; until clients' requests are booked.
void ha_http_wait_circuits(const struct ha_http *h, int64_t n);
void ha_http_wait_booked(const struct ha_http *h);
// The sum of a counter of all routers, by its name without "kvroute_router_".
uint64_t ha_http_count(const struct ha_http *h, const char *name);
// Clients end their requests; then nothing may be booked any more. Adds up what they have seen.
void ha_http_finish(struct ha_result *v, struct ha_http *h);

#endif
