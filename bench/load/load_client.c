// SPDX-License-Identifier: Apache-2.0
// Plays a script; see load_client.h. One thread; connections are kept.
//
// What a request does, in calls; PREFILLED goes out at the first token and runs beside its stream:
//
//     CHOOSE ──▶ STREAM ──▶ OUTPUT ──▶ RELEASE ──▶ over        with routers
//                   └─────▶ PREFILLED
//     STREAM ──▶ over                                          without
#include "load_client.h"

#include <event2/buffer.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_memory.h"
#include "client/common/clock.h"
#include "client/http1/h1_client.h"

enum { LOAD_SILENCE_MS = 60000, LOAD_LOOK_MS = 100, LOAD_RETRY_MS = 20, LOAD_MAX_ATTEMPTS = 500 };

enum load_step { LOAD_CHOOSE, LOAD_STREAM, LOAD_PREFILLED, LOAD_OUTPUT, LOAD_RELEASE };
static const char *const paths[] = {[LOAD_CHOOSE] = "/v1/select",
                                    [LOAD_STREAM] = "/v1/completions",
                                    [LOAD_PREFILLED] = "/v1/update",
                                    [LOAD_OUTPUT] = "/v1/update",
                                    [LOAD_RELEASE] = "/v1/release"};

struct load_client {
    const struct bench_play_plan *plan;
    const struct bench_script *script;
    struct bench_outcome *out;
    struct event_base *base;
    struct h1_client *http;
    struct event *timer, *look; // the next request; whether all is done
    int64_t start;
    size_t next, open, calls; // requests that have begun, that are under way; calls under way
    unsigned *router;         // by request: the place in the plan of the router that it asks
    struct bench_play_count count;
};

struct load_call {
    struct load_client *client;
    enum load_step step;
    uint32_t request;
    int port;
    unsigned attempts;
    bool fresh; // on a new connection
    struct event *retry;
    struct evbuffer *body; // of the answer, but of a stream's
    struct bench_completion answer;
};

static double since(const struct load_client *c) {
    return (double)(kvr_clock_ns(CLOCK_MONOTONIC) - c->start) / 1e9;
}

static void start_call(struct load_client *c, enum load_step step, uint32_t request);
static void send_call(struct load_call *call);

static void free_call(struct load_call *call) {
    call->client->calls--;
    if (call->retry) event_free(call->retry);
    if (call->body) evbuffer_free(call->body);
    free(call);
}

// ---- What follows on a call ----------------------------------------------------------------------

static void end_request(struct load_client *c, uint32_t request) {
    const struct bench_outcome *o = &c->out[request];
    c->count.done++;
    c->count.prompt += c->script->load.requests[request].isl;
    c->count.cached += o->cached > 0 ? (uint64_t)o->cached : 0;
    c->open--;
}

static bool read_choice(struct load_client *c, const struct load_call *call) {
    struct bench_outcome *o = &c->out[call->request];
    size_t n = evbuffer_get_length(call->body);
    json_t *j = json_loadb((const char *)evbuffer_pullup(call->body, -1), n, 0, NULL);
    const char *address = json_string_value(json_object_get(j, "address"));
    bool ok = address && sscanf(address, "http://127.0.0.1:%d", &o->port) == 1;
    o->repeat = json_is_true(json_object_get(j, "repeat"));
    o->degraded = json_is_true(json_object_get(j, "degraded"));
    o->chosen = since(c);
    json_decref(j);
    return ok;
}

static void end_stream(struct load_client *c, struct load_call *call) {
    struct bench_outcome *o = &c->out[call->request];
    const struct bench_completion *a = &call->answer;
    uint32_t wanted = c->script->load.requests[call->request].osl;
    o->tokens = a->tokens;
    o->cached = a->cached;
    memcpy(o->engine, a->engine, sizeof o->engine);
    memcpy(o->why, a->why, sizeof o->why);
    if (!*o->why && (!a->ended || o->tokens != wanted))
        snprintf(o->why, sizeof o->why, "%u tokens where %u were asked for", o->tokens, wanted);
}

static void on_retry(evutil_socket_t fd, short what, void *ctx) {
    (void)fd, (void)what;
    send_call(ctx);
}

