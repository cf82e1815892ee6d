// SPDX-License-Identifier: Apache-2.0
// The sockets of one rank: a subscription, and for each replay a DEALER of its own.
//
// A subscription whose connection ends is opened anew, and so is one that couldn't connect in time. Little is
// queued here, see feed_socket.h: the subscription has room for a few messages, and a replay for as many as are
// some MiB by what came last. What the engine drops because of that is missing, and a replay brings it.
//
// A fresh DEALER for each replay has a new identity, so that late replies to an earlier request can't
// be taken for answers to this one. A request that reached nobody is sent again.
#ifndef BRIDGE_EVENT_FEED_H
#define BRIDGE_EVENT_FEED_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct evdns_base;
struct bridge_feed;

struct bridge_feed_options {
    const char *events, *replay; // endpoints, see event_sources.h; replay NULL or "": none
    const char *topic;           // prefix; NULL or "": all
    bool bind;                   // the subscription; the engine connects
    struct evdns_base *dns;      // for names; NULL: the C library, see endpoint_lookup.h
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

#endif
