// SPDX-License-Identifier: Apache-2.0
// See feed_socket.h.
#include "feed_socket.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"

enum {
    // A turn of the loop ends with the first of these.
    MAX_TURN_MESSAGES = 256,
    MAX_TURN_BYTES = 256 << 10,
    MAX_TURN_MS = 5,
    MAX_MESSAGE_BYTES = 64 << 20,
    // A peer that is gone is noticed after some ten seconds.
    KEEPALIVE_IDLE_S = 4,
    KEEPALIVE_INTERVAL_S = 2,
    KEEPALIVE_PROBES = 3,
};

struct bridge_socket {
    struct bridge_socket_port port;
    struct event_base *base;
    void *socket, *monitor;
    struct event *event, *monitor_event;
    struct event *more; // the next turn, where one wasn't enough
    bool bound;
    bool lost;         // the only connection
    bool busy, closed; // closed within a call of the port's, and to be freed after it
};

// ---- Messages ------------------------------------------------------------------------------------

size_t bridge_frame_size(struct bridge_frames *m, unsigned i) {
    return zmq_msg_size(&m->frames[i]);
}

const void *bridge_frame_bytes(struct bridge_frames *m, unsigned i) {
    return zmq_msg_data(&m->frames[i]);
}

static bool readable(void *socket) {
    int events = 0;
    size_t n = sizeof events;
    return zmq_getsockopt(socket, ZMQ_EVENTS, &events, &n) == 0 && (events & ZMQ_POLLIN);
}

// All frames of a message arrive together. Those beyond BRIDGE_MAX_FRAMES are only counted.
static bool receive(void *socket, struct bridge_frames *m) {
    m->n = m->all = 0;
    for (bool more = true; more;) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&frame);
            return m->all > 0;
        }
        more = zmq_msg_more(&frame);
        m->all++;
        if (m->n < BRIDGE_MAX_FRAMES) {
            zmq_msg_init(&m->frames[m->n]);
            zmq_msg_move(&m->frames[m->n++], &frame);
        }
        zmq_msg_close(&frame);
    }
    return true;
}

static void release(struct bridge_frames *m) {
    for (unsigned i = 0; i < m->n; i++)
        zmq_msg_close(&m->frames[i]);
}

bool bridge_socket_send(struct bridge_socket *s, const void *bytes, size_t n, bool more) {
    return zmq_send(s->socket, bytes, n, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) >= 0;
}

// ---- The loop ------------------------------------------------------------------------------------

static void free_socket(struct bridge_socket *s) {
    struct event *events[] = {s->event, s->monitor_event, s->more};
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (events[i]) event_free(events[i]);
    if (s->socket) zmq_socket_monitor(s->socket, NULL, 0);
    if (s->monitor) zmq_close(s->monitor);
    if (s->socket) zmq_close(s->socket);
    free(s);
}

static void leave(struct bridge_socket *s) {
    s->busy = false;
    if (s->closed) free_socket(s);
}

static void on_news(struct bridge_socket *s, uint16_t event) {
    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
        s->port.connected(s->port.ctx);
    } else if (!s->lost && (!s->bound || event == ZMQ_EVENT_DISCONNECTED)) {
        s->lost = !s->bound;
        s->port.lost(s->port.ctx);
    }
}

static void read_monitor(struct bridge_socket *s) {
    struct bridge_frames m;
    while (!s->closed && readable(s->monitor) && receive(s->monitor, &m)) {
        uint16_t event = 0;
        if (m.n && bridge_frame_size(&m, 0) >= sizeof event)
            memcpy(&event, bridge_frame_bytes(&m, 0), sizeof event);
        release(&m);
        on_news(s, event);
    }
}

static void on_monitor(evutil_socket_t fd, short what, void *arg) {
    struct bridge_socket *s = arg;
    (void)fd;
    (void)what;
    s->busy = true;
    read_monitor(s);
    leave(s);
}

// The bytes of a message, which has been handed on; 0: there is none.
static size_t take_one(struct bridge_socket *s) {
    struct bridge_frames m;
    size_t bytes = 0;
    if (s->lost || !readable(s->socket) || !receive(s->socket, &m)) return 0;
    for (unsigned i = 0; i < m.n; i++)
        bytes += bridge_frame_size(&m, i);
    read_monitor(s);
    if (!s->lost && !s->closed) s->port.message(s->port.ctx, &m);
    release(&m);
    return bytes + 1;
}

