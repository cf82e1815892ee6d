// SPDX-License-Identifier: Apache-2.0
// The proxy, from the choice of an engine to the end of its answer. See proxy.h.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client/common/clock.h"
#include "proxy_impl.h"
#include "router_metrics.h"

enum {
    RANK_ROOM = 40,
    FULL_MS = 1000,
    SILENT_MS = 1000, // an engine that says nothing at all for so long is looked at
};

// ---- Headers -------------------------------------------------------------------------------------

// What is between two neighbours only, or said anew. The engine is asked for plain text, because the
// lines of a stream are looked at.
static const char *const not_to_engine[] = {"connection",
                                            "keep-alive",
                                            "proxy-connection",
                                            "proxy-authenticate",
                                            "proxy-authorization",
                                            "te",
                                            "trailer",
                                            "transfer-encoding",
                                            "upgrade",
                                            "host",
                                            "content-length",
                                            "expect",
                                            "accept-encoding",
                                            "x-request-id",
                                            "x-data-parallel-rank",
                                            "x-kvroute-osl",
                                            NULL};
static const char *const not_to_client[] = {
    "connection",        "keep-alive",       "proxy-connection",  "proxy-authenticate", "trailer",
    "transfer-encoding", "upgrade",          "content-length",    "content-type",       "date",
    "x-request-id",      "x-kvroute-worker", "x-kvroute-overlap", "x-kvroute-expected", NULL};

static bool is_in(const char *const *names, const char *name) {
    for (; *names; names++)
        if (!strcasecmp(*names, name)) return true;
    return false;
}

// Whether a Connection header says that a header of this name is for the next neighbour only.
static bool names(const char *connection, const char *name) {
    size_t n = strlen(name);
    for (const char *at = connection; at && *at;) {
        at += strspn(at, " \t,");
        size_t len = strcspn(at, " \t,");
        if (len == n && !strncasecmp(at, name, n)) return true;
        at += len;
    }
    return false;
}

static bool is_hop(const struct h1_head *h, const char *name) {
    for (unsigned i = 0; i < h->n_headers; i++)
        if (!strcasecmp(h->headers[i].name, "connection") && names(h->headers[i].value, name))
            return true;
    return false;
}

bool forward_prepare(struct forwarded *f) {
    const struct h1_head *h = &f->x->h1.head;
    // A token that is for this router isn't the engines' business.
    bool ours = *f->proxy->router->config.token_file;
    struct evbuffer *lines = evbuffer_new();
    if (!lines) return false;
    for (unsigned i = 0; i < h->n_headers; i++) {
        const char *name = h->headers[i].name;
        if (is_in(not_to_engine, name) || is_hop(h, name)) continue;
        if (ours && !strcasecmp(name, "authorization")) continue;
        evbuffer_add_printf(lines, "%s: %s\r\n", name, h->headers[i].value);
    }
    evbuffer_add_printf(lines, "X-Request-Id: %s\r\n", f->x->record.id);
    size_t n = evbuffer_get_length(lines);
    f->headers = malloc(n + RANK_ROOM);
    f->headers_size = n;
    if (f->headers) evbuffer_remove(lines, f->headers, n);
    evbuffer_free(lines);
    return f->headers != NULL;
}

char *forward_key(const struct router_exchange *x) {
    const char *key = h1_find_header(&x->h1.head, "authorization");
    if (!key || *x->router->config.token_file) return NULL;
    size_t n = strlen(key) + 20;
    char *line = malloc(n);
    if (line) snprintf(line, n, "Authorization: %s\r\n", key);
    return line;
}

static void set_rank(struct forwarded *f) {
    snprintf(f->headers + f->headers_size, RANK_ROOM, "X-data-parallel-rank: %u\r\n", f->rank);
}

// ---- To the client -------------------------------------------------------------------------------

static void begin_answer(struct forwarded *f) {
    struct router_exchange *x = f->x;
    const struct h1_head *r = f->reply;
    const char *connection = h1_find_header(r, "Connection");
    char overlap[24], expected[24];
    for (size_t i = 0; i < r->n_headers; i++)
        if (!is_in(not_to_client, r->headers[i].name) && !names(connection, r->headers[i].name))
            h1_exchange_header(&x->h1, r->headers[i].name, r->headers[i].value);
    snprintf(overlap, sizeof overlap, "%lld", (long long)x->record.overlap);
    h1_exchange_header(&x->h1, "X-Kvroute-Worker", x->record.worker);
    snprintf(expected, sizeof expected, "%lld", (long long)x->record.expected);
    h1_exchange_header(&x->h1, "X-Kvroute-Overlap", overlap);
    h1_exchange_header(&x->h1, "X-Kvroute-Expected", expected);
    bool bodiless = r->status == 204 || r->status == 304;
    f->answering = true;
    f->good = r->status < 300;
    h1_exchange_start(&x->h1, r->status, h1_find_header(r, "Content-Type"),
                      bodiless ? 0 : r->length);
    // From here on it can't go elsewhere: what was kept for that isn't needed any more.
    h1_exchange_drop_body(&x->h1);
    prompt_free(&f->prompt);
    free(f->session);
    free(f->headers);
    f->session = f->headers = NULL;
}

