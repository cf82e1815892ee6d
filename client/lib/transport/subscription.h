// SPDX-License-Identifier: Apache-2.0
// The pool's word of who has been admitted: one connection that subscribes to a channel of the handle's own.
//
// It goes to the server that the transport's primary is, since that is who publishes, and only once somebody
// waits. From then on it stays, and is made anew when it breaks. It carries no promise: whoever waits for a
// message asks again all the same. A connection that only listens can be dead without anybody noticing; so
// while somebody waits, the SUBSCRIBE is said again now and then, which a living server answers.
#ifndef KVR_TRANSPORT_SUBSCRIPTION_H
#define KVR_TRANSPORT_SUBSCRIPTION_H

#include "connection.h"
#include "context.h"

struct kvr_subscription_events {
    void *ctx;
    void (*opened)(void *ctx); // what was published before may have been missed
    void (*told)(void *ctx, struct kvr_bytes message);
};

struct kvr_subscription {
    struct kvr_context *context;
    const struct kvr_topology *topology;
    const struct kvr_connection_means *means;
    struct kvr_subscription_events events;
    struct kvr_connection connection;
    char channel[40];
    bool needed;       // somebody waits
    bool began;        // there was a connection; should it be gone, that hasn't been dealt with
    bool open;         // messages come
    bool denied;       // we may not subscribe; until another primary is reached
    unsigned failures; // in a row
    int64_t retry_at;  // ms, when it is closed
    int64_t check_at;  // ms, when it is open: to be asked for a sign of life
};

// context, topology, means and events are set.
void kvr_subscription_init(struct kvr_subscription *s);
void kvr_subscription_free(struct kvr_subscription *s); // closed

void kvr_subscription_need(struct kvr_subscription *s, bool needed);
// From the tick, while there is a primary, at this address; without one it is closed.
void kvr_subscription_step(struct kvr_subscription *s, const struct kvr_address *primary,
                           int64_t now);
int64_t kvr_subscription_wake_at(const struct kvr_subscription *s, int64_t now);
void kvr_subscription_close(struct kvr_subscription *s); // from the timer alone

#endif
