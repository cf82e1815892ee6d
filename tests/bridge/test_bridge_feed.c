// SPDX-License-Identifier: Apache-2.0
// The sockets alone: messages of every form, well made or not, live and as answers to a replay.
#include <criterion/criterion.h>
#include <event2/dns.h>
#include <event2/dns_struct.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#include "client/bridge/endpoint_lookup.h"
#include "client/bridge/event_feed.h"
#include "client/common/clock.h"
#include "client/engine/event_sources.h"
#include "tests/support/support_home.h"
#include "tests/support/support_port.h"

enum { MAX_FORM_FRAMES = 6, FEED_WAIT_MS = 60000 };

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
    char text[4000];
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

static void send_large(struct feed_test *s, const uint8_t *identity, size_t n, uint8_t seq,
                       size_t bytes) {
    uint8_t number[8] = {[7] = seq}, *payload = calloc(1, bytes);
    zmq_send(s->router, identity, n, ZMQ_SNDMORE);
    zmq_send(s->router, "", 0, ZMQ_SNDMORE);
    zmq_send(s->router, number, sizeof number, ZMQ_SNDMORE);
    zmq_send(s->router, payload, bytes, 0);
    free(payload);
}

// After many small ones a replay has room for many messages. One that is much larger ends it, so that they
// aren't all queued; but the next request gets on, whatever comes live meanwhile.
Test(feed, a_replay_of_large_messages_gets_on) {
    struct feed_test s;
    uint8_t identity[16];
    size_t n;
    test_open(&s);
    for (unsigned i = 0; i < 8; i++) { // small, to their end
        take_request(&s, 3, identity, &n);
        zmq_send(s.router, identity, n, ZMQ_SNDMORE);
        send_form(s.router, &reply_forms[12]);
        struct bridge_feed_stats before;
        bridge_feed_get_stats(s.feed, &before);
        expect(&s, &reply_forms[12], before);
    }
    for (unsigned round = 0; round < 2; round++) {
        take_request(&s, 3, identity, &n);
        for (uint8_t seq = 3; seq < 6; seq++)
            send_large(&s, identity, n, seq, 200000);
        int64_t end = kvr_clock_ms() + FEED_WAIT_MS;
        s.hearer = (struct feed_heard){.connected = s.hearer.connected};
        while (!strstr(s.hearer.text, round ? "reply 5 " : "reply 3 ") && kvr_clock_ms() < end)
            turn(&s);
        for (int i = 0; i < 50; i++)
            turn(&s);
        cr_expect_not_null(strstr(s.hearer.text, "reply 3 "));
        cr_expect_eq(strstr(s.hearer.text, "reply 4 ") != NULL, round, "%s", s.hearer.text);
        cr_expect_eq(strstr(s.hearer.text, "reply 5 ") != NULL, round, "%s", s.hearer.text);
        for (unsigned i = 0; i < 100; i++) { // and small ones live
            send_form(s.pub, &live_forms[0]);
            turn(&s);
            s.hearer = (struct feed_heard){.connected = s.hearer.connected};
        }
    }
    test_close(&s);
}

// A connection that ends is made anew, as often as it takes; and so is a request that reached nobody.
Test(feed, engines_that_come_and_go) {
    struct feed_test s;
    char events[60], replay[60];
    size_t n = sizeof events;
    int zero = 0;
    test_open(&s);
    cr_assert(zmq_getsockopt(s.pub, ZMQ_LAST_ENDPOINT, events, &n) == 0);
    n = sizeof replay;
    cr_assert(zmq_getsockopt(s.router, ZMQ_LAST_ENDPOINT, replay, &n) == 0);
    for (size_t round = 2; round < 5; round++) {
        struct bridge_feed_stats st;
        zmq_setsockopt(s.pub, ZMQ_LINGER, &zero, sizeof zero);
        zmq_close(s.pub);
        if (round == 2) zmq_close(s.router);
        int64_t end = kvr_clock_ms() + FEED_WAIT_MS;
        do {
            turn(&s);
            bridge_feed_get_stats(s.feed, &st);
        } while (st.connected && kvr_clock_ms() < end);
        cr_assert_not(st.connected);
        if (round == 2) bridge_feed_request(s.feed, 7); // to nobody
        for (int i = 0; i < 150; i++)
            turn(&s);
        s.pub = zmq_socket(s.zmq, ZMQ_PUB);
        while (zmq_bind(s.pub, events) && kvr_clock_ms() < end)
            turn(&s);
        while (s.hearer.connected < round && kvr_clock_ms() < end)
            turn(&s);
        cr_assert_eq(s.hearer.connected, round);
        for (s.hearer.n = 0; !s.hearer.n && kvr_clock_ms() < end; turn(&s))
            send_form(s.pub, &live_forms[0]);
        cr_assert(strncmp(s.hearer.text, "live 7 payload;", 15) == 0, "%s", s.hearer.text);
    }
    s.router = zmq_socket(s.zmq, ZMQ_ROUTER);
    int64_t end = kvr_clock_ms() + FEED_WAIT_MS;
    while (zmq_bind(s.router, replay) && kvr_clock_ms() < end)
        turn(&s);
    zmq_pollitem_t item = {s.router, 0, ZMQ_POLLIN, 0};
    while (zmq_poll(&item, 1, 1) <= 0 && kvr_clock_ms() < end)
        turn(&s);
    cr_assert(item.revents & ZMQ_POLLIN, "the request never came");
    test_close(&s);
}

