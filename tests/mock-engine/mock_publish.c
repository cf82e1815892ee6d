// SPDX-License-Identifier: Apache-2.0
// The event stream of one rank; see mock_publish.h.
//
// libzmq is polled by one descriptor that tells of changes only (it is edge-triggered), so whoever is
// woken by it reads until there is nothing left. Sending never waits: PUB drops for a subscriber that
// lags, and so does ROUTER for a client, as in the real publisher.
#include "mock_publish.h"

#include <endian.h>
#include <errno.h>
#include <zmq.h>

#include "mock_memory.h"

enum { LIVE_HWM = 100000, REBIND_MS = 5, MAX_REQUEST_FRAMES = 8 };

struct published_batch {
    uint64_t seq;
    size_t len;
    char *payload;
};

struct mock_publisher {
    struct event_base *base;
    void *zmq;
    const struct mock_publish_config *config;
    char *endpoint, *replay;
    bool connect;
    void *pub, *router; // NULL while there is none
    struct event *readable, *retry;
    uint64_t next;
    struct published_batch *ring; // the newest config->buffer batches; a hole has no entry
    size_t oldest, n_ring;
    size_t due[MOCK_N_PUBLISH_FAULTS];
    struct published_batch *held; // in the order of their making
    size_t n_held, room_held;
    bool hangs;
    struct published_batch *waiting; // made while it hangs; they have no number yet
    size_t n_waiting, room_waiting;
};

static const struct timeval soon = {.tv_usec = REBIND_MS * 1000};

static struct published_batch copy_batch(uint64_t seq, const void *payload, size_t len) {
    struct published_batch b = {.seq = seq, .len = len, .payload = mock_take(len, 1)};
    if (len) memcpy(b.payload, payload, len);
    return b;
}

static bool is_due(struct mock_publisher *p, enum mock_publish_fault fault) {
    if (!p->due[fault]) return false;
    p->due[fault]--;
    return true;
}

// ---- Sockets -------------------------------------------------------------------------------------

static void on_readable(evutil_socket_t fd, short what, void *ctx);

static void close_sockets(struct mock_publisher *p) {
    if (p->readable) event_free(p->readable);
    p->readable = NULL;
    if (p->pub) zmq_close(p->pub);
    if (p->router) zmq_close(p->router);
    p->pub = p->router = NULL;
}

