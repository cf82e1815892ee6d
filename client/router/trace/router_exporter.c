// SPDX-License-Identifier: Apache-2.0
#include "router_exporter.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client/common/alloc.h"
#include "client/common/clock.h"
#include "client/common/list.h"
#include "client/common/log.h"
#include "client/common/random.h"
#include "client/http1/h1_client.h"
#include "client/http1/h1_tls.h"
#include "router_trace_settings.h"

enum {
    EXPORT_EVERY_MS = 1000,
    EXPORT_SPANS = 512, // a body, about
    EXPORT_BYTES = 1 << 20,
    EXPORT_ALL_MS = 10000, // until it is answered
    EXPORT_CONNECT_MS = 2000,
    EXPORT_KEEP_MS = 30000,
    EXPORT_TRIES = 8, // of one body
    EXPORT_PAUSE_MS = 1000,
    EXPORT_MAX_PAUSE_MS = 30000,
    EXPORT_MAX_AFTER_S = 300, // that Retry-After may ask for
    EXPORT_MAX_ANSWER = 65536,
    EXPORT_SAY_MS = 60000, // between two lines of the log about what is refused
};

struct export_item {
    struct kvr_list_item link;
    unsigned spans;
    size_t n;
    char text[];
};

// Between two callbacks: waiting_spans and waiting_bytes are those of `waiting`, stats.spans and stats.bytes those of
// `waiting` and `flying`. There is a call only with something in `flying`. While something waits and there is no call,
// `due` is pending, unless there is nowhere to send it, or it was given up at the end.
struct router_exporter {
    struct event_base *base;
    const struct kvr_alloc *alloc;
    const struct router_trace_settings *settings; // NULL: nowhere
    struct h1_client *client;                     // NULL: none was needed yet
    struct event *due;
    struct kvr_list_item waiting,
        flying; // flying: of the body that is sent, or is to be sent again
    size_t waiting_spans, waiting_bytes;
    size_t body_bytes; // at most so much a body, but one item; less after 413
    struct h1_call *call;
    const struct h1_head *reply;
    struct evbuffer *answer;
    unsigned tries;    // of this body
    unsigned failures; // in a row
    bool fresh;        // on a new connection
    bool flushing, gave_up;
    int64_t said_ms; // when a refusal was logged
    uint64_t random;
    struct router_exporter_stats stats;
};

static void arm(struct router_exporter *e, int64_t ms) {
    struct timeval when = kvr_timeval(ms);
    event_add(e->due, &when);
}

// ---- What waits ----------------------------------------------------------------------------------

static unsigned drop_all(struct router_exporter *e, struct kvr_list_item *list) {
    unsigned spans = 0;
    struct export_item *i;
    while ((i = (struct export_item *)kvr_list_pop(list))) {
        spans += i->spans;
        e->stats.spans -= i->spans;
        e->stats.bytes -= i->n;
        kvr_alloc_free(e->alloc, i);
    }
    return spans;
}

static unsigned drop_waiting(struct router_exporter *e) {
    e->waiting_spans = e->waiting_bytes = 0;
    return drop_all(e, &e->waiting);
}

static void take_body(struct router_exporter *e) {
    struct export_item *i;
    size_t spans = 0, bytes = 0;
    while ((i = (struct export_item *)kvr_list_first(&e->waiting))) {
        if (spans && (spans + i->spans > EXPORT_SPANS || bytes + i->n > e->body_bytes)) break;
        spans += i->spans;
        bytes += i->n;
        kvr_list_remove(&i->link);
        kvr_list_push(&e->flying, &i->link);
    }
    e->waiting_spans -= spans;
    e->waiting_bytes -= bytes;
    e->tries = 0;
}

// ---- A body --------------------------------------------------------------------------------------

