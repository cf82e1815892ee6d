// SPDX-License-Identifier: Apache-2.0
// The mock engine as a whole: an HTTP server before the ranks, each a scheduler and an event stream.
// One process, one loop, no threads but libzmq's own.
#ifndef MOCK_ENGINE_H
#define MOCK_ENGINE_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>

#include "client/common/list.h"
#include "client/http1/h1_server.h"
#include "mock_options.h"
#include "mock_publish.h"
#include "mock_scheduler.h"
#include "mock_store.h"
#include "mock_transfer.h"

// What the next requests for answers get instead of one, and how many.
struct mock_http_faults {
    size_t fail, reset, cut, abort, stall;
    int status;
    uint64_t cut_after, abort_after, stall_after; // tokens
    uint64_t stall_ms;                            // 0: until faults are cleared
    bool gently;                                  // closed instead of reset
};

// Faults that last until they are cleared, or for a time.
enum mock_lasting {
    MOCK_HANG_EVENTS,
    MOCK_HANG_HTTP,
    MOCK_HANG_ENGINE,
    MOCK_UNHEALTHY,
    MOCK_PAUSED,
    MOCK_ASLEEP,
    MOCK_REFUSE,
    MOCK_HANG_TRANSFERS,
    MOCK_N_LASTING
};

struct mock_lasting_fault {
    struct mock_engine *mock;
    struct event *timer;
    bool on;
};

// A request whose answer takes time is in one of the engine's two lists, others are in none.
struct mock_exchange {
    struct h1_exchange x;
    struct kvr_list_item item;
};

// A response that is made without anybody who waits for it. drop: ends it, and it is no more.
struct mock_background {
    struct kvr_list_item item; // first: of the engine's
    const char *id;
    void (*drop)(struct mock_background *b);
};

struct mock_engine {
    const struct mock_options *options;
    struct event_base *base;
    struct h1_server *http, *https; // https: NULL without --tls-port
    struct h1_server *side;         // for other engines; NULL without disaggregation
    int http_port, events_port, replay_port, side_port;
    void *zmq;
    struct mock_scheduler *engines[MOCK_MAX_RANKS];
    struct mock_publisher *publishers[MOCK_MAX_RANKS]; // NULL: no events
    h1_handler *serve, *serve_side;
    struct kvr_list_item answering;
    struct kvr_list_item stalled;    // answers that a fault holds back, for mock_generate.c
    uint64_t unstalled;              // how often those were let go
    struct kvr_list_item background; // responses
    struct kvr_list_item parked;     // to be served later, the oldest first
    struct event *resume;            // serves them
    bool in_step; // a scheduler is within a step, and can't be changed: what comes is parked
    struct mock_http_faults faults;
    struct mock_lasting_fault lasting[MOCK_N_LASTING];
    uint64_t lives;
    struct mock_transfers transfers;
    struct mock_store *store; // or NULL
    struct mock_rooms *rooms; // of requests that met another engine's
    uint64_t n_requests;
    json_t *kept; // responses by their ids, for mock_kept.c; NULL: none
};

// Every request goes to `serve`, those of other engines to `serve_side`, with the engine as its ctx.
// NULL: *why says what was in the way.
struct mock_engine *mock_engine_new(struct event_base *base, const struct mock_options *options,
                                    h1_handler *serve, h1_handler *serve_side, const char **why);
void mock_engine_free(struct mock_engine *m);
json_t *
mock_engine_describe(const struct mock_engine *m); // its ports, as the first line tells them
// As if the process had died and come back: connections reset, caches empty, numbers from 0.
void mock_engine_restart(struct mock_engine *m, bool cleared, bool rebind);

bool mock_engine_listen(struct mock_engine *m);
void mock_engine_refuse(struct mock_engine *m); // connections, until it listens again
// The answer takes time: a restart resets the connection, after on_gone.
static inline void mock_engine_answering(struct mock_engine *m, struct h1_exchange *x) {
    kvr_list_push(&m->answering, &((struct mock_exchange *)x)->item);
}
// Puts a request off until mock_engine_resume; then it is served as if it had just come.
void mock_engine_park(struct mock_engine *m, struct h1_exchange *x);
void mock_engine_resume(struct mock_engine *m); // at the loop's next turn

#endif
