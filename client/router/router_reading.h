// SPDX-License-Identifier: Apache-2.0
// A request's body is read: here and now if it is small, in the thread beside the loop if it isn't. A
// megabyte of keys takes longer to parse than a hundred other requests take altogether.
//
//     struct my_reading {
//         struct router_reading reading; // first
//         …                              // what `run` finds
//     };
//     router_reading_start(&q->reading, x, parse, parsed, drop);
//
// `run` has the body and the rest of the reading to itself, and nothing else; `then` is called in the loop
// and ends with one of
//     router_reading_again   another step of the same kind
//     router_reading_refuse  it is over, and the exchange has its answer
//     router_reading_drop    it is over
// When the client leaves, neither is called any more, and the reading is dropped. What a reading has is
// freed by `drop`, also in the thread, since freeing a million values takes its time, too.
#ifndef ROUTER_READING_H
#define ROUTER_READING_H

#include <event2/buffer.h>

#include "router_offload.h"

struct router_exchange;

enum {
    ROUTER_READING_SMALL = 32 << 10, // bytes of a body that is read in the loop
    ROUTER_READING_MESSAGE = 1100,
};

struct router_reading {
    struct router_job job;     // first
    struct router_exchange *x; // NULL: its client has left. Not for `run`
    struct evbuffer *body;     // the exchange's
    struct router_offload *offload;
    bool apart; // in the thread
    void (*run)(struct router_reading *q);
    void (*then)(struct router_reading *q);
    void (*drop)(struct router_reading *q); // frees what it has, but not itself
};

typedef void router_reading_step(struct router_reading *q);

// q is allocated by malloc, and freed after `drop`; NULL: no memory, and the exchange is answered so. The
// exchange's `arg` and `on_gone` are the reading's until `then`.
void router_reading_start(struct router_reading *q, struct router_exchange *x,
                          router_reading_step *run, router_reading_step *then,
                          router_reading_step *drop);
// Before what waits: so there are never more bodies parsed than can be used.
void router_reading_again(struct router_reading *q, router_reading_step *run,
                          router_reading_step *then);
void router_reading_drop(struct router_reading *q);
// The message may be the reading's own; it is cut to ROUTER_READING_MESSAGE.
void router_reading_refuse(struct router_reading *q, int status, const char *code,
                           const char *message);

#endif
