// SPDX-License-Identifier: Apache-2.0
// The sockets of one rank: a subscription, and for each replay a DEALER of its own.
//
// ZeroMQ on a libevent loop: a socket's file descriptor says that something may have changed, never
// that it is readable, and it says so once. So after every message received or sent the socket itself
// is asked (ZMQ_EVENTS), until it has nothing more; after a number of messages the rest waits for the
// loop's next turn, and the event is made active by hand, because the descriptor won't tell again.
//
// What the monitor of the subscription has to tell of connections is read before each message is
// handed on: the first message of another engine never arrives before the news that there is one.
//
// A fresh DEALER for each replay has a new identity, so that late replies to an earlier request can't
// be taken for answers to this one.
#ifndef BRIDGE_EVENT_FEED_H
#define BRIDGE_EVENT_FEED_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bridge_feed;

struct bridge_feed_options {
    const char *events, *replay; // endpoints, see bridge_feed_endpoint; replay NULL or "": none
    const char *topic;           // prefix; NULL or "": all
    bool bind;                   // the subscription; the engine connects
};

struct bridge_feed_port {
    void *ctx;
    void (*connected)(void *ctx);
    void (*live)(void *ctx, uint64_t seq, const void *payload, size_t n);
    void (*reply)(void *ctx, uint64_t seq, const void *payload, size_t n);
    void (*end)(void *ctx);
};

struct bridge_feed_stats {
    bool connected;
    uint64_t bad_frames, foreign; // messages of a wrong form, of another topic
    uint64_t connects, bytes;
};

// NULL with a reason: an endpoint that isn't one or can't be bound, or no memory. Options are copied.
struct bridge_feed *bridge_feed_new(void *zmq, struct event_base *base,
                                    const struct bridge_feed_options *options,
                                    const struct bridge_feed_port *port, char *error,
                                    size_t error_size);
void bridge_feed_free(struct bridge_feed *f);
void bridge_feed_request(struct bridge_feed *f, uint64_t from); // instead of one that is under way
void bridge_feed_cancel(struct bridge_feed *f);
void bridge_feed_get_stats(const struct bridge_feed *f, struct bridge_feed_stats *out);

// The endpoint of a rank: of tcp:// the port is higher by the rank, inproc:// names get _dp<rank>.
// False: it has no rank of that number.
bool bridge_feed_endpoint(const char *base, uint32_t rank, char *out, size_t size);

#endif