// A router failed: the next one is asked, unless all have been asked for long. True: the call goes on.
static bool retry_call(struct load_client *c, struct load_call *call) {
    unsigned *router = &c->router[call->request];
    struct bench_outcome *o = &c->out[call->request];
    if (c->plan->routers[*router] == call->port) *router = (*router + 1) % c->plan->n_routers;
    if (++call->attempts == LOAD_MAX_ATTEMPTS) {
        if (!*o->why)
            snprintf(o->why, sizeof o->why, "%.30s: %.60s", paths[call->step], call->answer.why);
        return false;
    }
    if (!call->retry) call->retry = event_new(c->base, -1, 0, on_retry, call);
    event_add(call->retry, &(struct timeval){0, LOAD_RETRY_MS * 1000});
    return true;
}

static void end_call(struct load_call *call) {
    struct load_client *c = call->client;
    bool failed = *call->answer.why;
    if (call->step == LOAD_CHOOSE && !failed && !read_choice(c, call)) {
        bench_completion_fail(&call->answer, "no address");
        failed = true;
    }
    if (call->step != LOAD_STREAM && failed && retry_call(c, call)) return;
    switch (call->step) {
    case LOAD_CHOOSE:
        if (failed)
            end_request(c, call->request);
        else
            start_call(c, LOAD_STREAM, call->request);
        break;
    case LOAD_STREAM:
        end_stream(c, call);
        if (c->plan->n_routers)
            start_call(c, LOAD_OUTPUT, call->request);
        else
            end_request(c, call->request);
        break;
    case LOAD_PREFILLED:
        break;
    case LOAD_OUTPUT:
        start_call(c, LOAD_RELEASE, call->request);
        break;
    case LOAD_RELEASE:
        end_request(c, call->request);
        break;
    }
    free_call(call);
}

// ---- Answers -------------------------------------------------------------------------------------

static void on_head(void *ctx, const struct h1_head *head) {
    struct load_call *call = ctx;
    char why[40];
    snprintf(why, sizeof why, "status %d", head->status);
    if (head->status != 200) bench_completion_fail(&call->answer, why);
}

static void on_data(void *ctx, struct evbuffer *bytes) {
    struct load_call *call = ctx;
    struct load_client *c = call->client;
    struct bench_outcome *o = &c->out[call->request];
    if (call->step != LOAD_STREAM) {
        evbuffer_add_buffer(call->body, bytes);
        return;
    }
    double now = since(c);
    uint32_t before = call->answer.tokens;
    size_t n = evbuffer_get_length(bytes);
    bench_completion_read(&call->answer, (const char *)evbuffer_pullup(bytes, -1), n);
    if (call->answer.tokens > before) o->last = now;
    if (before || !call->answer.tokens) return;
    o->first = now;
    if (c->plan->n_routers) start_call(c, LOAD_PREFILLED, call->request);
}

static void on_end(void *ctx) {
    end_call(ctx);
}

// A kept connection that the other side has closed meanwhile is no failure.
static void on_failed(void *ctx, enum h1_failure why) {
    struct load_call *call = ctx;
    if (why == H1_STALE) {
        call->fresh = true;
        send_call(call);
        return;
    }
    bench_completion_fail(&call->answer, h1_failure_name(why));
    end_call(call);
}

// ---- Sending -------------------------------------------------------------------------------------

static void write_body(const struct load_call *call, struct evbuffer *b) {
    const struct bench_script *s = call->client->script;
    const struct bench_request *r = &s->load.requests[call->request];
    const uint64_t *hashes = bench_request_hashes(&s->load, call->request);
    switch (call->step) {
    case LOAD_CHOOSE:
        evbuffer_add_printf(b, "{\"request\":\"r%u\",\"isl\":%u,\"hashes\":[", call->request,
                            r->isl);
        for (uint32_t i = 0; i < r->blocks; i++)
            evbuffer_add_printf(b, "%s\"%016llx\"", i ? "," : "", (unsigned long long)hashes[i]);
        evbuffer_add_printf(b, "]}");
        break;
    case LOAD_STREAM:
        evbuffer_add_printf(b, "{\"model\":\"mock\",\"prompt\":\"");
        evbuffer_add(b, bench_script_prompt(s, call->request), s->prompts[call->request].n);
        evbuffer_add_printf(b,
                            "\",\"max_tokens\":%u,\"stream\":true,"
                            "\"stream_options\":{\"include_usage\":true}}",
                            r->osl);
        break;
    case LOAD_PREFILLED:
        evbuffer_add_printf(b, "{\"request\":\"r%u\",\"prefilled\":true,\"output\":1}",
                            call->request);
        break;
    case LOAD_OUTPUT:
        evbuffer_add_printf(b, "{\"request\":\"r%u\",\"output\":%u}", call->request,
                            call->client->out[call->request].tokens);
        break;
    case LOAD_RELEASE:
        evbuffer_add_printf(b, "{\"request\":\"r%u\"}", call->request);
        break;
    }
}