// A name's IPv6 address may lead nowhere: where nothing comes of a connection the other one is tried, too.
Test(feed, a_name_whose_first_address_is_silent) {
    struct feed_test s = {.zmq = zmq_ctx_new(), .base = event_base_new()};
    char events[60], name[60], error[200];
    struct sockaddr_in6 silent = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    s.pub = bound(&s, ZMQ_PUB, events);
    s.router = bound(&s, ZMQ_ROUTER, name);
    int port = atoi(strrchr(events, ':') + 1), fd = socket(AF_INET6, SOCK_STREAM, 0);
    silent.sin6_port = htons((uint16_t)port);
    // Without IPv6 here there is nothing to be silent, and the name is reached at once.
    if (fd >= 0 && bind(fd, (struct sockaddr *)&silent, sizeof silent) == 0) listen(fd, 16);
    snprintf(name, sizeof name, "tcp://localhost:%d", port);
    struct evdns_base *dns = evdns_base_new(s.base, EVDNS_BASE_INITIALIZE_NAMESERVERS);
    struct bridge_feed_options o = {.events = name, .dns = dns};
    struct bridge_feed_port to = {&s.hearer, on_connected, on_live, on_reply, on_end};
    s.feed = bridge_feed_new(s.zmq, s.base, &o, &to, error, sizeof error);
    cr_assert(s.feed, "%s", error);
    for (int64_t end = kvr_clock_ms() + FEED_WAIT_MS; !s.hearer.connected; turn(&s))
        cr_assert(kvr_clock_ms() < end, "never connected");
    if (fd >= 0) close(fd);
    bridge_feed_free(s.feed);
    s.feed = NULL;
    evdns_base_free(dns, 1);
    test_close(&s);
}

// A resolver that knows one name, and has no answer at all to others.
static void on_question(struct evdns_server_request *q, void *ctx) {
    const struct in_addr here = {htonl(INADDR_LOOPBACK)};
    (void)ctx;
    if (strcasecmp(q->questions[0]->name, "engine.test") != 0) { // libevent varies their case
        evdns_server_request_drop(q);
        return;
    }
    if (q->questions[0]->type == EVDNS_TYPE_A)
        evdns_server_request_add_a_reply(q, "engine.test", 1, &here, 60);
    evdns_server_request_respond(q, 0);
}

// Names are asked for on the loop: who waits for one keeps nobody waiting, not at the end either.
Test(feed, a_silent_resolver) {
    struct feed_test s = {.zmq = zmq_ctx_new(), .base = event_base_new()};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    char events[60], replay[60], name[60], lost[] = "tcp://lost.test:5557", error[200];
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    cr_assert(bind(fd, (struct sockaddr *)&at, n) == 0 &&
              getsockname(fd, (struct sockaddr *)&at, &n) == 0);
    evutil_make_socket_nonblocking(fd);
    struct evdns_server_port *server =
        evdns_add_server_port_with_base(s.base, fd, 0, on_question, NULL);
    struct evdns_base *dns = evdns_base_new(s.base, 0);
    evdns_base_nameserver_sockaddr_add(dns, (struct sockaddr *)&at, n, 0);
    s.pub = bound(&s, ZMQ_PUB, events);
    s.router = bound(&s, ZMQ_ROUTER, replay);
    struct feed_heard nothing = {.n = 0};
    struct bridge_feed_options o = {.events = lost, .replay = lost, .dns = dns};
    struct bridge_feed_port deaf = {&nothing, on_connected, on_live, on_reply, on_end};
    struct bridge_feed *waits = bridge_feed_new(s.zmq, s.base, &o, &deaf, error, sizeof error);
    cr_assert(waits, "%s", error);
    bridge_feed_request(waits, 1);
    snprintf(name, sizeof name, "tcp://engine.test:%s", strrchr(events, ':') + 1);
    o.events = name;
    struct bridge_feed_port port = {&s.hearer, on_connected, on_live, on_reply, on_end};
    s.feed = bridge_feed_new(s.zmq, s.base, &o, &port, error, sizeof error);
    cr_assert(s.feed, "%s", error);
    for (int64_t end = kvr_clock_ms() + FEED_WAIT_MS; !s.hearer.connected; turn(&s))
        cr_assert(kvr_clock_ms() < end, "never connected");
    cr_expect_eq(nothing.connected, 0);
    bridge_feed_free(waits);
    bridge_feed_free(s.feed);
    s.feed = NULL;
    turn(&s); // what was cancelled is told so here
    evdns_base_free(dns, 1);
    evdns_close_server_port(server);
    test_close(&s);
    close(fd);
}

// What has no name is left to libzmq.
Test(feed, endpoints_with_a_name) {
    static const char *const
        named[] = {"tcp://h:1", "tcp://a.b-c:65535", "tcp://1.example:1"},
        *const others[] = {
            "tcp://1.2.3.4:1", "tcp://[::1]:1", "tcp://*:1",    "tcp://h:x",  "tcp://h", "tcp://h:",
            "tcp://a:1;b:2",   "ipc:///h",      "inproc://h:1", "tcp://:::1", "",        "tcp://"};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        cr_expect(bridge_lookup_needed(named[i]), "%s", named[i]);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        cr_expect_not(bridge_lookup_needed(others[i]), "%s", others[i]);
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
        bool good = engine_endpoint_of_rank(ranks[i].base, ranks[i].rank, out, sizeof out);
        cr_expect_eq(good, ranks[i].endpoint != NULL, "%s", ranks[i].base);
        if (good && ranks[i].endpoint) cr_expect_str_eq(out, ranks[i].endpoint);
    }
}
