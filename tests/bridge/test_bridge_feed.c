// SPDX-License-Identifier: Apache-2.0
// The sockets alone: messages of every form, well made or not, live and as answers to a replay.
#include <criterion/criterion.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "client/bridge/event_feed.h"
#include "client/common/clock.h"
#include "tests/support/support_home.h"
#include "tests/support/support_port.h"

enum { MAX_FORM_FRAMES = 6, FEED_WAIT_MS = 20000 };

// A frame as text; in front of it "=N" stands for a number of 8 bytes, "#N" for N bytes, "!" for 2^64 − 1.
struct feed_message {
    const char *name, *frames[MAX_FORM_FRAMES];
    const char *heard; // "": it is counted as bad
};

static const struct feed_message live_forms[] = {
    {"as it should be", {"t", "=7", "payload"}, "live 7 payload;"},
    {"an empty topic is another one", {"", "=8", "payload"}, "foreign;"},
    {"one frame", {"payload"}, ""},
    {"two frames", {"=7", "payload"}, ""},
    {"four frames", {"t", "=7", "payload", "more"}, ""},
    {"six frames", {"t", "=7", "payload", "more", "more", "more"}, ""},
    {"seq of no bytes", {"t", "", "payload"}, ""},
    {"seq of 7 bytes", {"t", "#7", "payload"}, ""},
    {"seq of 9 bytes", {"t", "#9", "payload"}, ""},
    {"the marker's seq", {"t", "!", "payload"}, ""},
    {"the marker", {"t", "!", ""}, ""},
    {"no payload", {"t", "=9", ""}, ""},
    {"and good again", {"t", "=10", "x"}, "live 10 x;"},
};

static const struct feed_message reply_forms[] = {
    {"without a topic", {"", "=3", "payload"}, "reply 3 payload;"},
    {"with a topic", {"", "t", "=4", "payload"}, "reply 4 payload;"},
    {"with an empty topic", {"", "", "=5", "payload"}, "reply 5 payload;"},
    {"no delimiter", {"x", "=6", "payload"}, ""},
    {"two frames", {"=6", "payload"}, ""},
    {"one frame", {"payload"}, ""},
    {"five frames", {"", "t", "=6", "payload", "more"}, ""},
    {"the marker with a payload", {"", "!", "payload"}, ""},
    {"an empty payload", {"", "=6", ""}, ""},
    {"seq of 7 bytes", {"", "#7", "payload"}, ""},
    {"seq of no bytes", {"", "", "payload"}, ""},
    {"again the same", {"", "=3", "payload"}, "reply 3 payload;"},
    {"the end", {"", "!", ""}, "end;"},
    {"the end with a topic", {"", "", "!", ""}, "end;"},
};

struct feed_heard {
    char text[400];
    size_t n, connected;
};

static void hear(struct feed_heard *h, const char *what, uint64_t seq, const void *p, size_t n) {
    h->n += (size_t)snprintf(h->text + h->n, sizeof h->text - h->n, "%s %llu %.*s;", what,
                             (unsigned long long)seq, (int)n, (const char *)p);
}

static void on_connected(void *ctx) {
    ((struct feed_heard *)ctx)->connected++;
}

static void on_live(void *ctx, uint64_t seq, const void *p, size_t n) {
    hear(ctx, "live", seq, p, n);
}

static void on_reply(void *ctx, uint64_t seq, const void *p, size_t n) {
    hear(ctx, "reply", seq, p, n);
}

static void on_end(void *ctx) {
    struct feed_heard *h = ctx;
    h->n += (size_t)snprintf(h->text + h->n, sizeof h->text - h->n, "end;");
}

struct feed_test {
    void *zmq, *pub, *router;
    struct event_base *base;
    struct bridge_feed *feed;
    struct feed_heard hearer;
};

static void turn(struct feed_test *s) {
    event_base_loop(s->base, EVLOOP_NONBLOCK);
    support_sleep_ms(1);
}

static void *bound(struct feed_test *s, int type, char endpoint[60]) {
    size_t n = 60;
    void *socket = zmq_socket(s->zmq, type);
    cr_assert(socket && zmq_bind(socket, "tcp://127.0.0.1:*") == 0 &&
              zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &n) == 0);
    return socket;
}

static void test_open(struct feed_test *s) {
    char events[60], replay[60], error[200];
    *s = (struct feed_test){.zmq = zmq_ctx_new(), .base = event_base_new()};
    s->pub = bound(s, ZMQ_PUB, events);
    s->router = bound(s, ZMQ_ROUTER, replay);
    struct bridge_feed_options o = {.events = events, .replay = replay};
    struct bridge_feed_port port = {&s->hearer, on_connected, on_live, on_reply, on_end};
    s->feed = bridge_feed_new(s->zmq, s->base, &o, &port, error, sizeof error);
    cr_assert(s->feed, "%s", error);
    for (int64_t end = kvr_clock_ms() + FEED_WAIT_MS; !s->hearer.connected; turn(s))
        cr_assert(kvr_clock_ms() < end);
}

