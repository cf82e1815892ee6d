// SPDX-License-Identifier: Apache-2.0
#include "router_trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "client/common/alloc.h"
#include "client/common/clock.h"
#include "client/common/hex.h"
#include "client/common/random.h"
#include "client/router/pools/router_pool.h"
#include "client/router/router.h"
#include "router_trace_settings.h"

enum {
    TRACE_OWN_MAX = 8192, // bytes that are left for the request's own span, which comes last
    TRACE_USUAL = 6144,   // bytes of a usual request's spans
};

struct router_tracer {
    struct router *router;
    const struct kvr_alloc *alloc;
    struct router_trace_settings *settings; // NULL: there are no traces
    struct router_exporter *exporter;
    char instance[2 * KVR_HEX_DIGITS + 1]; // this process, among routers of one name
    uint64_t random[2];
};

// ---- The tracer ----------------------------------------------------------------------------------

static void drop_settings(struct router_trace_settings *s) {
    if (s) router_trace_settings_free(s);
    free(s);
}

bool router_tracer_reload(struct router_tracer *t, char *error, size_t error_size) {
    struct router_trace_settings *fresh = calloc(1, sizeof *fresh);
    if (!fresh) {
        snprintf(error, error_size, "no memory");
        return false;
    }
    fresh->headers.alloc = fresh->resource.alloc = t->alloc;
    fresh->instance = t->instance;
    if (!router_trace_settings_read(fresh, &t->router->config, error, error_size)) {
        free(fresh);
        return false;
    }
    if (!*fresh->address) {
        drop_settings(fresh);
        fresh = NULL;
    }
    if (!router_exporter_configure(t->exporter, fresh, error, error_size)) {
        drop_settings(fresh);
        return false;
    }
    drop_settings(t->settings);
    t->settings = fresh;
    return true;
}

struct router_tracer *router_tracer_new(struct router *r, const struct kvr_alloc *allocator,
                                        char *error, size_t error_size) {
    struct router_tracer *t = calloc(1, sizeof *t);
    snprintf(error, error_size, "no memory");
    if (!t) return NULL;
    t->router = r;
    t->alloc = allocator;
    if (getrandom(t->random, sizeof t->random, GRND_NONBLOCK) != sizeof t->random)
        t->random[0] = (uint64_t)kvr_clock_us() ^ (uint64_t)(uintptr_t)t;
    kvr_hex(t->instance, kvr_random(&t->random[0]));
    kvr_hex(t->instance + KVR_HEX_DIGITS, kvr_random(&t->random[1]));
    t->exporter = router_exporter_new(r->base, allocator);
    if (t->exporter && router_tracer_reload(t, error, error_size)) return t;
    router_tracer_free(t);
    return NULL;
}

void router_tracer_free(struct router_tracer *t) {
    if (!t) return;
    router_exporter_free(t->exporter);
    drop_settings(t->settings);
    free(t);
}

struct router_exporter *router_tracer_exporter(const struct router_tracer *t) {
    return t->exporter;
}

// ---- Ids, and who is sampled ---------------------------------------------------------------------

static uint64_t new_id(struct router_tracer *t) {
    uint64_t id;
    while (!(id = kvr_random(&t->random[0]) ^ kvr_random(&t->random[1])))
        ;
    return id;
}

static bool is_sampled(const struct router_trace_settings *s, bool parent,
                       const struct router_trace_context *c) {
    if (parent && s->by_parent) return c->flags & ROUTER_TRACE_SAMPLED;
    return (c->trace[1] & (UINT64_MAX >> 8)) >= s->threshold;
}

static struct router_trace_context new_root(struct router_tracer *t) {
    return (struct router_trace_context){.trace = {new_id(t), new_id(t)}};
}