static struct evbuffer *make_body(const struct router_exporter *e) {
    static const char head[] = "{\"resourceSpans\":[{\"resource\":{\"attributes\":[",
                      middle[] = "]},\"scopeSpans\":[{\"scope\":{\"name\":\"kvroute\","
                                 "\"version\":\"" KVROUTE_VERSION "\"},\"spans\":[",
                      tail[] = "]}]}]}";
    struct evbuffer *b = evbuffer_new();
    const struct router_trace_text *resource = &e->settings->resource;
    bool good = b && !evbuffer_add(b, head, sizeof head - 1) &&
                !evbuffer_add(b, resource->p, resource->n) &&
                !evbuffer_add(b, middle, sizeof middle - 1);
    for (const struct kvr_list_item *l = e->flying.next; good && l != &e->flying; l = l->next) {
        const struct export_item *i = (const struct export_item *)l;
        good = (l == e->flying.next || !evbuffer_add(b, ",", 1)) && !evbuffer_add(b, i->text, i->n);
    }
    if (good && !evbuffer_add(b, tail, sizeof tail - 1)) return b;
    if (b) evbuffer_free(b);
    return NULL;
}

static void send_next(struct router_exporter *e);

static bool is_full(const struct router_exporter *e) {
    return e->waiting_spans >= EXPORT_SPANS || e->waiting_bytes >= e->body_bytes;
}

// What there is too little of for a body waits for more.
static void see_to_next(struct router_exporter *e) {
    if (is_full(e) || e->flushing)
        send_next(e);
    else if (!kvr_list_empty(&e->waiting) && !event_pending(e->due, EV_TIMEOUT, NULL))
        arm(e, EXPORT_EVERY_MS);
}

// It waits for its turn again, in front.
static void take_back(struct router_exporter *e) {
    for (const struct kvr_list_item *l = e->flying.next; l != &e->flying; l = l->next) {
        e->waiting_spans += ((const struct export_item *)l)->spans;
        e->waiting_bytes += ((const struct export_item *)l)->n;
    }
    kvr_list_splice(&e->waiting, &e->flying);
}

static void failed(struct router_exporter *e, const char *why, int64_t after_ms) {
    if (e->flushing) {
        e->gave_up = true;
        e->stats.given_up += drop_all(e, &e->flying) + drop_waiting(e);
        return;
    }
    if (!e->failures)
        kvr_log_line(KVR_LOG_WARNING, "spans can't be sent to %s: %s; they wait",
                     e->settings->address, why);
    int64_t pause = (int64_t)EXPORT_PAUSE_MS << (e->failures < 5 ? e->failures : 5);
    e->failures++;
    if (pause > EXPORT_MAX_PAUSE_MS) pause = EXPORT_MAX_PAUSE_MS;
    pause -= (int64_t)(kvr_random_unit(&e->random) * (double)pause / 4);
    if (++e->tries >= EXPORT_TRIES) e->stats.given_up += drop_all(e, &e->flying);
    arm(e, after_ms > 0 ? after_ms : pause);
}

static void refused(struct router_exporter *e, unsigned spans, const char *why) {
    int64_t now = kvr_clock_ms();
    e->stats.refused += spans;
    if (e->said_ms && now - e->said_ms < EXPORT_SAY_MS) return;
    e->said_ms = now;
    kvr_log_line(KVR_LOG_WARNING, "%s refuses %u spans: %s", e->settings->address, spans, why);
}

// ---- The call ------------------------------------------------------------------------------------

static void on_head(void *ctx, const struct h1_head *reply) {
    struct router_exporter *e = ctx;
    e->reply = reply;
}

static void answered(struct router_exporter *e);

// So much is no report on spans, but an answer all the same: its end isn't waited for.
static void on_data(void *ctx, struct evbuffer *bytes) {
    struct router_exporter *e = ctx;
    evbuffer_add_buffer(e->answer, bytes);
    if (evbuffer_get_length(e->answer) <= EXPORT_MAX_ANSWER) return;
    h1_call_cancel(e->call); // the head lasts until this returns
    answered(e);
}

// {"partialSuccess": {"rejectedSpans": "3", …}}; what isn't such an answer rejects nothing.
static unsigned rejected_of(const struct router_exporter *e) {
    size_t n = evbuffer_get_length(e->answer);
    const char *text = n && n <= EXPORT_MAX_ANSWER ? (char *)evbuffer_pullup(e->answer, -1) : NULL;
    json_t *all = text ? json_loadb(text, n, 0, NULL) : NULL;
    json_t *count = json_object_get(json_object_get(all, "partialSuccess"), "rejectedSpans");
    json_int_t rejected = json_integer_value(count);
    if (json_is_string(count)) rejected = strtoll(json_string_value(count), NULL, 10);
    json_decref(all);
    return rejected < 0 ? 0 : rejected > INT_MAX ? INT_MAX : (unsigned)rejected;
}