static void on_readable(evutil_socket_t fd, short what, void *arg) {
    static const struct timeval now;
    struct bridge_socket *s = arg;
    int64_t began = kvr_clock_ms();
    size_t bytes = 0, n;
    unsigned messages = 0;
    (void)fd;
    (void)what;
    s->busy = true;
    do {
        n = take_one(s);
        bytes += n;
        messages++;
    } while (n && !s->closed && messages < MAX_TURN_MESSAGES && bytes < MAX_TURN_BYTES &&
             kvr_clock_ms() - began < MAX_TURN_MS);
    // Not by making the event active: the loop would go on with it before it looks at anything else.
    if (n && !s->closed) event_add(s->more, &now);
    leave(s);
}

static struct event *watch(struct bridge_socket *s, void *socket, event_callback_fn fire) {
    int fd;
    size_t n = sizeof fd;
    if (zmq_getsockopt(socket, ZMQ_FD, &fd, &n)) return NULL;
    struct event *e = event_new(s->base, fd, EV_READ | EV_PERSIST, fire, s);
    if (!e) return NULL;
    if (fire == on_readable) event_priority_set(e, BRIDGE_BULK_PRIORITY);
    event_add(e, NULL);
    event_active(e, EV_READ, 0); // what happened before we watched
    return e;
}

// ---- Opening -------------------------------------------------------------------------------------

static void set_int(void *socket, int option, int value) {
    zmq_setsockopt(socket, option, &value, sizeof value);
}

static void set_options(void *socket, const struct bridge_socket_options *o) {
    int64_t most = MAX_MESSAGE_BYTES;
    zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &most, sizeof most);
    set_int(socket, ZMQ_LINGER, 0);
    set_int(socket, ZMQ_RCVHWM, o->hwm);
    set_int(socket, ZMQ_RECONNECT_IVL, -1);
    set_int(socket, ZMQ_TCP_KEEPALIVE, 1);
    set_int(socket, ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S);
    set_int(socket, ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_INTERVAL_S);
    set_int(socket, ZMQ_TCP_KEEPALIVE_CNT, KEEPALIVE_PROBES);
    set_int(socket, ZMQ_IPV6, 1);
    if (o->type == ZMQ_SUB)
        zmq_setsockopt(socket, ZMQ_SUBSCRIBE, o->topic ? o->topic : "",
                       o->topic ? strlen(o->topic) : 0);
}

static bool open_monitor(struct bridge_socket *s, void *zmq) {
    static uint64_t number; // a name is free again some time after its socket was closed
    char name[64];
    snprintf(name, sizeof name, "inproc://monitor-%" PRIu64, number++);
    if (zmq_socket_monitor(s->socket, name,
                           ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED |
                               ZMQ_EVENT_CLOSED))
        return false;
    s->monitor = zmq_socket(zmq, ZMQ_PAIR);
    return s->monitor && zmq_connect(s->monitor, name) == 0 &&
           (s->monitor_event = watch(s, s->monitor, on_monitor));
}

struct bridge_socket *bridge_socket_open(void *zmq, struct event_base *base,
                                         const struct bridge_socket_options *o,
                                         const struct bridge_socket_port *port) {
    struct bridge_socket *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->port = *port;
    s->base = base;
    s->bound = o->bind;
    s->socket = zmq_socket(zmq, o->type);
    s->more = event_new(base, -1, 0, on_readable, s);
    if (s->more) event_priority_set(s->more, BRIDGE_BULK_PRIORITY);
    if (s->socket) set_options(s->socket, o);
    if (s->socket && s->more && open_monitor(s, zmq) &&
        (o->bind ? zmq_bind(s->socket, o->endpoint) : zmq_connect(s->socket, o->endpoint)) == 0 &&
        (s->event = watch(s, s->socket, on_readable)))
        return s;
    int why = zmq_errno();
    free_socket(s);
    errno = why;
    return NULL;
}

void bridge_socket_close(struct bridge_socket *s) {
    if (!s) return;
    s->closed = true;
    if (!s->busy) free_socket(s);
}
