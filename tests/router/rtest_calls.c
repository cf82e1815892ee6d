// SPDX-License-Identifier: Apache-2.0
// See rtest_calls.h.
#include "rtest_calls.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "client/http1/h1_tls.h"
#include "rtest_authority.h"

struct rtest_calls rtest_calls;

const struct h1_client_options rtest_calls_usual = {
    .connect_ms = 5000, .head_ms = 5000, .idle_ms = 5000, .keep_ms = 5000, .keep_most = 8};

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

const struct h1_callbacks rtest_calls_port = {on_head, on_data, on_end, on_failed};

void rtest_call_start(struct rtest_heard *h, const char *address, struct evbuffer *body,
                      bool fresh) {
    struct h1_request r = {.address = address,
                           .method = body ? "POST" : "GET",
                           .path = "/v1/x",
                           .headers = "X-One: 1\r\n",
                           .body = body,
                           .fresh = fresh,
                           .all_ms = rtest_calls.all_ms};
    *h = (struct rtest_heard){.body = evbuffer_new(), .then = h->then};
    h->call = h1_call_start(rtest_calls.up, &r, &rtest_calls_port, h, NULL);
    cr_assert(h->call && !h->heads && !h->failures);
}

void rtest_calls_turn(int ms) {
    struct timeval t = {ms / 1000, ms % 1000 * 1000};
    event_base_loopexit(rtest_calls.base, &t);
    event_base_dispatch(rtest_calls.base);
}

void rtest_call_await(struct rtest_heard *h) {
    for (int ms = 0; !h->ends && !h->failures; ms += 2) {
        cr_assert(ms < RTEST_CALL_WAIT_MS);
        rtest_calls_turn(2);
    }
}

void rtest_call_forget(struct rtest_heard *h) {
    evbuffer_free(h->body);
    h->body = NULL;
}

struct rtest_heard rtest_call_get(const char *address, bool fresh) {
    struct rtest_heard h = {0};
    rtest_call_start(&h, address, NULL, fresh);
    rtest_call_await(&h);
    return h;
}

bool rtest_call_body_is(struct rtest_heard *h, const char *text) {
    size_t n = evbuffer_get_length(h->body);
    return n == strlen(text) && (!n || !memcmp(evbuffer_pullup(h->body, -1), text, n));
}

// What is sent to one that has gone would end the test.
static void speak_tls(void) {
    char error[200];
    struct h1_tls_options o = {.ca = rtest_pem("engine")};
    signal(SIGPIPE, SIG_IGN);
    rtest_issue(&(struct rtest_issue){.file = "engine", .names = "DNS:localhost,IP:127.0.0.1"});
    SSL_CTX_free(rtest_calls.server_tls); // where a test has ended without rtest_calls_down
    rtest_calls.server_tls = rtest_tls_server("engine", NULL);
    server_secure(&rtest_calls.server, rtest_calls.server_tls);
    struct h1_tls *tls = h1_tls_new(&o, error, sizeof error);
    cr_assert(tls, "%s", error);
    h1_client_trust(rtest_calls.up, tls);
}

void rtest_calls_up(void (*serve)(struct server *, size_t, struct bufferevent *),
                    const struct h1_client_options *options) {
    rtest_calls.base = event_base_new();
    rtest_calls.up = h1_client_new(rtest_calls.base, options);
    cr_assert(rtest_calls.base && rtest_calls.up);
    server_open(&rtest_calls.server, rtest_calls.base, serve);
    if (rtest_calls.tls) speak_tls();
}

void rtest_calls_ok(struct server *s, size_t n, struct bufferevent *to) {
    (void)s;
    (void)n;
    server_say_whole(to, "ok");
}

void rtest_calls_down(void) {
    h1_client_free(rtest_calls.up);
    rtest_calls_turn(5); // the server sees its connections end
    server_close(&rtest_calls.server);
    h1_loop_free(rtest_calls.base);
    SSL_CTX_free(rtest_calls.server_tls);
    rtest_calls.server_tls = NULL;
}

enum h1_failure rtest_call_failure(const char *address) {
    struct rtest_heard h = rtest_call_get(address, false);
    cr_assert(h.failures == 1);
    rtest_call_forget(&h);
    return h.why;
}