void router_trace_begin(struct router_exchange *x) {
    struct router_tracer *t = x->router->tracer;
    struct router_trace_context c;
    if (!t || !t->settings) return;
    bool parent = router_traceparent_read(&x->h1.head, &c);
    if (!parent) c = new_root(t);
    if (!is_sampled(t->settings, parent, &c)) return;
    struct router_trace *trace = kvr_alloc_zeroed(t->alloc, sizeof *trace);
    if (!trace) {
        router_exporter_lost(t->exporter, 1);
        return;
    }
    trace->tracer = t;
    trace->spans.alloc = trace->asked.alloc = t->alloc;
    trace->context = c;
    trace->context.flags = ROUTER_TRACE_SAMPLED;
    trace->context.span = new_id(t);
    trace->parent = parent ? c.span : 0;
    trace->remote_state = parent && router_tracestate_fits(&x->h1.head);
    trace->date_us = kvr_clock_date_us() - kvr_clock_us();
    router_trace_text_reserve(&trace->spans, TRACE_USUAL);
    kvr_hex(trace->id, c.trace[0]);
    kvr_hex(trace->id + KVR_HEX_DIGITS, c.trace[1]);
    x->trace = trace;
}

const char *router_trace_id(const struct router_exchange *x) {
    return x->trace ? x->trace->id : "";
}

bool router_trace_renews(const struct router_exchange *x, char line[ROUTER_TRACEPARENT_LINE],
                         bool *state) {
    struct router_tracer *t = x->router->tracer;
    struct router_trace_context c;
    *line = 0;
    *state = x->trace && x->trace->remote_state;
    if (x->trace) return true;
    if (!t || !t->settings) return false;
    bool parent = router_traceparent_read(&x->h1.head, &c);
    if (parent && !(c.flags & ROUTER_TRACE_SAMPLED)) return false;
    // Engines are told that it isn't sampled, so that they don't decide that anew.
    if (!parent) {
        c = new_root(t);
        c.span = new_id(t);
    }
    c.flags = 0;
    router_traceparent_write(line, &c);
    *state = parent && router_tracestate_fits(&x->h1.head);
    return true;
}

// ---- Spans ---------------------------------------------------------------------------------------

struct router_span router_span_begin(struct router_trace *t) {
    return (struct router_span){.id = new_id(t->tracer), .began_us = kvr_clock_us()};
}

void router_span_line(const struct router_trace *t, const struct router_span *s,
                      char out[ROUTER_TRACEPARENT_LINE]) {
    struct router_trace_context c = t->context;
    c.span = s->id;
    router_traceparent_write(out, &c);
}

static void add(struct router_trace_text *t, const char *text) {
    router_trace_text_add(t, text, strlen(text));
}

static void add_span_id(struct router_trace_text *t, const char *name, uint64_t id) {
    char hex[KVR_HEX_DIGITS];
    kvr_hex(hex, id);
    add(t, name);
    router_trace_text_add(t, hex, sizeof hex);
}

static void add_time(struct router_trace_text *t, const char *name, int64_t us) {
    add(t, name);
    router_trace_text_number(t, us);
    add(t, "000\"");
}

static void add_name(struct router_trace_text *t, const struct router_span_form *form) {
    char text[300];
    snprintf(text, sizeof text, "%s%s%s", form->name, form->detail ? " " : "",
             form->detail ? form->detail : "");
    add(t, ",\"name\":");
    router_trace_text_quote(t, text, strlen(text));
}

static void add_span(struct router_trace *t, const struct router_span *s, uint64_t parent,
                     const struct router_span_form *form) {
    struct router_trace_text *out = &t->spans;
    int64_t end = form->end_us ? form->end_us : kvr_clock_us();
    t->before = out->n;
    add(out, out->n ? ",{\"traceId\":\"" : "{\"traceId\":\"");
    add(out, t->id);
    add_span_id(out, "\",\"spanId\":\"", s->id);
    if (parent) add_span_id(out, "\",\"parentSpanId\":\"", parent);
    add(out, "\"");
    add_name(out, form);
    add(out, ",\"kind\":");
    router_trace_text_number(out, form->kind);
    add_time(out, ",\"startTimeUnixNano\":\"", t->date_us + s->began_us);
    add_time(out, ",\"endTimeUnixNano\":\"", t->date_us + (end > s->began_us ? end : s->began_us));
    if (form->link) {
        add(out, ",\"links\":[{\"traceId\":\"");
        add(out, t->id);
        add_span_id(out, "\",\"spanId\":\"", form->link);
        add(out, "\"}]");
    }
    add(out, ",\"attributes\":[");
}