static void *open_socket(struct mock_publisher *p, int type, int hwm) {
    void *s = zmq_socket(p->zmq, type);
    if (!s) abort();
    int zero = 0;
    zmq_setsockopt(s, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt(s, ZMQ_SNDHWM, &hwm, sizeof hwm);
    return s;
}

static bool open_sockets(struct mock_publisher *p) {
    p->pub = open_socket(p, ZMQ_PUB, LIVE_HWM);
    if ((p->connect ? zmq_connect : zmq_bind)(p->pub, p->endpoint) != 0) return false;
    if (!p->replay) return true;
    p->router = open_socket(p, ZMQ_ROUTER, p->config->replay_hwm);
    if (zmq_bind(p->router, p->replay) != 0) return false;
    int fd = -1;
    size_t size = sizeof fd;
    zmq_getsockopt(p->router, ZMQ_FD, &fd, &size);
    p->readable = event_new(p->base, fd, EV_READ | EV_PERSIST, on_readable, p);
    event_add(p->readable, NULL);
    event_active(p->readable, EV_READ, 0); // what came before there was anybody to tell
    return true;
}

// The closed sockets' ports are free a moment after the closing.
static void on_retry(evutil_socket_t fd, short what, void *ctx) {
    struct mock_publisher *p = ctx;
    (void)fd;
    (void)what;
    if (open_sockets(p)) return;
    close_sockets(p);
    event_add(p->retry, &soon);
}

struct mock_publisher *mock_publisher_new(struct event_base *base, void *zmq,
                                          const struct mock_publish_config *config,
                                          const char *endpoint, bool connect, const char *replay) {
    struct mock_publisher *p = mock_take(1, sizeof *p);
    *p = (struct mock_publisher){
        .base = base,
        .zmq = zmq,
        .config = config,
        .endpoint = mock_copy_text(endpoint),
        .replay = mock_copy_text(replay),
        .connect = connect,
        .ring = mock_take(config->buffer, sizeof *p->ring),
    };
    p->retry = evtimer_new(base, on_retry, p);
    if (open_sockets(p)) return p;
    int error = errno;
    mock_publisher_free(p);
    errno = error;
    return NULL;
}

static void forget(struct mock_publisher *p) {
    for (; p->n_ring; p->n_ring--, p->oldest = (p->oldest + 1) % p->config->buffer)
        free(p->ring[p->oldest].payload);
    while (p->n_held)
        free(p->held[--p->n_held].payload);
    while (p->n_waiting)
        free(p->waiting[--p->n_waiting].payload);
    p->next = 0;
}

void mock_publisher_free(struct mock_publisher *p) {
    if (!p) return;
    close_sockets(p);
    forget(p);
    event_free(p->retry);
    free(p->held);
    free(p->waiting);
    free(p->ring);
    free(p->endpoint);
    free(p->replay);
    free(p);
}

// ---- Live ----------------------------------------------------------------------------------------

static void emit(struct mock_publisher *p, uint64_t seq, const void *payload, size_t len) {
    uint64_t number = htobe64(seq);
    if (!p->pub) return;
    zmq_send(p->pub, p->config->topic, strlen(p->config->topic), ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(p->pub, &number, sizeof number, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(p->pub, payload, len, ZMQ_DONTWAIT);
}

static void keep(struct mock_publisher *p, uint64_t seq, const void *payload, size_t len) {
    size_t room = p->config->buffer;
    if (p->n_ring == room) {
        free(p->ring[p->oldest].payload);
        p->oldest = (p->oldest + 1) % room;
        p->n_ring--;
    }
    p->ring[(p->oldest + p->n_ring++) % room] = copy_batch(seq, payload, len);
}

static void release_held(struct mock_publisher *p) {
    while (p->n_held) {
        struct published_batch b = p->held[--p->n_held];
        emit(p, b.seq, b.payload, b.len);
        free(b.payload);
    }
}

static void hold(struct mock_publisher *p, uint64_t seq, const void *payload, size_t len) {
    p->held = mock_grow(p->held, &p->room_held, p->n_held + 1, sizeof *p->held);
    p->held[p->n_held++] = copy_batch(seq, payload, len);
    if (!p->due[MOCK_FAULT_REORDER]) release_held(p);
}

static void send_now(struct mock_publisher *p, const void *payload, size_t len) {
    uint64_t seq = p->next++;
    if (is_due(p, MOCK_FAULT_HOLE)) return;
    if (is_due(p, MOCK_FAULT_POISON)) {
        keep(p, seq, payload, len / 2);
        emit(p, seq, payload, len / 2);
        return;
    }
    keep(p, seq, payload, len);
    if (is_due(p, MOCK_FAULT_MALFORMED)) {
        emit(p, seq, payload, len / 2);
        return;
    }
    if (is_due(p, MOCK_FAULT_DROP)) return;
    if (is_due(p, MOCK_FAULT_REORDER)) {
        hold(p, seq, payload, len);
        return;
    }
    emit(p, seq, payload, len);
    if (is_due(p, MOCK_FAULT_DUPLICATE)) emit(p, seq, payload, len);
}

void mock_publisher_send(struct mock_publisher *p, const void *payload, size_t len) {
    if (!p->hangs) {
        send_now(p, payload, len);
        return;
    }
    p->waiting = mock_grow(p->waiting, &p->room_waiting, p->n_waiting + 1, sizeof *p->waiting);
    p->waiting[p->n_waiting++] = copy_batch(0, payload, len);
}

uint64_t mock_publisher_next(const struct mock_publisher *p) {
    return p->next;
}

size_t mock_publisher_held(const struct mock_publisher *p) {
    return p->n_held + p->n_waiting;
}

// ---- Replay --------------------------------------------------------------------------------------

static void send_reply(struct mock_publisher *p, zmq_msg_t *client, uint64_t seq,
                       const void *payload, size_t len) {
    uint64_t number = htobe64(seq);
    const char *topic = p->config->topic;
    zmq_send(p->router, zmq_msg_data(client), zmq_msg_size(client), ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(p->router, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    if (p->config->replay_topic)
        zmq_send(p->router, topic, len ? strlen(topic) : 0, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(p->router, &number, sizeof number, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(p->router, payload, len, ZMQ_DONTWAIT);
}

static void replay(struct mock_publisher *p, zmq_msg_t *client, uint64_t from) {
    if (is_due(p, MOCK_FAULT_REPLAY_MUTE)) return;
    bool gaps = is_due(p, MOCK_FAULT_REPLAY_GAP), unended = is_due(p, MOCK_FAULT_REPLAY_UNENDED);
    size_t sent = 0;
    for (size_t i = 0; i < p->n_ring; i++) {
        const struct published_batch *b = &p->ring[(p->oldest + i) % p->config->buffer];
        if (b->seq < from) continue;
        if (++sent % 3 || !gaps) send_reply(p, client, b->seq, b->payload, b->len);
    }
    if (!unended) send_reply(p, client, UINT64_MAX, "", 0);
}

// A number of any length, big-endian; what is too large is far above the head in any case.
static uint64_t number_of(zmq_msg_t *m) {
    const unsigned char *at = zmq_msg_data(m);
    uint64_t n = 0;
    for (size_t i = 0; i < zmq_msg_size(m); i++) {
        if (n >> 56) return UINT64_MAX;
        n = n << 8 | at[i];
    }
    return n;
}

// Reads one request: identity, an empty frame, a number. Anything else gets no answer.
static void read_request(struct mock_publisher *p) {
    zmq_msg_t frames[MAX_REQUEST_FRAMES];
    size_t n = 0;
    bool complete = false;
    for (bool more = true; more;) {
        zmq_msg_t m;
        zmq_msg_init(&m);
        if (zmq_msg_recv(&m, p->router, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&m);
            break;
        }
        more = zmq_msg_more(&m);
        complete = !more;
        if (n < MAX_REQUEST_FRAMES)
            frames[n++] = m;
        else
            zmq_msg_close(&m);
    }
    if (complete && n == 3 && zmq_msg_size(&frames[1]) == 0)
        replay(p, &frames[0], number_of(&frames[2]));
    while (n)
        zmq_msg_close(&frames[--n]);
}

static void on_readable(evutil_socket_t fd, short what, void *ctx) {
    struct mock_publisher *p = ctx;
    (void)fd;
    (void)what;
    while (p->router && !p->hangs) {
        int events = 0;
        size_t size = sizeof events;
        if (zmq_getsockopt(p->router, ZMQ_EVENTS, &events, &size) != 0) return;
        if (!(events & ZMQ_POLLIN)) return;
        read_request(p);
    }
}

// ---- What goes wrong -----------------------------------------------------------------------------

void mock_publisher_fault(struct mock_publisher *p, enum mock_publish_fault fault, size_t n) {
    p->due[fault] = n;
}

void mock_publisher_hang(struct mock_publisher *p, bool hangs) {
    if (p->hangs == hangs) return;
    p->hangs = hangs;
    if (hangs) return;
    for (size_t i = 0; i < p->n_waiting; i++) {
        send_now(p, p->waiting[i].payload, p->waiting[i].len);
        free(p->waiting[i].payload);
    }
    p->n_waiting = 0;
    if (p->readable) event_active(p->readable, EV_READ, 0);
}

void mock_publisher_settle(struct mock_publisher *p) {
    memset(p->due, 0, sizeof p->due);
    release_held(p);
    mock_publisher_hang(p, false);
}

void mock_publisher_restart(struct mock_publisher *p, bool rebind) {
    memset(p->due, 0, sizeof p->due);
    forget(p);
    mock_publisher_hang(p, false);
    if (!rebind) return;
    close_sockets(p);
    event_add(p->retry, &soon);
}
