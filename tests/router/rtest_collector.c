// SPDX-License-Identifier: Apache-2.0
// See rtest_collector.h.
#define _GNU_SOURCE // strndup
#include "rtest_collector.h"

#include <criterion/criterion.h>
#include <event2/buffer.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "client/http1/h1_server.h"
#include "rtest_http.h"
#include "tests/support/support_home.h"

enum { COLLECTOR_HELD = 64 };

static struct {
    pthread_t thread;
    pthread_mutex_t lock;
    struct event_base *base;
    struct h1_server *server;
    struct event *wake;
    int pipe[2];
    char url[60];
    bool open, closing, hold;
    // Under the lock.
    json_t *bodies;
    const char *const *script;
    size_t requests, largest, n_held;
    struct h1_exchange *held[COLLECTOR_HELD];
    char head[4096]; // of the latest body, as lines
} collector;

static void lock(void) {
    pthread_mutex_lock(&collector.lock);
}

static void unlock(void) {
    pthread_mutex_unlock(&collector.lock);
}

// ---- Its thread ----------------------------------------------------------------------------------

static void answer(struct h1_exchange *x) {
    const char *said = collector.script && *collector.script ? *collector.script++ : "200{}";
    int status = atoi(said);
    const char *seconds = strchr(said, ':'), *body = strchr(said, '{');
    size_t n = evbuffer_get_length(x->body);
    if (status == 200) {
        json_t *all = json_loadb((const char *)evbuffer_pullup(x->body, -1), n, 0, NULL);
        json_array_append_new(collector.bodies, all ? all : json_string("no JSON"));
        if (n > collector.largest) collector.largest = n;
    }
    if (seconds && !body) h1_exchange_header(x, "Retry-After", seconds + 1);
    h1_exchange_send(x, status, "application/json", body ? body : "{}", strlen(body ? body : "{}"));
}

static void on_gone(struct h1_exchange *x) {
    size_t n = 0;
    lock();
    for (size_t i = 0; i < collector.n_held; i++)
        if (collector.held[i] != x) collector.held[n++] = collector.held[i];
    collector.n_held = n;
    unlock();
}

static void handle(struct h1_exchange *x) {
    size_t at = 0;
    lock();
    collector.requests++;
    for (size_t i = 0; i < x->head.n_headers && at < sizeof collector.head; i++)
        at += (size_t)snprintf(collector.head + at, sizeof collector.head - at, "%s: %s\n",
                               x->head.headers[i].name, x->head.headers[i].value);
    if (collector.hold && collector.n_held < COLLECTOR_HELD) {
        x->on_gone = on_gone;
        collector.held[collector.n_held++] = x;
    } else {
        answer(x);
    }
    unlock();
}

static h1_handler *route(struct h1_exchange *x) {
    if (!strcmp(x->head.path, "/v1/traces") && x->head.method == H1_POST) return handle;
    h1_exchange_refuse(x, 404, "NOTFOUND", "nothing is here");
    return NULL;
}

static void on_wake(evutil_socket_t fd, short what, void *ctx) {
    char byte;
    (void)what;
    (void)ctx;
    cr_assert_eq(read(fd, &byte, 1), 1);
    lock();
    if (!collector.hold)
        while (collector.n_held)
            answer(collector.held[--collector.n_held]);
    if (collector.closing) event_base_loopbreak(collector.base);
    unlock();
}

static void *run(void *ctx) {
    (void)ctx;
    event_base_dispatch(collector.base);
    h1_server_free(collector.server);
    event_free(collector.wake);
    event_base_free(collector.base);
    return NULL;
}

static void wake(void) {
    cr_assert_eq(write(collector.pipe[1], "", 1), 1);
}

// ---- The test's side -----------------------------------------------------------------------------

void rtest_collector_open(void) {
    rtest_collector_open_tls(NULL, NULL);
}

void rtest_collector_open_tls(const char *cert, const char *key) {
    char error[200] = "";
    struct h1_server_options o = h1_server_defaults;
    memset(&collector, 0, sizeof collector);
    pthread_mutex_init(&collector.lock, NULL);
    cr_assert_eq(pipe(collector.pipe), 0);
    collector.bodies = json_array();
    collector.base = event_base_new();
    o.base = collector.base;
    *(cert ? &o.tls_listen : &o.listen) = "127.0.0.1:0";
    o.tls_cert = cert;
    o.tls_key = key;
    o.route = route;
    o.max_body = 64 << 20;
    o.max_queued = 256 << 20;
    collector.server = h1_server_new(&o, error, sizeof error);
    cr_assert(collector.server, "%s", error);
    collector.wake =
        event_new(collector.base, collector.pipe[0], EV_READ | EV_PERSIST, on_wake, NULL);
    event_add(collector.wake, NULL);
    snprintf(collector.url, sizeof collector.url, "http%s://127.0.0.1:%d", cert ? "s" : "",
             h1_server_port(collector.server));
    cr_assert_eq(pthread_create(&collector.thread, NULL, run, NULL), 0);
    collector.open = true;
}

