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
#include "rtest_calls.h"

// Without TLS, and with it.
#define WITH_TLS_TOO(what)                                                                         \
    static void what(void);                                                                        \
    Test(h1_client, what) {                                                                        \
        what();                                                                                    \
    }                                                                                              \
    Test(h1_client, what##_over_tls) {                                                             \
        rtest_calls.tls = true;                                                                    \
        what();                                                                                    \
    }                                                                                              \
    static void what(void)

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

WITH_TLS_TOO(one_connection_for_many_answers) {
    static const char *const bodies[] = {"hello", "abcd", "", "to the end"};
    static const int statuses[] = {200, 201, 404, 200};
    rtest_calls_up(three_kinds, &rtest_calls_usual);
    for (size_t i = 0; i < 8; i++) {
        struct rtest_heard h = rtest_call_get(rtest_calls.server.address, false);
        cr_assert(h.ends && h.status == statuses[i % 4] && rtest_call_body_is(&h, bodies[i % 4]),
                  "%zu", i);
        if (i == 0) {
            char want[200];
            snprintf(want, sizeof want,
                     "GET /v1/x HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-One: 1\r\n\r\n",
                     rtest_calls.server.port);
            cr_assert_str_eq(rtest_calls.server.head, want);
            cr_assert_str_eq(h.type, "a/b");
        }
        rtest_call_forget(&h);
    }
    cr_assert(rtest_calls.server.connections == 2 && h1_client_calls(rtest_calls.up) == 0);
    rtest_calls_down();
}

static void leave_loop(evutil_socket_t fd, short what, void *ctx) {
    (void)fd;
    (void)what;
    event_base_loopbreak(ctx);
}

// Whichever turn of the loop is its last, nothing is left that waits for its callback: the address sanitizer looks.
WITH_TLS_TOO(ends_with_something_still_to_tell) {
    static const struct timeval at_once = {0, 0};
    for (int turns = 0; turns < 40; turns++) {
        struct rtest_heard h;
        rtest_calls_up(rtest_calls_ok, &rtest_calls_usual);
        rtest_call_start(&h, rtest_calls.server.address, NULL, false);
        for (int i = 0; i < turns; i++) {
            event_base_once(rtest_calls.base, -1, EV_TIMEOUT, leave_loop, rtest_calls.base,
                            &at_once);
            event_base_dispatch(rtest_calls.base);
        }
        h1_client_free(rtest_calls.up);
        server_close(&rtest_calls.server);
        h1_loop_free(rtest_calls.base);
        rtest_call_forget(&h);
    }
}

// The body is only referred to, so it can be sent again.
WITH_TLS_TOO(one_body_for_several_calls) {
    size_t n = 3 << 20;
    char *text = malloc(n);
    struct evbuffer *body = evbuffer_new();
    for (size_t i = 0; i < n; i++)
        text[i] = (char)(i * 2654435761u >> 13);
    evbuffer_add(body, text, n);
    rtest_calls_up(rtest_calls_ok, &rtest_calls_usual);
    for (int i = 0; i < 3; i++) {
        struct rtest_heard h = {0};
        rtest_call_start(&h, rtest_calls.server.address, body, i == 1);
        rtest_call_await(&h);
        cr_assert(h.ends && rtest_call_body_is(&h, "ok"));
        cr_assert(rtest_calls.server.body_bytes == n &&
                  rtest_calls.server.body_sum == XXH3_64bits(text, n));
        rtest_call_forget(&h);
    }
    cr_assert(evbuffer_get_length(body) == n && rtest_calls.server.connections == 2);
    evbuffer_free(body);
    free(text);
    rtest_calls_down();
}

