// SPDX-License-Identifier: Apache-2.0
// Calls to engines that answer, don't, or answer something else.
#include <criterion/criterion.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <kvroute/hash.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/http1/h1_address.h"
#include "client/http1/h1_client.h"
#include "rtest_scripted_server.h"

enum { RTEST_CALL_WAIT_MS = 20000 };

static struct event_base *base;
static struct h1_client *up;
static struct server srv;

static const struct h1_client_options usual = {
    .connect_ms = 5000, .head_ms = 5000, .idle_ms = 5000, .keep_ms = 5000, .keep_most = 8};

// What became of a call.
struct rtest_heard {
    struct h1_call *call;
    struct evbuffer *body;
    char type[100];
    int status, heads, ends, failures;
    enum h1_failure why;
    enum {
        RTEST_NOTHING,
        RTEST_PAUSE_AT_HEAD,
        RTEST_PAUSE_AT_DATA,
        RTEST_CANCEL_AT_HEAD,
        RTEST_CANCEL_AT_DATA
    } then;
};

static void on_head(void *ctx, const struct h1_head *r) {
    struct rtest_heard *h = ctx;
    const char *type = h1_find_header(r, "Content-Type");
    cr_assert(!h->ends && !h->failures && !h->heads);
    h->heads++;
    h->status = r->status;
    snprintf(h->type, sizeof h->type, "%s", type ? type : "");
    if (h->then == RTEST_PAUSE_AT_HEAD) h1_call_pause(h->call);
    if (h->then == RTEST_CANCEL_AT_HEAD) h1_call_cancel(h->call);
}

static void on_data(void *ctx, struct evbuffer *bytes) {
    struct rtest_heard *h = ctx;
    cr_assert(h->heads && !h->ends && !h->failures && evbuffer_get_length(bytes));
    evbuffer_add_buffer(h->body, bytes);
    if (h->then == RTEST_PAUSE_AT_DATA) h1_call_pause(h->call);
    if (h->then == RTEST_CANCEL_AT_DATA) h1_call_cancel(h->call);
}

static void on_end(void *ctx) {
    struct rtest_heard *h = ctx;
    cr_assert(h->heads && !h->ends && !h->failures);
    h->ends++;
}

static void on_failed(void *ctx, enum h1_failure why) {
    struct rtest_heard *h = ctx;
    cr_assert(!h->ends && !h->failures);
    h->failures++;
    h->why = why;
}

static const struct h1_callbacks port = {on_head, on_data, on_end, on_failed};

static void start(struct rtest_heard *h, const char *address, struct evbuffer *body, bool fresh) {
    struct h1_request r = {.address = address,
                           .method = body ? "POST" : "GET",
                           .path = "/v1/x",
                           .headers = "X-One: 1\r\n",
                           .body = body,
                           .fresh = fresh};
    *h = (struct rtest_heard){.body = evbuffer_new(), .then = h->then};
    h->call = h1_call_start(up, &r, &port, h, NULL);
    cr_assert(h->call && !h->heads && !h->failures);
}

static void turn(int ms) {
    struct timeval t = {ms / 1000, ms % 1000 * 1000};
    event_base_loopexit(base, &t);
    event_base_dispatch(base);
}

static void await(struct rtest_heard *h) {
    for (int ms = 0; !h->ends && !h->failures; ms += 2) {
        cr_assert(ms < RTEST_CALL_WAIT_MS);
        turn(2);
    }
}

static void forget(struct rtest_heard *h) {
    evbuffer_free(h->body);
    h->body = NULL;
}

static struct rtest_heard get(const char *address, bool fresh) {
    struct rtest_heard h = {0};
    start(&h, address, NULL, fresh);
    await(&h);
    return h;
}

static bool body_is(struct rtest_heard *h, const char *text) {
    size_t n = evbuffer_get_length(h->body);
    return n == strlen(text) && (!n || !memcmp(evbuffer_pullup(h->body, -1), text, n));
}

static void set_up(void (*serve)(struct server *, size_t, struct bufferevent *),
                   const struct h1_client_options *options) {
    base = event_base_new();
    up = h1_client_new(base, options);
    cr_assert(base && up);
    server_open(&srv, base, serve);
}

static void take_down(void) {
    h1_client_free(up);
    turn(5); // the server sees its connections end
    server_close(&srv);
    event_base_free(base);
}

