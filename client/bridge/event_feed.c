// SPDX-License-Identifier: Apache-2.0
#include "event_feed.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "client/common/clock.h"

enum {
    MAX_EVENT_FRAMES = 5, // one more than anything has
    MAX_PER_TURN = 256,   // messages a turn of the loop
    MAX_MESSAGE_BYTES = 64 << 20,
    RECEIVE_HWM = 100000,
    RECONNECT_MS = 100,
    MAX_RECONNECT_MS = 1000,
    OTHER_FAMILY_MS = 500,    // between two kinds of address of a name
    FEED_HEARTBEAT_MS = 2000, // a peer that is silent for three of these is gone
    MAX_TOPIC = 256,
};

struct bridge_feed {
    struct bridge_feed_port port;
    struct event_base *base;
    void *zmq, *sub, *monitor, *dealer;
    struct event *sub_event, *monitor_event, *dealer_event;
    char *events; // NULL: it is bound
    char *replay;
    uint64_t round; // counts the dealers
    uint64_t requests;
    int64_t switched_at;              // ms, monotonic; 0: never
    bool ipv4_only, replay_ipv4_only; // names are taken for IPv4 only
    bool replied;                     // to the last request
    bool has_topic;                   // the stream's, taken from its first message
    char topic[MAX_TOPIC];
    size_t topic_n;
    struct bridge_feed_stats stats;
};

struct zmq_frames {
    zmq_msg_t frames[MAX_EVENT_FRAMES];
    unsigned n; // of the frames kept
    unsigned all;
};

// ---- Messages ------------------------------------------------------------------------------------

static bool readable(void *socket) {
    int events = 0;
    size_t n = sizeof events;
    return zmq_getsockopt(socket, ZMQ_EVENTS, &events, &n) == 0 && (events & ZMQ_POLLIN);
}

// All frames of a message arrive together. Those beyond MAX_EVENT_FRAMES are only counted.
static bool receive(void *socket, struct zmq_frames *m) {
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
        if (m->n < MAX_EVENT_FRAMES) {
            zmq_msg_init(&m->frames[m->n]);
            zmq_msg_move(&m->frames[m->n++], &frame);
        }
        zmq_msg_close(&frame);
    }
    return true;
}

static void release(struct zmq_frames *m) {
    for (unsigned i = 0; i < m->n; i++)
        zmq_msg_close(&m->frames[i]);
}

static size_t size_of(struct zmq_frames *m, unsigned i) {
    return zmq_msg_size(&m->frames[i]);
}

static bool seq_of(struct zmq_frames *m, unsigned i, uint64_t *seq) {
    if (size_of(m, i) != sizeof *seq) return false;
    memcpy(seq, zmq_msg_data(&m->frames[i]), sizeof *seq);
    *seq = be64toh(*seq);
    return true;
}

// Messages of two publishers on one socket have nothing to do with each other: the first one's stay.
// Each would need a replay and a rank of its own, and a topic doesn't say which; so where publishers
// share an endpoint, each is an engine of its own in the settings, with its topic.
static bool is_same_publisher(struct bridge_feed *f, struct zmq_frames *m) {
    size_t n = size_of(m, 0);
    if (n > MAX_TOPIC) return false;
    if (!f->has_topic) {
        memcpy(f->topic, zmq_msg_data(&m->frames[0]), n);
        f->topic_n = n;
        f->has_topic = true;
    }
    return n == f->topic_n && memcmp(f->topic, zmq_msg_data(&m->frames[0]), n) == 0;
}

static void take_live(struct bridge_feed *f, struct zmq_frames *m) {
    uint64_t seq;
    if (m->all != 3 || !seq_of(m, 1, &seq) || seq == UINT64_MAX || size_of(m, 2) == 0) {
        f->stats.bad_frames++;
    } else if (!is_same_publisher(f, m)) {
        f->stats.foreign++;
    } else {
        f->stats.bytes += size_of(m, 2);
        f->port.live(f->port.ctx, seq, zmq_msg_data(&m->frames[2]), size_of(m, 2));
    }
}

// A delimiter, newer engines' topic, seq, payload; an empty payload is the end.
static void take_reply(struct bridge_feed *f, struct zmq_frames *m) {
    uint64_t seq;
    bool good = (m->all == 3 || m->all == 4) && size_of(m, 0) == 0 && seq_of(m, m->n - 2, &seq) &&
                (size_of(m, m->n - 1) == 0) == (seq == UINT64_MAX);
    f->replied = true;
    if (!good) {
        f->stats.bad_frames++;
    } else if (seq == UINT64_MAX) {
        f->port.end(f->port.ctx);
    } else {
        f->stats.bytes += size_of(m, m->n - 1);
        f->port.reply(f->port.ctx, seq, zmq_msg_data(&m->frames[m->n - 1]), size_of(m, m->n - 1));
    }
}