Test(h1_client, addresses) {
    static const char *const wrong[] = {
        "",           "127.0.0.1:80",      "https://127.0.0.1",      "http://",
        "http://a b", "http://a:b@c",      "http://127.0.0.1:99999", "http://a?b",
        "http://a#b", "http://a\r\nX: b/", "http://127.0.0.1:0",     "tcp://a"};
    rtest_calls_up(rtest_calls_ok, &rtest_calls_usual);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct h1_request r = {.address = wrong[i], .method = "GET", .path = "/"};
        bool is_wrong = false;
        cr_assert_null(h1_call_start(rtest_calls.up, &r, &rtest_calls_port, NULL, &is_wrong), "%s",
                       wrong[i]);
        cr_assert(is_wrong, "%s", wrong[i]);
    }
    char with[100];
    snprintf(with, sizeof with, "%s/prefix/", rtest_calls.server.address);
    struct rtest_heard h = rtest_call_get(with, false);
    cr_assert(h.ends && !strncmp(rtest_calls.server.head, "GET /prefix/v1/x HTTP", 21));
    rtest_call_forget(&h);
    // It listens on IPv4 only, and the name may have an IPv6 address first.
    snprintf(with, sizeof with, "http://localhost:%d", rtest_calls.server.port);
    h = rtest_call_get(with, false);
    cr_assert(h.ends);
    rtest_call_forget(&h);
    struct h1_address a;
    bool is_wrong;
    cr_assert(h1_address_parse(&a, "http://[::1]:8000/v1//", &is_wrong) && !is_wrong);
    cr_assert(a.port == 8000 && !strcmp(a.host, "::1") && !strcmp(a.prefix, "/v1"));
    cr_assert_str_eq(a.host_header, "[::1]:8000");
    h1_address_free(&a);
    rtest_calls_down();
}

// ---- Failures ------------------------------------------------------------------------------------

static void bad_kinds(struct server *s, size_t n, struct bufferevent *to) {
    static const char *const answers[] = {
        "", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "what?\r\n\r\n"};
    (void)s;
    server_say(to, answers[n % 5]);
    if (n % 5 < 4) server_end(to, n >= 5 && n % 5 == 0);
}

WITH_TLS_TOO(what_is_cut_is_a_reset) {
    static const unsigned want[] = {H1_RESET, H1_RESET, H1_RESET, H1_RESET, H1_MALFORMED};
    rtest_calls_up(bad_kinds, &rtest_calls_usual);
    for (size_t i = 0; i < 10; i++)
        cr_assert(rtest_call_failure(rtest_calls.server.address) == want[i % 5], "%zu", i);
    cr_assert(h1_client_kept(rtest_calls.up) == 0);
    rtest_calls_down();
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
    rtest_calls_up(half, &rtest_calls_usual);
    cr_assert_eq(rtest_call_failure(rtest_calls.server.address), H1_RESET);
    struct rtest_heard h = rtest_call_get(rtest_calls.server.address, false);
    cr_assert(h.ends == 1 && evbuffer_get_length(h.body) == 8);
    rtest_call_forget(&h);
    rtest_calls_down();
}

Test(h1_client, nobody_is_there) {
    char address[64];
    rtest_calls_up(rtest_calls_ok, &rtest_calls_usual);
    snprintf(address, sizeof address, "%s", rtest_calls.server.address);
    evconnlistener_free(rtest_calls.server.listener);
    rtest_calls.server.listener = NULL;
    cr_assert(rtest_call_failure(address) == H1_CONNECT);
    cr_assert(rtest_call_failure("http://no.such.host.invalid:1") == H1_CONNECT);
    rtest_calls_down();
}

// The server ends a connection as soon as it is used a second time, as one does that has grown tired
// of it.
static void once(struct server *s, size_t n, struct bufferevent *to) {
    if (n == 1)
        server_end(to, false);
    else
        rtest_calls_ok(s, n, to);
}

WITH_TLS_TOO(a_kept_connection_that_is_over_says_nothing_of_the_engine) {
    rtest_calls_up(once, &rtest_calls_usual);
    struct rtest_heard h = rtest_call_get(rtest_calls.server.address, false);
    cr_assert(h.ends);
    rtest_call_forget(&h);
    cr_assert(rtest_call_failure(rtest_calls.server.address) == H1_STALE);
    h = rtest_call_get(rtest_calls.server.address, true);
    cr_assert(h.ends && rtest_calls.server.connections == 2);
    rtest_call_forget(&h);
    rtest_calls_down();
}