// A stream's first event comes with the first token. What may come before it are comments, which keep a
// connection alive and teach nothing.
static void look_for_token(struct forwarded *f) {
    if (f->x->record.first_us >= 0 || !f->good || !f->stream.events || !f->stream.n_events) return;
    int64_t now = kvr_clock_us();
    f->x->record.first_us = now - f->x->h1.began_us;
    f->x->record.booked_us = now - f->booked_us;
    proxy_update(f, true);
}

static void next_piece(struct forwarded *f) {
    int64_t now = kvr_clock_us();
    if (f->piece_us && f->stream.events)
        router_metrics_gap(f->proxy->router->metrics, now - f->piece_us);
    f->piece_us = now;
}

static void on_room(struct h1_exchange *h1) {
    struct forwarded *f = h1->arg;
    if (f->call) h1_call_resume(f->call);
}

static void outcome(struct forwarded *f, enum router_engine_outcome how) {
    if (f->counted) return;
    f->counted = true;
    router_metrics_engine(f->proxy->router->metrics, f->pool, f->x->record.worker, how);
}

// The answer is over: the exchange is the last to go.
static struct router_exchange *let_go(struct forwarded *f) {
    struct router_exchange *x = f->x;
    x->record.output = stream_tokens(&f->stream);
    forwarded_free(f);
    return x;
}

// ---- From the engine -----------------------------------------------------------------------------

// Who can't be reached has failed. Who has read the request may have failed because of it: whose fault
// it was is known when another engine has had it, too.
enum fault { NOT_REACHED, NO_ANSWER, BAD_ANSWER };

static enum fault fault_of(enum h1_failure why) {
    return why == H1_CONNECT ? NOT_REACHED : NO_ANSWER;
}

static void failed(struct forwarded *f, enum fault what) {
    outcome(f, f->answering ? ROUTER_ENGINE_CUT : ROUTER_ENGINE_FAILED);
    // On a kept connection it may have been read before, by one that isn't there any more.
    f->n_sent += what != NOT_REACHED || f->fresh;
    if (what == NOT_REACHED) {
        circuit_failed(f->proxy->circuits, f->pool, forwarded_worker(f), f->address, false);
    } else if (!*f->accused) {
        memcpy(f->accused, f->address, sizeof f->accused);
        memcpy(f->accused_name, f->worker, f->worker_size);
        f->accused_size = f->worker_size;
        f->accused_reached = what == BAD_ANSWER;
    }
    if (what == NO_ANSWER)
        circuit_doubt(f->proxy->circuits, f->pool, forwarded_worker(f), f->address);
}

// This engine answers what another one failed with.
static void blame_accused(struct forwarded *f) {
    struct kvr_bytes name = {f->accused_name, f->accused_size};
    if (!*f->accused) return;
    circuit_failed(f->proxy->circuits, f->pool, name, f->accused, f->accused_reached);
    *f->accused = 0;
}

// Nothing of an answer has come, or nothing that the client has seen.
static void failed_before(struct forwarded *f, enum h1_failure why) {
    failed(f, fault_of(why));
    if (proxy_may_retry(f)) {
        proxy_retry(f);
        return;
    }
    struct router_exchange *x = let_go(f);
    if (why == H1_TIMEOUT)
        router_error(x, 504, "ENGINE", "the engine didn't answer in time");
    else
        router_error(x, 502, "ENGINE",
                     why == H1_CONNECT ? "the engine can't be reached"
                                       : "the engine broke off before its answer");
}

static void failed_within(struct forwarded *f, enum h1_failure why) {
    struct evbuffer *out = evbuffer_new();
    bool said = f->stream.events && f->reply->length < 0 && out;
    failed(f, fault_of(why));
    if (said) {
        stream_break(&f->stream, out, "ENGINE", "the engine broke off in the middle of its answer");
        h1_exchange_data(&f->x->h1, out);
    }
    if (out) evbuffer_free(out);
    struct router_exchange *x = let_go(f);
    snprintf(x->record.code, sizeof x->record.code, "ENGINE");
    if (said)
        h1_exchange_end(&x->h1);
    else
        h1_exchange_abort(&x->h1);
}

static void no_memory(struct forwarded *f) {
    bool answering = f->answering;
    struct router_exchange *x = let_go(f);
    if (answering)
        h1_exchange_abort(&x->h1);
    else
        router_error(x, 503, "NOMEM", "no memory");
}