struct router_trace_text *router_span_end(struct router_trace *t, struct router_span *s,
                                          const struct router_span_form *form) {
    add_span(t, s, form->parent ? form->parent : t->context.span, form);
    s->id = 0;
    return &t->spans;
}

static void close_span(struct router_trace *t, const char *error, size_t max) {
    struct router_trace_text *out = &t->spans;
    bool bad = error && *error;
    if (bad) router_attribute_text(out, "error.type", error);
    add(out, bad ? "],\"status\":{\"code\":2}}" : "]}");
    if (out->failed || out->n > max) { // the others are whole
        out->n = t->before;
        out->failed = false;
        router_exporter_lost(t->tracer->exporter, 1);
    } else {
        t->n_spans++;
    }
}

void router_span_close(struct router_trace *t, const char *error) {
    close_span(t, error, ROUTER_TRACE_TEXT_MAX - TRACE_OWN_MAX);
}

// ---- The request's own ---------------------------------------------------------------------------

static void add_host(struct router_trace_text *t, const char *host) {
    if (!host) return;
    const char *colon = strrchr(host, ':'), *bracket = strrchr(host, ']');
    if (colon && bracket && colon < bracket) colon = NULL;
    router_attribute_bytes(t, "server.address", host,
                           colon ? (size_t)(colon - host) : strlen(host));
    long port = colon ? strtol(colon + 1, NULL, 10) : 0;
    if (port > 0 && port < 65536) router_attribute_number(t, "server.port", port);
}

static void add_http(struct router_trace_text *t, const struct router_exchange *x) {
    const struct h1_head *h = &x->h1.head;
    router_attribute_text(t, "http.request.method", h->verb);
    // Of what is only passed on, the path may have anything in it.
    if (*x->route->path == '/') router_attribute_text(t, "url.path", h->path);
    router_attribute_text(t, "http.route", x->route->path);
    if (x->h1.status) router_attribute_number(t, "http.response.status_code", x->h1.status);
    router_attribute_text(t, "network.protocol.version", h->old ? "1.0" : "1.1");
    add_host(t, h1_find_header(h, "host"));
}

static void add_record(struct router_trace_text *t, const struct router_exchange *x) {
    const struct router_record *c = &x->record;
    router_attribute_text(t, "kvroute.request", c->id);
    if (x->pool) router_attribute_text(t, "kvroute.pool", x->pool->options.name);
    router_attribute_text(t, "kvroute.code", c->code);
    router_attribute_text(t, "kvroute.worker", c->worker);
    if (c->tries) router_attribute_number(t, "kvroute.tries", c->tries);
    if (c->continued) router_attribute_number(t, "kvroute.continued", c->continued);
    if (c->first_us >= 0)
        router_attribute_real(t, "kvroute.first_token", (double)c->first_us / 1e6);
}

// As the conventions have it, an answer of 4xx is no error of who gives it.
static const char *error_of(const struct router_exchange *x, char text[12]) {
    if (x->h1.gone) return "client_gone";
    if (x->h1.cut) return *x->record.code ? x->record.code : "cut";
    if (x->h1.status < 500) return NULL;
    snprintf(text, 12, "%d", x->h1.status);
    return text;
}

static void add_server_span(struct router_exchange *x) {
    struct router_trace *t = x->trace;
    char status[12];
    struct router_span own = {.id = t->context.span, .began_us = x->h1.began_us};
    struct router_span_form form = {
        .kind = ROUTER_SPAN_SERVER, .name = x->h1.head.verb, .detail = x->route->path};
    add_span(t, &own, t->parent, &form);
    add_http(&t->spans, x);
    add_record(&t->spans, x);
    close_span(t, error_of(x, status), ROUTER_TRACE_TEXT_MAX);
}

void router_trace_end(struct router_exchange *x) {
    struct router_trace *t = x->trace;
    if (!t) return;
    add_server_span(x);
    if (t->n_spans) router_exporter_add(t->tracer->exporter, t->spans.p, t->spans.n, t->n_spans);
    router_trace_text_free(&t->spans);
    router_trace_text_free(&t->asked);
    kvr_alloc_free(t->tracer->alloc, t);
    x->trace = NULL;
}
