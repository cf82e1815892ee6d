// SPDX-License-Identifier: Apache-2.0
#include "event_feed.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "client/common/clock.h"
#include "endpoint_lookup.h"
#include "feed_socket.h"

enum {
    FEED_HWM = 16,
    REPLAY_BYTES = 16 << 20, // that a replay may have waiting, about
    MIN_REPLAY_HWM = 16,
    FIRST_MESSAGE_BYTES = 64 << 10, // taken for one's size before the first
    LEAST_MESSAGE_BYTES = 4 << 10,  // and if all are small
    RECONNECT_MS = 100,
    MAX_RECONNECT_MS = 1000,
    CONNECT_MS = 3000, // for a connection, before another is tried
    MAX_TOPIC = 256,
};

struct bridge_feed {
    struct bridge_feed_port port;
    struct event_base *base;
    void *zmq;
    char *events, *replay, *topic;
    bool bind;
    struct bridge_socket *sub, *dealer; // NULL: not now
    struct bridge_lookup sub_lookup, dealer_lookup;
    struct evdns_base *dns;
    struct event *reopen, *resend;
    int64_t delay_ms;     // before the subscription is opened anew
    size_t message_bytes; // of the largest message of late, see measure()
    int dealer_hwm;
    uint64_t from, requests; // from: of the last request
    bool reached;            // by the subscription that there is, or was last
    bool replied;            // to the last request
    bool has_topic;          // the stream's, taken from its first message
    char last_topic[MAX_TOPIC];
    size_t topic_n;
    struct bridge_feed_stats stats;
};

static void arm(struct event *timer, int64_t ms) {
    struct timeval t = kvr_timeval(ms);
    event_add(timer, &t);
}

// ---- Messages ------------------------------------------------------------------------------------

static bool seq_of(struct bridge_frames *m, unsigned i, uint64_t *seq) {
    if (bridge_frame_size(m, i) != sizeof *seq) return false;
    memcpy(seq, bridge_frame_bytes(m, i), sizeof *seq);
    *seq = be64toh(*seq);
    return true;
}

// Messages of two publishers on one socket have nothing to do with each other: the first one's stay.
// Each would need a replay and a rank of its own, and a topic doesn't say which; so where publishers
// share an endpoint, each is an engine of its own in the settings, with its topic.
static bool is_same_publisher(struct bridge_feed *f, struct bridge_frames *m) {
    size_t n = bridge_frame_size(m, 0);
    if (n > MAX_TOPIC) return false;
    if (!f->has_topic) {
        memcpy(f->last_topic, bridge_frame_bytes(m, 0), n);
        f->topic_n = n;
        f->has_topic = true;
    }
    return n == f->topic_n && memcmp(f->last_topic, bridge_frame_bytes(m, 0), n) == 0;
}

// Falls by half with each whole replay, and with nothing else: a replay that was given up for the size of
// its messages is asked for with this size.
static void measure(struct bridge_feed *f, size_t n) {
    if (n > f->message_bytes) f->message_bytes = n;
    f->stats.bytes += n;
}

static void replay_ended(struct bridge_feed *f) {
    f->message_bytes /= 2;
    if (f->message_bytes < LEAST_MESSAGE_BYTES) f->message_bytes = LEAST_MESSAGE_BYTES;
}

static void on_live(void *ctx, struct bridge_frames *m) {
    struct bridge_feed *f = ctx;
    uint64_t seq;
    if (m->all != 3 || !seq_of(m, 1, &seq) || seq == UINT64_MAX || bridge_frame_size(m, 2) == 0) {
        f->stats.bad_frames++;
    } else if (!is_same_publisher(f, m)) {
        f->stats.foreign++;
    } else {
        measure(f, bridge_frame_size(m, 2));
        f->port.live(f->port.ctx, seq, bridge_frame_bytes(m, 2), bridge_frame_size(m, 2));
    }
}

// Much larger than they were taken to be: what is on its way is given up, and asked for in smaller portions.
static bool is_too_much(const struct bridge_feed *f) {
    return f->dealer_hwm > MIN_REPLAY_HWM &&
           f->message_bytes * (size_t)f->dealer_hwm > (size_t)4 * REPLAY_BYTES;
}

// A delimiter, newer engines' topic, seq, payload; an empty payload is the end.
static void on_reply(void *ctx, struct bridge_frames *m) {
    struct bridge_feed *f = ctx;
    const struct bridge_socket *dealer = f->dealer;
    uint64_t seq;
    bool good = (m->all == 3 || m->all == 4) && bridge_frame_size(m, 0) == 0 &&
                seq_of(m, m->n - 2, &seq) &&
                (bridge_frame_size(m, m->n - 1) == 0) == (seq == UINT64_MAX);
    f->replied = true;
    if (!good) {
        f->stats.bad_frames++;
    } else if (seq == UINT64_MAX) {
        replay_ended(f);
        f->port.end(f->port.ctx);
    } else {
        size_t n = bridge_frame_size(m, m->n - 1);
        measure(f, n);
        f->port.reply(f->port.ctx, seq, bridge_frame_bytes(m, m->n - 1), n);
        if (f->dealer == dealer && is_too_much(f)) bridge_feed_cancel(f);
    }
}

// ---- The subscription ----------------------------------------------------------------------------

static void on_connected(void *ctx) {
    struct bridge_feed *f = ctx;
    f->stats.connected = f->reached = true;
    f->stats.connects++;
    f->has_topic = false;
    f->delay_ms = RECONNECT_MS;
    event_del(f->reopen);
    f->port.connected(f->port.ctx);
}

static void on_lost(void *ctx) {
    struct bridge_feed *f = ctx;
    f->stats.connected = false;
    if (f->bind) return;
    arm(f->reopen, f->delay_ms);
    f->delay_ms = f->delay_ms * 2 < MAX_RECONNECT_MS ? f->delay_ms * 2 : MAX_RECONNECT_MS;
}