// ---- Answers -------------------------------------------------------------------------------------

static void three_kinds(struct server *s, size_t n, struct bufferevent *to) {
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 201 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
        "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nto the end"};
    (void)s;
    server_say(to, answers[n % 4]);
    if (n % 4 == 3) server_end(to, false);
}

Test(h1_client, one_connection_for_many_answers) {
    static const char *const bodies[] = {"hello", "abcd", "", "to the end"};
    static const int statuses[] = {200, 201, 404, 200};
    set_up(three_kinds, &usual);
    for (size_t i = 0; i < 8; i++) {
        struct rtest_heard h = get(srv.address, false);
        cr_assert(h.ends && h.status == statuses[i % 4] && body_is(&h, bodies[i % 4]), "%zu", i);
        if (i == 0) {
            char want[200];
            snprintf(want, sizeof want,
                     "GET /v1/x HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-One: 1\r\n\r\n", srv.port);
            cr_assert_str_eq(srv.head, want);
            cr_assert_str_eq(h.type, "a/b");
        }
        forget(&h);
    }
    cr_assert(srv.connections == 2 && h1_client_calls(up) == 0);
    take_down();
}

static void ok(struct server *s, size_t n, struct bufferevent *to) {
    (void)s;
    (void)n;
    server_say(to, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

// The body is only referred to, so it can be sent again.
Test(h1_client, one_body_for_several_calls) {
    size_t n = 3 << 20;
    char *text = malloc(n);
    struct evbuffer *body = evbuffer_new();
    for (size_t i = 0; i < n; i++)
        text[i] = (char)(i * 2654435761u >> 13);
    evbuffer_add(body, text, n);
    set_up(ok, &usual);
    for (int i = 0; i < 3; i++) {
        struct rtest_heard h = {0};
        start(&h, srv.address, body, i == 1);
        await(&h);
        cr_assert(h.ends && body_is(&h, "ok"));
        cr_assert(srv.body_bytes == n && srv.body_sum == XXH3_64bits(text, n));
        forget(&h);
    }
    cr_assert(evbuffer_get_length(body) == n && srv.connections == 2);
    evbuffer_free(body);
    free(text);
    take_down();
}

Test(h1_client, addresses) {
    static const char *const wrong[] = {
        "",           "127.0.0.1:80",      "https://127.0.0.1",      "http://",
        "http://a b", "http://a:b@c",      "http://127.0.0.1:99999", "http://a?b",
        "http://a#b", "http://a\r\nX: b/", "http://127.0.0.1:0",     "tcp://a"};
    set_up(ok, &usual);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct h1_request r = {.address = wrong[i], .method = "GET", .path = "/"};
        bool is_wrong = false;
        cr_assert_null(h1_call_start(up, &r, &port, NULL, &is_wrong), "%s", wrong[i]);
        cr_assert(is_wrong, "%s", wrong[i]);
    }
    char with[100];
    snprintf(with, sizeof with, "%s/prefix/", srv.address);
    struct rtest_heard h = get(with, false);
    cr_assert(h.ends && !strncmp(srv.head, "GET /prefix/v1/x HTTP", 21));
    forget(&h);
    // It listens on IPv4 only, and the name may have an IPv6 address first.
    snprintf(with, sizeof with, "http://localhost:%d", srv.port);
    h = get(with, false);
    cr_assert(h.ends);
    forget(&h);
    struct h1_address a;
    bool is_wrong;
    cr_assert(h1_address_parse(&a, "http://[::1]:8000/v1//", &is_wrong) && !is_wrong);
    cr_assert(a.port == 8000 && !strcmp(a.host, "::1") && !strcmp(a.prefix, "/v1"));
    cr_assert_str_eq(a.host_header, "[::1]:8000");
    h1_address_free(&a);
    take_down();
}

// ---- Failures ------------------------------------------------------------------------------------

static enum h1_failure failure(const char *address) {
    struct rtest_heard h = get(address, false);
    cr_assert(h.failures == 1);
    forget(&h);
    return h.why;
}

static void bad_kinds(struct server *s, size_t n, struct bufferevent *to) {
    static const char *const answers[] = {
        "", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "what?\r\n\r\n"};
    (void)s;
    server_say(to, answers[n % 5]);
    if (n % 5 < 4) server_end(to, n >= 5 && n % 5 == 0);
}

Test(h1_client, what_is_cut_is_a_reset) {
    static const unsigned want[] = {H1_RESET, H1_RESET, H1_RESET, H1_RESET, H1_MALFORMED};
    set_up(bad_kinds, &usual);
    for (size_t i = 0; i < 10; i++)
        cr_assert(failure(srv.address) == want[i % 5], "%zu", i);
    cr_assert(h1_client_kept(up) == 0);
    take_down();
}

// Without a length only an orderly end says that it was all.
static void half(struct server *s, size_t n, struct bufferevent *to) {
    static const char text[] = "HTTP/1.1 200 OK\r\n\r\n{\"half\":";
    (void)s;
    cr_assert_eq(write(bufferevent_getfd(to), text, sizeof text - 1), sizeof text - 1);
    usleep(20000);
    server_end(to, n == 0);
}

Test(h1_client, a_reset_is_no_end) {
    set_up(half, &usual);
    cr_assert_eq(failure(srv.address), H1_RESET);
    struct rtest_heard h = get(srv.address, false);
    cr_assert(h.ends == 1 && evbuffer_get_length(h.body) == 8);
    forget(&h);
    take_down();
}

Test(h1_client, nobody_is_there) {
    char address[64];
    set_up(ok, &usual);
    snprintf(address, sizeof address, "%s", srv.address);
    evconnlistener_free(srv.listener);
    srv.listener = NULL;
    cr_assert(failure(address) == H1_CONNECT);
    cr_assert(failure("http://no.such.host.invalid:1") == H1_CONNECT);
    take_down();
}

// The server ends a connection as soon as it is used a second time, as one does that has grown tired
// of it.
static void once(struct server *s, size_t n, struct bufferevent *to) {
    if (n == 1)
        server_end(to, false);
    else
        ok(s, n, to);
}

Test(h1_client, a_kept_connection_that_is_over_says_nothing_of_the_engine) {
    set_up(once, &usual);
    struct rtest_heard h = get(srv.address, false);
    cr_assert(h.ends);
    forget(&h);
    cr_assert(failure(srv.address) == H1_STALE);
    h = get(srv.address, true);
    cr_assert(h.ends && srv.connections == 2);
    forget(&h);
    take_down();
}

static void silent(struct server *s, size_t n, struct bufferevent *to) {
    (void)s;
    if (n == 1) server_say(to, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
}

Test(h1_client, silence_has_an_end) {
    struct h1_client_options o = usual;
    o.head_ms = o.idle_ms = 300;
    set_up(silent, &o);
    for (int i = 0; i < 2; i++) {
        struct rtest_heard h = get(srv.address, false);
        cr_assert(h.failures && h.why == H1_TIMEOUT && h.heads == i);
        forget(&h);
    }
    take_down();
}

// The answer is there while this process stands still, and is taken when it goes on.
Test(h1_client, time_that_we_stand_still_is_not_the_engine_s) {
    struct h1_client_options o = usual;
    o.connect_ms = o.head_ms = 400;
    set_up(ok, &o);
    struct rtest_heard h = {0};
    start(&h, srv.address, NULL, false);
    turn(1);
    usleep(1500000);
    await(&h);
    cr_assert(h.ends && body_is(&h, "ok"));
    forget(&h);
    take_down();
}

// An engine that refuses a body doesn't read it; its answer counts all the same.
static void refuse(struct server *s, size_t n, struct bufferevent *to) {
    (void)s;
    (void)n;
    server_say(to, "HTTP/1.1 413 Too large\r\nContent-Length: 3\r\n\r\nno!");
}

Test(h1_client, an_answer_before_the_body_is_read) {
    struct evbuffer *body = evbuffer_new();
    char *text = calloc(1, 32 << 20);
    struct rtest_heard h = {0};
    evbuffer_add(body, text, 32 << 20);
    set_up(refuse, &usual);
    srv.early = true;
    start(&h, srv.address, body, false);
    await(&h);
    cr_assert(h.ends && h.status == 413 && body_is(&h, "no!"));
    cr_assert(h1_client_kept(up) == 0); // half a request is on it
    forget(&h);
    evbuffer_free(body);
    free(text);
    take_down();
}

Test(h1_client, unused_connections_end) {
    struct h1_client_options o = usual;
    o.keep_ms = 200;
    o.keep_most = 2;
    set_up(ok, &o);
    struct rtest_heard h[4];
    for (int i = 0; i < 4; i++) {
        h[i].then = RTEST_NOTHING;
        start(&h[i], srv.address, NULL, false);
    }
    for (int i = 0; i < 4; i++) {
        await(&h[i]);
        forget(&h[i]);
    }
    cr_assert(h1_client_kept(up) == 2);
    for (int ms = 0; h1_client_kept(up) && ms < RTEST_CALL_WAIT_MS; ms += 50)
        turn(50);
    cr_assert(h1_client_kept(up) == 0);
    take_down();
}

// ---- Back-pressure, cancelling -------------------------------------------------------------------

enum { RTEST_LARGE_BODY = 16 << 20 };
static struct bufferevent *large_to;

static void large(struct server *s, size_t n, struct bufferevent *to) {
    char *text = malloc(RTEST_LARGE_BODY);
    (void)s;
    (void)n;
    for (size_t i = 0; i < RTEST_LARGE_BODY; i++)
        text[i] = (char)(i * 2654435761u >> 11);
    server_say(to, "HTTP/1.1 200 OK\r\nContent-Length: 16777216\r\n\r\n");
    bufferevent_write(to, text, RTEST_LARGE_BODY);
    large_to = to;
    free(text);
}

static void paused(int then) {
    struct rtest_heard h = {.then = then};
    set_up(large, &usual);
    start(&h, srv.address, NULL, false);
    for (int i = 0; i < 40; i++)
        turn(5);
    cr_assert(h.heads && !h.ends);
    cr_assert(evbuffer_get_length(h.body) <= H1_READ_AHEAD);
    // The rest is in the sockets and with the server.
    cr_assert(evbuffer_get_length(bufferevent_get_output(large_to)) > RTEST_LARGE_BODY / 4);
    h.then = RTEST_NOTHING;
    h1_call_resume(h.call);
    await(&h);
    cr_assert(h.ends && evbuffer_get_length(h.body) == RTEST_LARGE_BODY);
    unsigned char *got = evbuffer_pullup(h.body, -1);
    for (size_t i = 0; i < RTEST_LARGE_BODY; i++)
        if (got[i] != (unsigned char)(i * 2654435761u >> 11)) cr_assert_fail("byte %zu", i);
    forget(&h);
    take_down();
}

Test(h1_client, paused_at_the_head) {
    paused(RTEST_PAUSE_AT_HEAD);
}

Test(h1_client, paused_in_the_body) {
    paused(RTEST_PAUSE_AT_DATA);
}

Test(h1_client, cancelled_anywhere) {
    set_up(large, &usual);
    for (int then = RTEST_CANCEL_AT_HEAD; then <= RTEST_CANCEL_AT_DATA; then++) {
        struct rtest_heard h = {.then = (int)then};
        start(&h, srv.address, NULL, false);
        for (int i = 0; i < 40; i++)
            turn(2);
        cr_assert(h.heads == 1 && !h.ends && !h.failures && h1_client_calls(up) == 0);
        forget(&h);
    }
    struct rtest_heard h = {0};
    start(&h, srv.address, NULL, false);
    h1_call_cancel(h.call);
    turn(20);
    cr_assert(!h.heads && !h.failures && h1_client_calls(up) == 0);
    forget(&h);
    h.then = RTEST_PAUSE_AT_DATA;
    start(&h, srv.address, NULL, false);
    for (int i = 0; i < 20; i++)
        turn(2);
    h1_call_cancel(h.call);
    turn(20);
    cr_assert(!h.ends && !h.failures && srv.connections - srv.closed == 0);
    forget(&h);
    take_down();
}

Test(h1_client, all_end_with_it) {
    struct rtest_heard h[3] = {0};
    set_up(large, &usual);
    for (int i = 0; i < 3; i++) {
        h[i].then = i ? RTEST_PAUSE_AT_DATA : RTEST_PAUSE_AT_HEAD;
        start(&h[i], srv.address, NULL, false);
    }
    for (int i = 0; i < 10; i++)
        turn(2);
    take_down();
    for (int i = 0; i < 3; i++) {
        cr_assert(!h[i].ends && !h[i].failures);
        forget(&h[i]);
    }
}