void rtest_collector_close(void) {
    if (!collector.open) return;
    lock();
    collector.closing = true;
    unlock();
    wake();
    pthread_join(collector.thread, NULL);
    json_decref(collector.bodies);
    close(collector.pipe[0]);
    close(collector.pipe[1]);
    pthread_mutex_destroy(&collector.lock);
    collector.open = false;
}

const char *rtest_collector_url(void) {
    return collector.url;
}

void rtest_collector_script(const char *const *answers) {
    lock();
    collector.script = answers;
    unlock();
}

void rtest_collector_hold(bool hold) {
    lock();
    collector.hold = hold;
    unlock();
    wake();
}

size_t rtest_collector_requests(void) {
    lock();
    size_t n = collector.requests;
    unlock();
    return n;
}

size_t rtest_collector_largest(void) {
    lock();
    size_t n = collector.largest;
    unlock();
    return n;
}

char *rtest_collector_header(const char *name) {
    char line[200], *value = NULL;
    snprintf(line, sizeof line, "%s: ", name);
    lock();
    const char *at = strstr(collector.head, line);
    if (at) value = strndup(at + strlen(line), strcspn(at + strlen(line), "\n"));
    unlock();
    return value;
}

static const json_t *resource_spans(const json_t *body) {
    return json_array_get(json_object_get(body, "resourceSpans"), 0);
}

static json_t *collect(void) {
    json_t *all = json_array(), *body;
    size_t i;
    lock();
    json_array_foreach(collector.bodies, i, body) {
        const json_t *scope =
            json_array_get(json_object_get(resource_spans(body), "scopeSpans"), 0);
        json_t *spans = json_deep_copy(json_object_get(scope, "spans"));
        cr_assert(json_array_size(spans) > 0, "a body without spans");
        json_array_extend(all, spans);
        json_decref(spans);
    }
    unlock();
    return all;
}

json_t *rtest_spans(size_t at_least) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;; support_sleep_ms(5)) {
        json_t *all = collect();
        if (json_array_size(all) >= at_least) return all;
        cr_assert(kvr_clock_ms() < end, "%zu spans of %zu", json_array_size(all), at_least);
        json_decref(all);
    }
}

json_t *rtest_resource(void) {
    lock();
    size_t n = json_array_size(collector.bodies);
    const json_t *body = n ? json_array_get(collector.bodies, n - 1) : NULL;
    json_t *resource = json_object_get(resource_spans(body), "resource");
    json_t *attributes = json_deep_copy(json_object_get(resource, "attributes"));
    unlock();
    return attributes;
}

// ---- Spans ---------------------------------------------------------------------------------------

const char *rtest_span_text(const json_t *span, const char *member) {
    const char *text = json_string_value(json_object_get(span, member));
    return text ? text : "";
}

const json_t *rtest_span(const json_t *spans, const char *name, size_t n) {
    const json_t *span;
    size_t i;
    json_array_foreach(spans, i, span) {
        bool is = !strncmp(rtest_span_text(span, "name"), name, strlen(name));
        if (is && !n--) return span;
    }
    return NULL;
}

const json_t *rtest_span_of_id(const json_t *spans, const char *id) {
    const json_t *span;
    size_t i;
    json_array_foreach(spans, i,
                       span) if (!strcmp(rtest_span_text(span, "spanId"), id)) return span;
    return NULL;
}

static const json_t *value_of(const json_t *attributes, const char *key) {
    const json_t *one;
    size_t i;
    json_array_foreach(attributes, i, one) if (!strcmp(rtest_span_text(one, "key"),
                                                       key)) return json_object_get(one, "value");
    return NULL;
}

const char *rtest_attribute(const json_t *attributes, const char *key) {
    static char texts[8][300];
    static unsigned turn;
    char *text = texts[turn++ % 8];
    const json_t *value = value_of(attributes, key);
    const char *string = rtest_span_text(value, "stringValue");
    const json_t *real = json_object_get(value, "doubleValue"),
                 *list = json_object_get(json_object_get(value, "arrayValue"), "values");
    if (real)
        snprintf(text, sizeof texts[0], "%g", json_number_value(real));
    else if (list)
        snprintf(text, sizeof texts[0], "[%s]",
                 rtest_span_text(json_array_get(list, 0), "stringValue"));
    else if (json_object_get(value, "boolValue"))
        snprintf(text, sizeof texts[0], "%s",
                 json_is_true(json_object_get(value, "boolValue")) ? "true" : "false");
    else
        snprintf(text, sizeof texts[0], "%s",
                 *string ? string : rtest_span_text(value, "intValue"));
    return text;
}

const char *rtest_span_attribute(const json_t *span, const char *key) {
    return rtest_attribute(json_object_get(span, "attributes"), key);
}