static void silent(struct server *s, size_t n, struct bufferevent *to) {
    (void)s;
    if (n == 1) server_say(to, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
}

WITH_TLS_TOO(silence_has_an_end) {
    struct h1_client_options o = rtest_calls_usual;
    o.head_ms = o.idle_ms = 300;
    rtest_calls_up(silent, &o);
    for (int i = 0; i < 2; i++) {
        struct rtest_heard h = rtest_call_get(rtest_calls.server.address, false);
        cr_assert(h.failures && h.why == H1_TIMEOUT && h.heads == i);
        rtest_call_forget(&h);
    }
    rtest_calls_down();
}

// Of what comes bit by bit each piece comes in time, and yet it has an end.
static void drips(struct server *s, size_t n, struct bufferevent *to) {
    (void)s;
    (void)n;
    server_say(to, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
}

WITH_TLS_TOO(all_of_an_answer_in_time) {
    struct h1_client_options o = rtest_calls_usual;
    o.idle_ms = 10 * RTEST_CALL_WAIT_MS;
    rtest_calls.all_ms = 300;
    rtest_calls_up(drips, &o);
    struct rtest_heard h = rtest_call_get(rtest_calls.server.address, false);
    cr_assert(h.failures && h.why == H1_TIMEOUT && h.heads == 1);
    cr_assert(evbuffer_get_length(h.body) == 2);
    rtest_call_forget(&h);
    rtest_calls_down();
}

// The answer is there while this process stands still, and is taken when it goes on.
Test(h1_client, time_that_we_stand_still_is_not_the_engine_s) {
    struct h1_client_options o = rtest_calls_usual;
    o.connect_ms = o.head_ms = 400;
    rtest_calls_up(rtest_calls_ok, &o);
    struct rtest_heard h = {0};
    rtest_call_start(&h, rtest_calls.server.address, NULL, false);
    rtest_calls_turn(1);
    usleep(1500000);
    rtest_call_await(&h);
    cr_assert(h.ends && rtest_call_body_is(&h, "ok"));
    rtest_call_forget(&h);
    rtest_calls_down();
}

// An engine that refuses a body doesn't read it; its answer counts all the same.
static void refuse(struct server *s, size_t n, struct bufferevent *to) {
    (void)s;
    (void)n;
    server_say(to, "HTTP/1.1 413 Too large\r\nContent-Length: 3\r\n\r\nno!");
}

WITH_TLS_TOO(an_answer_before_the_body_is_read) {
    struct evbuffer *body = evbuffer_new();
    char *text = calloc(1, 32 << 20);
    struct rtest_heard h = {0};
    evbuffer_add(body, text, 32 << 20);
    rtest_calls_up(refuse, &rtest_calls_usual);
    rtest_calls.server.early = true;
    rtest_call_start(&h, rtest_calls.server.address, body, false);
    rtest_call_await(&h);
    cr_assert(h.ends && h.status == 413 && rtest_call_body_is(&h, "no!"));
    cr_assert(h1_client_kept(rtest_calls.up) == 0); // half a request is on it
    rtest_call_forget(&h);
    evbuffer_free(body);
    free(text);
    rtest_calls_down();
}

WITH_TLS_TOO(unused_connections_end) {
    struct h1_client_options o = rtest_calls_usual;
    o.keep_ms = 200;
    o.keep_most = 2;
    rtest_calls_up(rtest_calls_ok, &o);
    struct rtest_heard h[4];
    for (int i = 0; i < 4; i++) {
        h[i].then = RTEST_NOTHING;
        rtest_call_start(&h[i], rtest_calls.server.address, NULL, false);
    }
    for (int i = 0; i < 4; i++) {
        rtest_call_await(&h[i]);
        rtest_call_forget(&h[i]);
    }
    cr_assert(h1_client_kept(rtest_calls.up) == 2);
    for (int ms = 0; h1_client_kept(rtest_calls.up) && ms < RTEST_CALL_WAIT_MS; ms += 50)
        rtest_calls_turn(50);
    cr_assert(h1_client_kept(rtest_calls.up) == 0);
    rtest_calls_down();
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
    rtest_calls_up(large, &rtest_calls_usual);
    rtest_call_start(&h, rtest_calls.server.address, NULL, false);
    for (int ms = 0; !h.heads && ms < RTEST_CALL_WAIT_MS; ms += 5)
        rtest_calls_turn(5);
    for (int i = 0; i < 40; i++)
        rtest_calls_turn(5);
    cr_assert(h.heads && !h.ends);
    cr_assert(evbuffer_get_length(h.body) <= H1_READ_AHEAD);
    // The rest is in the sockets and with the server.
    cr_assert(evbuffer_get_length(bufferevent_get_output(large_to)) > RTEST_LARGE_BODY / 4);
    h.then = RTEST_NOTHING;
    h1_call_resume(h.call);
    rtest_call_await(&h);
    cr_assert(h.ends && evbuffer_get_length(h.body) == RTEST_LARGE_BODY);
    unsigned char *got = evbuffer_pullup(h.body, -1);
    for (size_t i = 0; i < RTEST_LARGE_BODY; i++)
        if (got[i] != (unsigned char)(i * 2654435761u >> 11)) cr_assert_fail("byte %zu", i);
    rtest_call_forget(&h);
    rtest_calls_down();
}

WITH_TLS_TOO(paused_at_the_head) {
    paused(RTEST_PAUSE_AT_HEAD);
}

WITH_TLS_TOO(paused_in_the_body) {
    paused(RTEST_PAUSE_AT_DATA);
}

WITH_TLS_TOO(cancelled_anywhere) {
    rtest_calls_up(large, &rtest_calls_usual);
    for (int then = RTEST_CANCEL_AT_HEAD; then <= RTEST_CANCEL_AT_DATA; then++) {
        struct rtest_heard h = {.then = (int)then};
        rtest_call_start(&h, rtest_calls.server.address, NULL, false);
        for (int ms = 0; h1_client_calls(rtest_calls.up) && ms < RTEST_CALL_WAIT_MS; ms += 2)
            rtest_calls_turn(2);
        cr_assert(h.heads == 1 && !h.ends && !h.failures && h1_client_calls(rtest_calls.up) == 0);
        rtest_call_forget(&h);
    }
    struct rtest_heard h = {0};
    rtest_call_start(&h, rtest_calls.server.address, NULL, false);
    h1_call_cancel(h.call);
    rtest_calls_turn(20);
    cr_assert(!h.heads && !h.failures && h1_client_calls(rtest_calls.up) == 0);
    rtest_call_forget(&h);
    h.then = RTEST_PAUSE_AT_DATA;
    rtest_call_start(&h, rtest_calls.server.address, NULL, false);
    for (int i = 0; i < 20; i++)
        rtest_calls_turn(2);
    h1_call_cancel(h.call);
    rtest_calls_turn(20);
    cr_assert(!h.ends && !h.failures &&
              rtest_calls.server.connections - rtest_calls.server.closed == 0);
    rtest_call_forget(&h);
    rtest_calls_down();
}

WITH_TLS_TOO(all_end_with_it) {
    struct rtest_heard h[3] = {0};
    rtest_calls_up(large, &rtest_calls_usual);
    for (int i = 0; i < 3; i++) {
        h[i].then = i ? RTEST_PAUSE_AT_DATA : RTEST_PAUSE_AT_HEAD;
        rtest_call_start(&h[i], rtest_calls.server.address, NULL, false);
    }
    for (int i = 0; i < 10; i++)
        rtest_calls_turn(2);
    rtest_calls_down();
    for (int i = 0; i < 3; i++) {
        cr_assert(!h[i].ends && !h[i].failures);
        rtest_call_forget(&h[i]);
    }
}