static void send_call(struct load_call *call) {
    static const struct h1_callbacks port = {on_head, on_data, on_end, on_failed};
    struct load_client *c = call->client;
    char address[40];
    bool wrong;
    call->port = call->step == LOAD_STREAM ? c->out[call->request].port
                                           : c->plan->routers[c->router[call->request]];
    bench_completion_begin(&call->answer);
    if (call->body) evbuffer_drain(call->body, evbuffer_get_length(call->body));
    snprintf(address, sizeof address, "http://127.0.0.1:%d", call->port);
    struct evbuffer *body = evbuffer_new();
    write_body(call, body);
    struct h1_request q = {.address = address,
                           .method = "POST",
                           .path = paths[call->step],
                           .headers = "Content-Type: application/json\r\n",
                           .body = body,
                           .fresh = call->fresh};
    call->fresh = false;
    bool ok = h1_call_start(c->http, &q, &port, call, &wrong);
    evbuffer_free(body);
    if (ok) return;
    bench_completion_fail(&call->answer, "no call can be made");
    end_call(call);
}

static void start_call(struct load_client *c, enum load_step step, uint32_t request) {
    struct load_call *call = bench_calloc(1, sizeof *call);
    *call = (struct load_call){.client = c, .step = step, .request = request};
    c->calls++;
    if (step != LOAD_STREAM) call->body = evbuffer_new();
    send_call(call);
}

static double due(const struct load_client *c, size_t request) {
    return c->script->load.requests[request].at / c->plan->speed;
}

static void on_timer(evutil_socket_t fd, short what, void *ctx) {
    struct load_client *c = ctx;
    size_t n = c->script->load.n;
    (void)fd, (void)what;
    for (; c->next < n && due(c, c->next) <= since(c); c->next++) {
        struct bench_outcome *o = &c->out[c->next];
        *o->why = 0;
        o->sent = o->chosen = since(c);
        c->open++;
        if (c->plan->n_routers)
            c->router[c->next] = (unsigned)(c->next % c->plan->n_routers);
        else
            o->port = c->plan->targets[c->next % c->plan->n_targets];
        start_call(c, c->plan->n_routers ? LOAD_CHOOSE : LOAD_STREAM, (uint32_t)c->next);
    }
    if (c->next == n) return;
    double left = due(c, c->next) - since(c);
    int64_t us = left > 0 ? (int64_t)(left * 1e6) + 1 : 0;
    event_add(c->timer, &(struct timeval){us / 1000000, us % 1000000});
}

// ---- All of it -----------------------------------------------------------------------------------

static void on_look(evutil_socket_t fd, short what, void *ctx) {
    struct load_client *c = ctx;
    (void)fd, (void)what;
    if (c->plan->watch) c->plan->watch(c->plan->ctx, &c->count);
    bool done = c->next == c->script->load.n && !c->open && !c->calls;
    if (done) event_base_loopbreak(c->base);
}

void bench_play(const struct bench_play_plan *plan, struct bench_outcome *out) {
    static const struct h1_client_options options = {.connect_ms = LOAD_SILENCE_MS,
                                                     .head_ms = LOAD_SILENCE_MS,
                                                     .idle_ms = LOAD_SILENCE_MS,
                                                     .keep_ms = LOAD_SILENCE_MS,
                                                     .keep_most = 100000};
    size_t n = plan->script->load.n;
    struct load_client c = {.plan = plan, .script = plan->script, .out = out};
    for (size_t i = 0; i < n; i++)
        out[i] = (struct bench_outcome){
            .sent = -1, .chosen = -1, .first = -1, .last = -1, .cached = -1, .why = "not sent"};
    c.router = bench_calloc(n + 1, sizeof *c.router);
    struct event_config *precise = event_config_new(); // epoll's own clock ticks in ms
    event_config_set_flag(precise, EVENT_BASE_FLAG_PRECISE_TIMER);
    c.base = event_base_new_with_config(precise);
    event_config_free(precise);
    c.http = h1_client_new(c.base, &options);
    c.timer = event_new(c.base, -1, 0, on_timer, &c);
    c.look = event_new(c.base, -1, EV_PERSIST, on_look, &c);
    event_add(c.look, &(struct timeval){0, LOAD_LOOK_MS * 1000});
    c.start = kvr_clock_ns(CLOCK_MONOTONIC);
    on_timer(-1, 0, &c);
    event_base_dispatch(c.base);
    h1_client_free(c.http);
    event_free(c.timer);
    event_free(c.look);
    h1_loop_free(c.base);
    free(c.router);
}
