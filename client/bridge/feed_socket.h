// SPDX-License-Identifier: Apache-2.0
// A ZeroMQ socket on a libevent loop.
//
// A socket's file descriptor says that something may have changed, never that it is readable, and it
// says so once. So after every message received or sent the socket itself is asked (ZMQ_EVENTS), until it
// has nothing more. A turn of the loop is short in messages, bytes and time, and comes after all else that the
// loop has to do: who floods must keep nobody waiting. The rest waits for the next turn, for which a timer
// is set, because the descriptor won't tell again.
//
// What comes faster than it is read stays with the sender: libzmq queues up to `hwm` messages here and
// then reads no further.
//
// What the monitor has to tell of connections is read before each message is handed on: the first message
// of another peer never arrives before the news that there is one. A connection that ends isn't made anew by
// libzmq: 4.3 aborts the process when the queue of the old one was full. So a socket that connects has
// one connection in its life, and whoever has it opens another socket; its messages end with it. Heartbeats of
// libzmq's would end connections whose messages wait, so TCP's look for peers that are gone.
#ifndef BRIDGE_FEED_SOCKET_H
#define BRIDGE_FEED_SOCKET_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zmq.h>

// Of the loop's events: engines' messages come after all else. A loop without so many has one for all.
enum { BRIDGE_PRIORITIES = 3, BRIDGE_BULK_PRIORITY = 2 };

enum { BRIDGE_MAX_FRAMES = 5 }; // one more than anything has

struct bridge_frames {
    zmq_msg_t frames[BRIDGE_MAX_FRAMES];
    unsigned n; // of the frames kept
    unsigned all;
};

struct bridge_socket;

struct bridge_socket_options {
    int type; // ZMQ_SUB, ZMQ_DEALER
    const char *endpoint;
    const char *topic; // of a SUB
    bool bind;
    int hwm; // messages
};

// Any of them may close the socket.
struct bridge_socket_port {
    void *ctx;
    void (*connected)(void *ctx);
    // The connection has ended or couldn't be made. One that connects is of no further use.
    void (*lost)(void *ctx);
    void (*message)(void *ctx, struct bridge_frames *m);
};

// NULL, and zmq_errno() says why.
struct bridge_socket *bridge_socket_open(void *zmq, struct event_base *base,
                                         const struct bridge_socket_options *options,
                                         const struct bridge_socket_port *port);
void bridge_socket_close(struct bridge_socket *s); // NULL is fine; nothing is called any more
bool bridge_socket_send(struct bridge_socket *s, const void *bytes, size_t n, bool more);

size_t bridge_frame_size(struct bridge_frames *m, unsigned i);
const void *bridge_frame_bytes(struct bridge_frames *m, unsigned i);

#endif