// The head is all that is wanted of this answer.
static void elsewhere(struct forwarded *f) {
    h1_call_cancel(f->call);
    f->call = NULL;
    proxy_retry(f);
}

// An engine whose queue is full says nothing of the others'. Once: when they all are, the client is to
// hear it.
static bool turns_away(const struct forwarded *f, int status) {
    return (status == 429 || status == 408) && !f->turned;
}

static void turned_away(struct forwarded *f) {
    struct pool_worker *w = pool_worker(f->pool, forwarded_worker(f));
    if (w) w->here.full_us = kvr_clock_us() + (int64_t)FULL_MS * 1000;
    f->turned = true;
    outcome(f, ROUTER_ENGINE_REFUSED);
    elsewhere(f);
}

static void on_head(void *ctx, const struct h1_head *r) {
    struct forwarded *f = ctx;
    const char *type = h1_find_header(r, "Content-Type");
    f->reply = r;
    stream_free(&f->stream);
    stream_begin(&f->stream, type && !strncasecmp(type, "text/event-stream", 17));
    if (r->status < 500) {
        if (r->status < 300) circuit_good(f->proxy->circuits, f->pool, forwarded_worker(f));
        if (!turns_away(f, r->status) || !proxy_may_retry(f)) return;
        turned_away(f);
        return;
    }
    // What an engine doesn't know how to do, another of the pool won't either.
    if (r->status == 501 || r->status == 505) return;
    failed(f, BAD_ANSWER);
    if (proxy_may_retry(f)) elsewhere(f); // else the client gets it as it is
}

static void on_data(void *ctx, struct evbuffer *bytes) {
    struct forwarded *f = ctx;
    struct evbuffer *out = f->proxy->out;
    if (!stream_pass(&f->stream, bytes, out)) {
        evbuffer_drain(out, evbuffer_get_length(out));
        no_memory(f);
        return;
    }
    if (!evbuffer_get_length(out)) return;
    if (!f->answering) begin_answer(f);
    if (f->good) blame_accused(f);
    look_for_token(f);
    next_piece(f);
    if (!h1_exchange_data(&f->x->h1, out)) h1_call_pause(f->call);
}

static void on_end(void *ctx) {
    struct forwarded *f = ctx;
    struct evbuffer *out = f->proxy->out;
    f->call = NULL;
    outcome(f, f->reply->status < 400 ? ROUTER_ENGINE_OK : ROUTER_ENGINE_REFUSED);
    proxy_heard(f, kvr_clock_us());
    if (!f->answering) begin_answer(f);
    if (f->good) blame_accused(f);
    stream_end(&f->stream, out);
    look_for_token(f); // its line had no end
    if (evbuffer_get_length(out)) h1_exchange_data(&f->x->h1, out);
    h1_exchange_end(&let_go(f)->h1);
}

static void on_failed(void *ctx, enum h1_failure why) {
    struct forwarded *f = ctx;
    f->call = NULL;
    if (why == H1_STALE && !f->fresh) {
        f->fresh = true;
        forward(f);
    } else if (f->answering) {
        failed_within(f, why);
    } else {
        failed_before(f, why);
    }
}

// An engine that is dead isn't overloaded: this isn't the budget's business.
static void leave_dead(struct forwarded *f) {
    f->n_sent++;
    outcome(f, ROUTER_ENGINE_FAILED);
    elsewhere(f);
}

void forward_watch(struct forwarded *f, int64_t now) {
    const struct pool_worker *w = pool_worker(f->pool, forwarded_worker(f));
    int64_t since = w && w->here.heard_us > f->booked_us ? w->here.heard_us : f->booked_us;
    if (now - since > (int64_t)SILENT_MS * 1000)
        circuit_doubt(f->proxy->circuits, f->pool, forwarded_worker(f), f->address);
    if (!f->given_up && proxy_is_dead(f) && proxy_has_try(f)) leave_dead(f);
}

void forward(struct forwarded *f) {
    static const struct h1_callbacks port = {on_head, on_data, on_end, on_failed};
    const struct h1_head *h = &f->x->h1.head;
    char path[MOST_TARGET + 8];
    bool wrong = false;
    set_rank(f);
    snprintf(path, sizeof path, "%s%s%s", h->path, h->query ? "?" : "", h->query ? h->query : "");
    struct h1_request request = {.address = f->address,
                                 .method = "POST",
                                 .path = path,
                                 .headers = f->headers,
                                 .body = f->x->h1.body,
                                 .fresh = f->fresh};
    f->x->h1.on_room = on_room;
    f->call = h1_call_start(f->proxy->upstream, &request, &port, f, &wrong);
    if (f->call) return;
    if (wrong)
        failed_before(f, H1_CONNECT);
    else
        no_memory(f);
}