static void accepted(struct router_exporter *e) {
    if (e->failures) kvr_log_line(KVR_LOG_INFO, "spans go to %s again", e->settings->address);
    e->failures = 0;
    unsigned rejected = rejected_of(e), spans = drop_all(e, &e->flying);
    if (rejected > spans) rejected = spans;
    e->stats.sent += spans - rejected;
    e->body_bytes += e->body_bytes / 16; // after 413; what was too large may have been an exception
    if (e->body_bytes > EXPORT_BYTES) e->body_bytes = EXPORT_BYTES;
    if (rejected) refused(e, rejected, "it says so");
    see_to_next(e);
}

// A smaller one may do, if there is one.
static void too_large(struct router_exporter *e) {
    size_t bytes = 0;
    for (const struct kvr_list_item *l = e->flying.next; l != &e->flying; l = l->next)
        bytes += ((const struct export_item *)l)->n;
    if (e->flying.next->next == &e->flying) {
        refused(e, drop_all(e, &e->flying), "413, they are too large");
    } else {
        e->body_bytes = bytes / 2;
        take_back(e);
    }
    see_to_next(e);
}

// A date isn't read. −1: nothing is said.
static int64_t retry_after_ms(const struct h1_head *reply) {
    const char *text = h1_find_header(reply, "Retry-After");
    char *end;
    if (!text || *text < '0' || *text > '9') return -1;
    long long seconds = strtoll(text, &end, 10);
    if (*end) return -1;
    return 1000 * (int64_t)(seconds < EXPORT_MAX_AFTER_S ? seconds : EXPORT_MAX_AFTER_S);
}

static void answered(struct router_exporter *e) {
    int status = e->reply->status;
    int64_t after = retry_after_ms(e->reply);
    char why[24];
    e->call = NULL;
    e->fresh = false;
    snprintf(why, sizeof why, "status %d", status);
    if (status >= 200 && status < 300) {
        accepted(e);
    } else if (status == 429 || (status >= 502 && status <= 504)) {
        failed(e, why, after);
    } else if (status == 413) {
        too_large(e);
    } else {
        refused(e, drop_all(e, &e->flying), why);
        see_to_next(e);
    }
}

static void on_end(void *ctx) {
    answered(ctx);
}

static void on_failed(void *ctx, enum h1_failure why) {
    struct router_exporter *e = ctx;
    bool stale = why == H1_STALE && !e->fresh;
    e->call = NULL;
    e->fresh = stale;
    if (stale)
        send_next(e);
    else
        failed(e, h1_failure_name(why), -1);
}

static void send_body(struct router_exporter *e) {
    static const struct h1_callbacks port = {on_head, on_data, on_end, on_failed};
    bool wrong = false;
    struct evbuffer *body = make_body(e);
    struct h1_request request = {.address = e->settings->address,
                                 .method = "POST",
                                 .path = e->settings->path,
                                 .headers = e->settings->headers.p,
                                 .body = body,
                                 .fresh = e->fresh,
                                 .all_ms = EXPORT_ALL_MS};
    evbuffer_drain(e->answer, evbuffer_get_length(e->answer));
    e->call = body ? h1_call_start(e->client, &request, &port, e, &wrong) : NULL;
    if (body) evbuffer_free(body);
    if (e->call)
        e->stats.requests++;
    else
        failed(e, wrong ? "no such address" : "no memory", -1);
}

// What is to be sent again, else what waits.
static void send_next(struct router_exporter *e) {
    if (e->call || !e->settings) return;
    if (kvr_list_empty(&e->flying)) take_body(e);
    if (kvr_list_empty(&e->flying)) return;
    event_del(e->due);
    send_body(e);
}

static void on_due(evutil_socket_t fd, short what, void *ctx) {
    (void)fd;
    (void)what;
    send_next(ctx);
}

// ---- All of it -----------------------------------------------------------------------------------

