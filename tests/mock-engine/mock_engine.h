// SPDX-License-Identifier: Apache-2.0
// The mock engine as a whole: an HTTP server before the ranks, each a scheduler and an event stream.
// One process, one loop, no threads but libzmq's own.
#ifndef MOCK_ENGINE_H
#define MOCK_ENGINE_H

#include <event2/event.h>
#include <event2/http.h>
#include <jansson.h>
#include <stdbool.h>

#include "mock_options.h"
#include "mock_publish.h"
#include "mock_scheduler.h"

struct mock_call;

// What the next requests for answers get instead of one, and how many.
struct mock_http_faults {
    size_t fail, reset, cut;
    int status;
    uint64_t cut_after; // tokens
    bool gently;        // closed instead of reset
};

// Faults that last until they are cleared, or for a time.
enum mock_lasting {
    MOCK_HANG_EVENTS,
    MOCK_HANG_HTTP,
    MOCK_HANG_ENGINE,
    MOCK_UNHEALTHY,
    MOCK_REFUSE,
    MOCK_N_LASTING
};

struct mock_lasting_fault {
    struct mock_engine *mock;
    struct event *timer;
    bool on;
};

struct mock_engine {
    const struct mock_options *options;
    struct event_base *base;
    struct evhttp *http;
    struct evhttp_bound_socket *listener; // NULL while connections are refused
    int http_port, events_port, replay_port;
    void *zmq;
    struct mock_scheduler *engines[MOCK_MAX_RANKS];
    struct mock_publisher *publishers[MOCK_MAX_RANKS]; // NULL: no events
    struct mock_call *calls;
    struct mock_http_faults faults;
    struct mock_lasting_fault lasting[MOCK_N_LASTING];
    uint64_t lives;
};

// NULL: *why says what was in the way.
struct mock_engine *mock_engine_new(struct event_base *base, const struct mock_options *options,
                                    const char **why);
void mock_engine_free(struct mock_engine *m);
json_t *
mock_engine_describe(const struct mock_engine *m); // its ports, as the first line tells them
bool mock_engine_listen(struct mock_engine *m);    // again, after it was refused
void mock_engine_refuse(struct mock_engine *m);
// As if the process had died and come back: connections reset, caches empty, numbers from 0.
void mock_engine_restart(struct mock_engine *m, bool cleared, bool rebind);

#endif