// ---- Names ---------------------------------------------------------------------------------------

static void set_int(void *socket, int option, int value) {
    zmq_setsockopt(socket, option, &value, sizeof value);
}

// libzmq tries one address of a name: with ZMQ_IPV6 its IPv6 one, if it has any. An engine that listens
// on IPv4 only (`localhost`, where that is ::1, too) is reached without. So the two take turns.
static void set_family(void *socket, const char *endpoint, bool ipv4_only) {
    set_int(socket, ZMQ_IPV6, !ipv4_only || strncmp(endpoint, "tcp://[", 7) == 0);
}

static bool is_name(const char *endpoint) {
    const char *host = endpoint + 6;
    return strncmp(endpoint, "tcp://", 6) == 0 && *host != '[' &&
           host[strspn(host, "0123456789.:")];
}

// After a connect that failed. Not too often: libzmq's own pauses between two tries go with it.
static void connect_other_family(struct bridge_feed *f) {
    int64_t now = kvr_clock_ms();
    if (!f->events || !is_name(f->events) ||
        (f->switched_at && now - f->switched_at < OTHER_FAMILY_MS))
        return;
    f->switched_at = now;
    f->ipv4_only = !f->ipv4_only;
    zmq_disconnect(f->sub, f->events);
    set_family(f->sub, f->events, f->ipv4_only);
    zmq_connect(f->sub, f->events); // it was one before
}

// ---- The loop ------------------------------------------------------------------------------------

static void read_monitor(struct bridge_feed *f) {
    struct zmq_frames m;
    while (readable(f->monitor) && receive(f->monitor, &m)) {
        uint16_t event = 0;
        if (m.n && size_of(&m, 0) >= sizeof event)
            memcpy(&event, zmq_msg_data(&m.frames[0]), sizeof event);
        release(&m);
        if (event == ZMQ_EVENT_CONNECT_RETRIED) connect_other_family(f);
        f->stats.connected = event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
        if (event != ZMQ_EVENT_HANDSHAKE_SUCCEEDED) continue;
        f->stats.connects++;
        f->has_topic = false;
        f->port.connected(f->port.ctx);
    }
}

static void on_monitor(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    read_monitor(arg);
}

static void on_sub(evutil_socket_t fd, short what, void *arg) {
    struct bridge_feed *f = arg;
    struct zmq_frames m;
    (void)fd;
    (void)what;
    for (unsigned i = 0; i < MAX_PER_TURN; i++) {
        if (!readable(f->sub) || !receive(f->sub, &m)) return;
        read_monitor(f);
        take_live(f, &m);
        release(&m);
    }
    event_active(f->sub_event, EV_READ, 0);
}

static void on_dealer(evutil_socket_t fd, short what, void *arg) {
    struct bridge_feed *f = arg;
    struct zmq_frames m;
    uint64_t round = f->round;
    (void)fd;
    (void)what;
    for (unsigned i = 0; i < MAX_PER_TURN; i++) {
        if (!readable(f->dealer) || !receive(f->dealer, &m)) return;
        take_reply(f, &m);
        release(&m);
        if (f->round != round) return; // the reply has led to another request, or to none
    }
    event_active(f->dealer_event, EV_READ, 0);
}

static struct event *watch(struct bridge_feed *f, void *socket, event_callback_fn fire) {
    int fd;
    size_t n = sizeof fd;
    if (zmq_getsockopt(socket, ZMQ_FD, &fd, &n)) return NULL;
    struct event *e = event_new(f->base, fd, EV_READ | EV_PERSIST, fire, f);
    if (!e) return NULL;
    event_add(e, NULL);
    event_active(e, EV_READ, 0); // what happened before we watched
    return e;
}

static void close_socket(struct event **e, void **socket) {
    if (*e) event_free(*e);
    if (*socket) zmq_close(*socket);
    *e = NULL;
    *socket = NULL;
}

static void set_common(void *socket) {
    int64_t most = MAX_MESSAGE_BYTES;
    zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &most, sizeof most);
    set_int(socket, ZMQ_LINGER, 0);
    set_int(socket, ZMQ_RCVHWM, RECEIVE_HWM);
    set_int(socket, ZMQ_IPV6, 1);
    set_int(socket, ZMQ_RECONNECT_IVL, RECONNECT_MS);
    set_int(socket, ZMQ_RECONNECT_IVL_MAX, MAX_RECONNECT_MS);
    set_int(socket, ZMQ_HEARTBEAT_IVL, FEED_HEARTBEAT_MS);
    set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, 3 * FEED_HEARTBEAT_MS);
}

