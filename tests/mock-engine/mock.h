// SPDX-License-Identifier: Apache-2.0
// The mock engine as a whole: an HTTP server before the ranks, each a scheduler and an event stream.
// One process, one loop, no threads but libzmq's own.
#ifndef MOCK_MOCK_H
#define MOCK_MOCK_H

#include <event2/event.h>
#include <event2/http.h>
#include <jansson.h>
#include <stdbool.h>

#include "engine.h"
#include "options.h"
#include "publish.h"

struct call;

// What the next requests for answers get instead of one, and how many.
struct http_faults {
    size_t fail, reset, cut;
    int status;
    uint64_t cut_after; // tokens
    bool gently;        // closed instead of reset
};

// Faults that last until they are cleared, or for a time.
enum lasting { HANG_EVENTS, HANG_HTTP, HANG_ENGINE, UNHEALTHY, REFUSE, N_LASTING };

struct lasting_fault {
    struct mock *mock;
    struct event *timer;
    bool on;
};

struct mock {
    const struct options *options;
    struct event_base *base;
    struct evhttp *http;
    struct evhttp_bound_socket *listener; // NULL while connections are refused
    int http_port, events_port, replay_port;
    void *zmq;
    struct engine *engines[MAX_RANKS];
    struct publisher *publishers[MAX_RANKS]; // NULL: no events
    struct call *calls;
    struct http_faults faults;
    struct lasting_fault lasting[N_LASTING];
    uint64_t lives;
};

// NULL: *why says what was in the way.
struct mock *mock_new(struct event_base *base, const struct options *options, const char **why);
void mock_free(struct mock *m);
json_t *mock_where(const struct mock *m); // its ports, as the first line tells them
bool mock_listen(struct mock *m);         // again, after it was refused
void mock_refuse(struct mock *m);
// As if the process had died and come back: connections reset, caches empty, numbers from 0.
void mock_restart(struct mock *m, bool cleared, bool rebind);

#endif