// endpoint: an address; NULL: its name has none.
static void open_sub_at(void *ctx, const char *endpoint) {
    struct bridge_feed *f = ctx;
    struct bridge_socket_options o = {
        .type = ZMQ_SUB, .endpoint = endpoint, .topic = f->topic, .bind = f->bind, .hwm = FEED_HWM};
    struct bridge_socket_port port = {f, on_connected, on_lost, on_live};
    if (!f->bind) arm(f->reopen, CONNECT_MS);
    f->sub = endpoint ? bridge_socket_open(f->zmq, f->base, &o, &port) : NULL;
}

// False: it can't be opened, and not for want of an address.
static bool open_sub(struct bridge_feed *f) {
    bool named = !f->bind && bridge_lookup_needed(f->events);
    f->reached = false;
    if (named)
        bridge_lookup_start(&f->sub_lookup, f->dns, f->events);
    else
        open_sub_at(f, f->events);
    return named || f->sub;
}

static void on_reopen(evutil_socket_t fd, short what, void *arg) {
    struct bridge_feed *f = arg;
    (void)fd;
    (void)what;
    if (!f->reached) f->sub_lookup.turn++;
    bridge_socket_close(f->sub);
    f->sub = NULL;
    open_sub(f); // where that fails it is tried again, too
}

// ---- Replays -------------------------------------------------------------------------------------

static int replay_hwm(const struct bridge_feed *f) {
    size_t n = REPLAY_BYTES / f->message_bytes;
    return n < MIN_REPLAY_HWM ? MIN_REPLAY_HWM : (int)n;
}

static void on_reachable(void *ctx) {
    (void)ctx;
}

static void on_unreachable(void *ctx) {
    struct bridge_feed *f = ctx;
    if (!f->replied) arm(f->resend, RECONNECT_MS);
}

void bridge_feed_cancel(struct bridge_feed *f) {
    if (f->resend) event_del(f->resend);
    bridge_lookup_cancel(&f->dealer_lookup);
    bridge_socket_close(f->dealer);
    f->dealer = NULL;
}

// A request that can't be sent is like one that isn't answered: it is made again.
static void send_request_to(void *ctx, const char *endpoint) {
    struct bridge_feed *f = ctx;
    uint64_t seq = htobe64(f->from);
    f->dealer_hwm = replay_hwm(f);
    struct bridge_socket_options o = {
        .type = ZMQ_DEALER, .endpoint = endpoint, .hwm = f->dealer_hwm};
    struct bridge_socket_port port = {f, on_reachable, on_unreachable, on_reply};
    f->dealer = endpoint ? bridge_socket_open(f->zmq, f->base, &o, &port) : NULL;
    if (f->dealer && (!bridge_socket_send(f->dealer, "", 0, true) ||
                      !bridge_socket_send(f->dealer, &seq, sizeof seq, false)))
        bridge_feed_cancel(f);
}

static void send_request(struct bridge_feed *f) {
    bridge_feed_cancel(f);
    if (!f->requests++)
        f->dealer_lookup.turn = f->sub_lookup.turn;
    else if (!f->replied)
        f->dealer_lookup.turn++;
    f->replied = false;
    if (bridge_lookup_needed(f->replay))
        bridge_lookup_start(&f->dealer_lookup, f->dns, f->replay);
    else
        send_request_to(f, f->replay);
}

// While its name is looked up a request has been sent to nobody: a resolver that takes its time isn't asked anew.
void bridge_feed_request(struct bridge_feed *f, uint64_t from) {
    f->from = from;
    if (!f->dealer_lookup.question) send_request(f);
}

static void on_resend(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    send_request(arg);
}

// ---- Beginning and end ---------------------------------------------------------------------------

struct bridge_feed *bridge_feed_new(void *zmq, struct event_base *base,
                                    const struct bridge_feed_options *options,
                                    const struct bridge_feed_port *port, char *error,
                                    size_t error_size) {
    struct bridge_feed *f = calloc(1, sizeof *f);
    if (f) {
        f->port = *port;
        f->base = base;
        f->zmq = zmq;
        f->bind = options->bind;
        f->dns = options->dns;
        f->sub_lookup = (struct bridge_lookup){.found = open_sub_at, .ctx = f};
        f->dealer_lookup = (struct bridge_lookup){.found = send_request_to, .ctx = f};
        f->delay_ms = RECONNECT_MS;
        f->message_bytes = FIRST_MESSAGE_BYTES;
        f->events = strdup(options->events);
        f->replay = strdup(options->replay ? options->replay : "");
        f->topic = strdup(options->topic ? options->topic : "");
        f->reopen = event_new(base, -1, 0, on_reopen, f);
        f->resend = event_new(base, -1, 0, on_resend, f);
    }
    errno = ENOMEM;
    if (f && f->events && f->replay && f->topic && f->reopen && f->resend && open_sub(f)) return f;
    snprintf(error, error_size, "can't %s %s: %s", options->bind ? "bind" : "connect to",
             options->events, zmq_strerror(zmq_errno()));
    bridge_feed_free(f);
    return NULL;
}

void bridge_feed_free(struct bridge_feed *f) {
    if (!f) return;
    bridge_feed_cancel(f);
    bridge_lookup_cancel(&f->sub_lookup);
    bridge_socket_close(f->sub);
    if (f->reopen) event_free(f->reopen);
    if (f->resend) event_free(f->resend);
    free(f->events);
    free(f->replay);
    free(f->topic);
    free(f);
}

void bridge_feed_get_stats(const struct bridge_feed *f, struct bridge_feed_stats *out) {
    *out = f->stats;
}