static void test_close(struct feed_test *s) {
    int zero = 0;
    bridge_feed_free(s->feed);
    zmq_setsockopt(s->pub, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt(s->router, ZMQ_LINGER, &zero, sizeof zero);
    zmq_close(s->pub);
    zmq_close(s->router);
    zmq_ctx_term(s->zmq);
    event_base_free(s->base);
}

static size_t bytes_of(const char *frame, uint8_t out[64]) {
    uint64_t seq = UINT64_MAX;
    memset(out, 0, 64);
    if (*frame == '#') return (size_t)(frame[1] - '0');
    if (*frame != '=' && *frame != '!') {
        memcpy(out, frame, strlen(frame));
        return strlen(frame);
    }
    if (*frame == '=') seq = (uint64_t)(frame[2] ? 10 : frame[1] - '0');
    for (unsigned i = 0; i < 8; i++)
        out[i] = (uint8_t)(seq >> (56 - 8 * i));
    return 8;
}

static void send_form(void *socket, const struct feed_message *f) {
    unsigned n = 0;
    while (n < MAX_FORM_FRAMES && f->frames[n])
        n++;
    for (unsigned i = 0; i < n; i++) {
        uint8_t bytes[64];
        size_t len = bytes_of(f->frames[i], bytes);
        cr_assert(zmq_send(socket, bytes, len, i + 1 < n ? ZMQ_SNDMORE : 0) >= 0);
    }
}

static void expect(struct feed_test *s, const struct feed_message *f,
                   struct bridge_feed_stats before) {
    struct bridge_feed_stats now;
    bool bad = !*f->heard, foreign = strcmp(f->heard, "foreign;") == 0;
    for (int64_t end = kvr_clock_ms() + FEED_WAIT_MS;; turn(s)) {
        bridge_feed_get_stats(s->feed, &now);
        if (s->hearer.n || now.bad_frames > before.bad_frames || now.foreign > before.foreign)
            break;
        cr_assert(kvr_clock_ms() < end, "%s: nothing was heard", f->name);
    }
    cr_expect_str_eq(s->hearer.text, bad || foreign ? "" : f->heard, "%s: %s", f->name,
                     s->hearer.text);
    cr_expect_eq(now.bad_frames - before.bad_frames, bad, "%s", f->name);
    cr_expect_eq(now.foreign - before.foreign, foreign, "%s", f->name);
    s->hearer = (struct feed_heard){.connected = s->hearer.connected};
}

Test(feed, live_messages) {
    struct feed_test s;
    test_open(&s);
    // The handshake comes before the subscription: what is sent until that is heard is lost.
    for (int64_t end = kvr_clock_ms() + FEED_WAIT_MS; !s.hearer.n; turn(&s)) {
        send_form(s.pub, &live_forms[0]);
        cr_assert(kvr_clock_ms() < end);
    }
    for (int i = 0; i < 50; i++)
        turn(&s);
    s.hearer.n = 0, *s.hearer.text = 0;
    for (size_t i = 0; i < sizeof live_forms / sizeof *live_forms; i++) {
        struct bridge_feed_stats before;
        bridge_feed_get_stats(s.feed, &before);
        send_form(s.pub, &live_forms[i]);
        expect(&s, &live_forms[i], before);
    }
    test_close(&s);
}

// Takes a request as engines do: an identity, an empty frame, 8 bytes.
static void take_request(struct feed_test *s, uint64_t from, uint8_t identity[16], size_t *n) {
    uint8_t seq[16];
    bridge_feed_request(s->feed, from);
    zmq_pollitem_t item = {s->router, 0, ZMQ_POLLIN, 0};
    for (int64_t end = kvr_clock_ms() + FEED_WAIT_MS; zmq_poll(&item, 1, 1) <= 0; turn(s))
        cr_assert(kvr_clock_ms() < end);
    int len = zmq_recv(s->router, identity, 16, 0);
    cr_assert(len > 0);
    *n = (size_t)len;
    cr_assert_eq(zmq_recv(s->router, seq, sizeof seq, 0), 0);
    cr_assert_eq(zmq_recv(s->router, seq, sizeof seq, 0), 8);
    cr_assert_eq(seq[7], from);
}

Test(feed, replies) {
    struct feed_test s;
    uint8_t identity[16];
    size_t n;
    test_open(&s);
    take_request(&s, 3, identity, &n);
    for (size_t i = 0; i < sizeof reply_forms / sizeof *reply_forms; i++) {
        struct bridge_feed_stats before;
        bridge_feed_get_stats(s.feed, &before);
        zmq_send(s.router, identity, n, ZMQ_SNDMORE);
        send_form(s.router, &reply_forms[i]);
        expect(&s, &reply_forms[i], before);
    }
    // Late replies to a request that was replaced reach nobody.
    uint8_t next[16];
    size_t n_next;
    take_request(&s, 9, next, &n_next);
    zmq_send(s.router, identity, n, ZMQ_SNDMORE);
    send_form(s.router, &reply_forms[0]);
    for (int i = 0; i < 50; i++)
        turn(&s);
    cr_expect_eq(s.hearer.n, 0);
    zmq_send(s.router, next, n_next, ZMQ_SNDMORE);
    struct bridge_feed_stats before;
    bridge_feed_get_stats(s.feed, &before);
    send_form(s.router, &reply_forms[1]);
    expect(&s, &reply_forms[1], before);
    test_close(&s);
}

Test(feed, endpoints_of_ranks) {
    static const struct {
        const char *base;
        uint32_t rank;
        const char *endpoint; // NULL: there is none
    } ranks[] = {
        {"tcp://h:5557", 0, "tcp://h:5557"},
        {"tcp://h:5557", 3, "tcp://h:5560"},
        {"tcp://[::1]:5557", 1, "tcp://[::1]:5558"},
        {"inproc://x", 2, "inproc://x_dp2"},
        {"ipc:///tmp/x", 0, "ipc:///tmp/x"},
        {"ipc:///tmp/x", 1, NULL},
        {"tcp://h:65535", 1, NULL},
    };
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++) {
        char out[60];
        bool good = bridge_feed_endpoint(ranks[i].base, ranks[i].rank, out, sizeof out);
        cr_expect_eq(good, ranks[i].endpoint != NULL, "%s", ranks[i].base);
        if (good && ranks[i].endpoint) cr_expect_str_eq(out, ranks[i].endpoint);
    }
}