void bridge_feed_cancel(struct bridge_feed *f) {
    f->round++;
    close_socket(&f->dealer_event, &f->dealer);
}

// A request that can't be sent is like one that isn't answered: it is made again.
void bridge_feed_request(struct bridge_feed *f, uint64_t from) {
    uint64_t seq = htobe64(from);
    bridge_feed_cancel(f);
    f->dealer = zmq_socket(f->zmq, ZMQ_DEALER);
    if (!f->dealer) return;
    if (!f->requests++)
        f->replay_ipv4_only = f->ipv4_only;
    else if (!f->replied && is_name(f->replay))
        f->replay_ipv4_only = !f->replay_ipv4_only;
    f->replied = false;
    set_common(f->dealer);
    set_family(f->dealer, f->replay, f->replay_ipv4_only);
    if (zmq_connect(f->dealer, f->replay) ||
        zmq_send(f->dealer, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
        zmq_send(f->dealer, &seq, sizeof seq, ZMQ_DONTWAIT) < 0 ||
        !(f->dealer_event = watch(f, f->dealer, on_dealer)))
        bridge_feed_cancel(f);
}

// ---- Opening -------------------------------------------------------------------------------------

static bool open_monitor(struct bridge_feed *f) {
    char name[64];
    snprintf(name, sizeof name, "inproc://monitor-%p", (void *)f);
    if (zmq_socket_monitor(f->sub, name,
                           ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED |
                               ZMQ_EVENT_CONNECT_RETRIED))
        return false;
    f->monitor = zmq_socket(f->zmq, ZMQ_PAIR);
    return f->monitor && zmq_connect(f->monitor, name) == 0 &&
           (f->monitor_event = watch(f, f->monitor, on_monitor));
}

static bool open_sub(struct bridge_feed *f, const struct bridge_feed_options *o) {
    const char *topic = o->topic ? o->topic : "";
    f->sub = zmq_socket(f->zmq, ZMQ_SUB);
    if (!f->sub) return false;
    set_common(f->sub);
    return open_monitor(f) && zmq_setsockopt(f->sub, ZMQ_SUBSCRIBE, topic, strlen(topic)) == 0 &&
           (o->bind ? zmq_bind(f->sub, o->events) : zmq_connect(f->sub, o->events)) == 0 &&
           (f->sub_event = watch(f, f->sub, on_sub));
}

struct bridge_feed *bridge_feed_new(void *zmq, struct event_base *base,
                                    const struct bridge_feed_options *options,
                                    const struct bridge_feed_port *port, char *error,
                                    size_t error_size) {
    struct bridge_feed *f = calloc(1, sizeof *f);
    if (f) {
        f->port = *port;
        f->base = base;
        f->zmq = zmq;
        f->replay = strdup(options->replay ? options->replay : "");
    }
    if (f && !options->bind) f->events = strdup(options->events);
    if (f && f->replay && (f->events || options->bind) && open_sub(f, options)) return f;
    snprintf(error, error_size, "can't %s %s: %s", options->bind ? "bind" : "connect to",
             options->events, zmq_strerror(zmq_errno()));
    bridge_feed_free(f);
    return NULL;
}

void bridge_feed_free(struct bridge_feed *f) {
    if (!f) return;
    bridge_feed_cancel(f);
    if (f->sub) zmq_socket_monitor(f->sub, NULL, 0);
    close_socket(&f->monitor_event, &f->monitor);
    close_socket(&f->sub_event, &f->sub);
    free(f->replay);
    free(f->events);
    free(f);
}

void bridge_feed_get_stats(const struct bridge_feed *f, struct bridge_feed_stats *out) {
    *out = f->stats;
}

bool bridge_feed_endpoint(const char *base, uint32_t rank, char *out, size_t size) {
    const char *colon = strrchr(base, ':');
    int n = -1;
    if (rank == 0) {
        n = snprintf(out, size, "%s", base);
    } else if (strncmp(base, "inproc://", 9) == 0) {
        n = snprintf(out, size, "%s_dp%" PRIu32, base, rank);
    } else if (strncmp(base, "tcp://", 6) == 0 && colon) {
        unsigned long port = strtoul(colon + 1, NULL, 10) + rank;
        if (port > 65535) return false;
        n = snprintf(out, size, "%.*s:%lu", (int)(colon - base), base, port);
    }
    return n >= 0 && (size_t)n < size;
}
