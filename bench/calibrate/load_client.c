// SPDX-License-Identifier: Apache-2.0
// Sends a load; see load_client.h. One thread; connections are kept.
#include "load_client.h"

#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_http.h"
#include "bench/common/bench_memory.h"
#include "client/common/clock.h"
#include "client/http1/h1_client.h"

enum { CALIB_SILENCE_MS = 60000, CALIB_TRY_MS = 2000, CALIB_CHECK_MS = 200 };

struct load_client {
    const struct calib_load *load;
    struct calib_outcome *out;
    char address[40];
    struct event_base *base;
    struct h1_client *http;
    struct event *timer, *look; // the next request; whether all is done
    int64_t start;
    size_t next, open;
    struct load_stream *streams; // by request
};

struct load_stream {
    struct load_client *client;
    uint32_t request;
    struct calib_completion answer;
};

static double since(const struct load_client *c) {
    return (double)(kvr_clock_ns(CLOCK_MONOTONIC) - c->start) / 1e9;
}

static void end_stream(struct load_stream *s, const char *why) {
    struct load_client *c = s->client;
    struct calib_outcome *o = &c->out[s->request];
    uint32_t wanted = c->load->load.requests[s->request].osl;
    if (why) calib_completion_fail(&s->answer, why);
    o->tokens = s->answer.tokens;
    o->cached = s->answer.cached;
    memcpy(o->engine, s->answer.engine, sizeof o->engine);
    memcpy(o->why, s->answer.why, sizeof o->why);
    if (!*o->why && (!s->answer.ended || o->tokens != wanted))
        snprintf(o->why, sizeof o->why, "%u tokens where %u were asked for", o->tokens, wanted);
    c->open--;
}

static void on_head(void *ctx, const struct h1_head *head) {
    struct load_stream *s = ctx;
    char why[40];
    snprintf(why, sizeof why, "status %d", head->status);
    if (head->status != 200) calib_completion_fail(&s->answer, why);
}

static void on_data(void *ctx, struct evbuffer *bytes) {
    struct load_stream *s = ctx;
    struct calib_outcome *o = &s->client->out[s->request];
    size_t n = evbuffer_get_length(bytes);
    double now = since(s->client);
    uint32_t before = s->answer.tokens;
    calib_completion_read(&s->answer, (const char *)evbuffer_pullup(bytes, -1), n);
    if (!before && s->answer.tokens) o->first = now;
    if (s->answer.tokens > before) o->last = now;
}

static void on_end(void *ctx) {
    end_stream(ctx, NULL);
}

static void send_request(struct load_stream *s, bool fresh);

// A kept connection that the other side has closed meanwhile is no failure.
static void on_failed(void *ctx, enum h1_failure why) {
    if (why == H1_STALE)
        send_request(ctx, true);
    else
        end_stream(ctx, h1_failure_name(why));
}

static void send_request(struct load_stream *s, bool fresh) {
    static const struct h1_callbacks port = {on_head, on_data, on_end, on_failed};
    struct load_client *c = s->client;
    struct evbuffer *body = evbuffer_new();
    bool wrong;
    evbuffer_add_printf(body,
                        "{\"model\":\"mock\",\"prompt\":\"%.*s\",\"max_tokens\":%u,"
                        "\"stream\":true,\"stream_options\":{\"include_usage\":true}}",
                        (int)c->load->prompts[s->request].n, calib_load_prompt(c->load, s->request),
                        c->load->load.requests[s->request].osl);
    struct h1_request q = {.address = c->address,
                           .method = "POST",
                           .path = "/v1/completions",
                           .headers = "Content-Type: application/json\r\n",
                           .body = body,
                           .fresh = fresh};
    if (!h1_call_start(c->http, &q, &port, s, &wrong)) end_stream(s, "no call can be made");
    evbuffer_free(body);
}

static void send_due(evutil_socket_t fd, short what, void *ctx) {
    struct load_client *c = ctx;
    const struct bench_workload *w = &c->load->load;
    (void)fd, (void)what;
    for (; c->next < w->n && w->requests[c->next].at <= since(c); c->next++) {
        struct load_stream *s = &c->streams[c->next];
        *s = (struct load_stream){.client = c, .request = (uint32_t)c->next};
        calib_completion_begin(&s->answer);
        c->out[c->next].sent = since(c);
        c->open++;
        send_request(s, false);
    }
    if (c->next == w->n) return;
    double left = w->requests[c->next].at - since(c);
    int64_t us = left > 0 ? (int64_t)(left * 1e6) + 1 : 0;
    event_add(c->timer, &(struct timeval){us / 1000000, us % 1000000});
}

static void check_end(evutil_socket_t fd, short what, void *ctx) {
    struct load_client *c = ctx;
    (void)fd, (void)what;
    bool done = c->next == c->load->load.n && !c->open;
    if (done) event_base_loopbreak(c->base);
}

void calib_client_run(const struct calib_load *l, int port, struct calib_outcome *out) {
    static const struct h1_client_options options = {.connect_ms = CALIB_SILENCE_MS,
                                                     .head_ms = CALIB_SILENCE_MS,
                                                     .idle_ms = CALIB_SILENCE_MS,
                                                     .keep_ms = CALIB_SILENCE_MS,
                                                     .keep_most = 100000};
    struct load_client c = {
        .load = l, .out = out, .streams = bench_calloc(l->load.n, sizeof *c.streams)};
    for (size_t i = 0; i < l->load.n; i++)
        out[i] = (struct calib_outcome){
            .sent = -1, .first = -1, .last = -1, .cached = -1, .why = "not sent"};
    snprintf(c.address, sizeof c.address, "http://127.0.0.1:%d", port);
    struct event_config *precise = event_config_new(); // epoll's own clock ticks in ms
    event_config_set_flag(precise, EVENT_BASE_FLAG_PRECISE_TIMER);
    c.base = event_base_new_with_config(precise);
    event_config_free(precise);
    c.http = h1_client_new(c.base, &options);
    c.timer = event_new(c.base, -1, 0, send_due, &c);
    c.look = event_new(c.base, -1, EV_PERSIST, check_end, &c);
    event_add(c.look, &(struct timeval){0, CALIB_CHECK_MS * 1000});
    c.start = kvr_clock_ns(CLOCK_MONOTONIC);
    send_due(-1, 0, &c);
    event_base_dispatch(c.base);
    h1_client_free(c.http);
    event_free(c.timer);
    event_free(c.look);
    event_base_free(c.base);
    free(c.streams);
}

bool calib_client_try(int port) {
    struct bench_answer a =
        bench_http(port, "POST", "/v1/completions", "Content-Type: application/json\r\n",
                   "{\"model\":\"mock\",\"prompt\":\"hello\",\"max_tokens\":1}", CALIB_TRY_MS);
    bool ok = a.status == 200;
    free(a.body);
    return ok;
}