struct router_exporter *router_exporter_new(struct event_base *base,
                                            const struct kvr_alloc *allocator) {
    struct router_exporter *e = calloc(1, sizeof *e);
    if (!e) return NULL;
    kvr_list_init(&e->waiting);
    kvr_list_init(&e->flying);
    e->base = base;
    e->alloc = allocator;
    e->body_bytes = EXPORT_BYTES;
    e->random = (uint64_t)kvr_clock_us();
    e->due = event_new(base, -1, 0, on_due, e);
    e->answer = evbuffer_new();
    if (e->due && e->answer) return e;
    router_exporter_free(e);
    return NULL;
}

void router_exporter_free(struct router_exporter *e) {
    if (!e) return;
    h1_call_cancel(e->call);
    h1_client_free(e->client);
    if (e->due) event_free(e->due);
    if (e->answer) evbuffer_free(e->answer);
    drop_all(e, &e->flying);
    drop_all(e, &e->waiting);
    free(e);
}

// Routers without traces have neither a resolver nor descriptors for it.
static bool has_client(struct router_exporter *e) {
    static const struct h1_client_options options = {.connect_ms = EXPORT_CONNECT_MS,
                                                     .head_ms = EXPORT_ALL_MS,
                                                     .idle_ms = EXPORT_ALL_MS,
                                                     .keep_ms = EXPORT_KEEP_MS,
                                                     .keep_most = 1,
                                                     .max_connections = 1};
    if (!e->client) e->client = h1_client_new(e->base, &options);
    return e->client != NULL;
}

static bool trust_collector(struct router_exporter *e, const struct router_trace_settings *s,
                            char *error, size_t error_size) {
    struct h1_tls_options options = {.ca = s->ca, .settings = "otlp"};
    if (strncasecmp(s->address, "https:", 6) != 0) return true;
    struct h1_tls *tls = h1_tls_new(&options, error, error_size);
    if (tls) h1_client_trust(e->client, tls);
    return tls != NULL;
}

bool router_exporter_configure(struct router_exporter *e, const struct router_trace_settings *s,
                               char *error, size_t error_size) {
    snprintf(error, error_size, "no memory");
    if (s && (!has_client(e) || !trust_collector(e, s, error, error_size))) return false;
    h1_call_cancel(e->call);
    e->call = NULL;
    take_back(e);
    e->settings = s;
    e->failures = 0;
    e->fresh = false;
    e->body_bytes = EXPORT_BYTES;
    event_del(e->due);
    if (!s)
        e->stats.dropped += drop_waiting(e);
    else if (!kvr_list_empty(&e->waiting))
        arm(e, EXPORT_EVERY_MS);
    return true;
}

void router_exporter_lost(struct router_exporter *e, unsigned spans) {
    e->stats.dropped += spans;
}

bool router_exporter_add(struct router_exporter *e, const char *text, size_t n, unsigned spans) {
    bool room = e->settings && !e->gave_up && e->stats.spans + spans <= ROUTER_EXPORTER_SPANS &&
                e->stats.bytes + n <= ROUTER_EXPORTER_BYTES;
    struct export_item *i = room ? e->alloc->resize(e->alloc->ctx, NULL, sizeof *i + n) : NULL;
    if (!i) {
        router_exporter_lost(e, spans);
        return false;
    }
    i->spans = spans;
    i->n = n;
    memcpy(i->text, text, n);
    kvr_list_push(&e->waiting, &i->link);
    e->waiting_spans += spans;
    e->waiting_bytes += n;
    e->stats.spans += spans;
    e->stats.bytes += n;
    if (!e->call && !e->failures) see_to_next(e);
    return true;
}

void router_exporter_flush(struct router_exporter *e) {
    if (e->flushing) return;
    e->flushing = true;
    if (e->failures < 2) {
        send_next(e);
        return;
    }
    h1_call_cancel(e->call); // it is dead: leaving doesn't wait for it
    e->call = NULL;
    failed(e, "", -1);
}

bool router_exporter_is_done(const struct router_exporter *e) {
    return !e->settings || e->gave_up || !e->stats.spans;
}

void router_exporter_stats(const struct router_exporter *e, struct router_exporter_stats *out) {
    *out = e->stats;
}
