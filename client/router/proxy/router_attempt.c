// SPDX-License-Identifier: Apache-2.0
#include "router_attempt.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "client/common/clock.h"
#include "router_booking.h"
#include "router_choice.h"
#include "router_engine_failure.h"
#include "router_headers.h"
#include "router_request.h"

void router_attempt_count(struct router_request *r, enum router_engine_outcome how) {
    if (r->counted) return;
    r->counted = true;
    router_metrics_engine(r->proxy->router->metrics, r->pool->options.name, r->x->record.worker,
                          how);
}

// ---- RELAY ---------------------------------------------------------------------------------------

void router_attempt_relay(struct router_request *r) {
    struct router_exchange *x = r->x;
    const struct h1_head *reply = r->reply;
    router_headers_to_client(x, reply);
    r->status = reply->status;
    bool bodiless = r->status == 204 || r->status == 304;
    h1_exchange_start(&x->h1, r->status, h1_find_header(reply, "Content-Type"),
                      bodiless ? 0 : reply->length);
    // From here on it can't go elsewhere: what was kept for that isn't needed any more.
    h1_exchange_drop_body(&x->h1);
    router_prompt_free(&r->prompt);
    free(r->session);
    free(r->headers);
    r->session = r->headers = NULL;
    if (r->status < 300) router_failure_accused(r);
}

// A stream's first event comes with the first token. What may come before it are comments, which keep a
// connection alive and teach nothing.
static void look_for_token(struct router_request *r) {
    struct router_record *record = &r->x->record;
    if (record->first_us >= 0 || r->status >= 300 || !r->stream.events || !r->stream.n_events)
        return;
    int64_t now = kvr_clock_us();
    record->first_us = now - r->x->h1.began_us;
    record->booked_us = now - r->booked_us;
    router_booking_update(r, true);
}

static void note_piece(struct router_request *r) {
    int64_t now = kvr_clock_us();
    if (r->piece_us && r->stream.events)
        kvr_prom_observe(&r->proxy->router->metrics->gap, now - r->piece_us);
    r->piece_us = now;
}

// A piece of the body, also the first one. False: no memory.
static bool relay_data(struct router_request *r, struct evbuffer *bytes) {
    struct evbuffer *out = r->proxy->out;
    if (!router_stream_pass(&r->stream, bytes, out)) {
        evbuffer_drain(out, evbuffer_get_length(out));
        return false;
    }
    if (!evbuffer_get_length(out)) return true;
    if (r->state == ROUTER_HEAD) router_request_move(r, ROUTER_RELAY);
    look_for_token(r);
    note_piece(r);
    if (!h1_exchange_data(&r->x->h1, out)) h1_call_pause(r->call);
    return true;
}

static void on_room(struct h1_exchange *x) {
    struct router_request *r = x->arg;
    if (r->call) h1_call_resume(r->call);
}

// The engine has said all; *r is over.
static void end_relay(struct router_request *r) {
    struct evbuffer *out = r->proxy->out;
    if (r->state == ROUTER_HEAD) router_request_move(r, ROUTER_RELAY);
    router_stream_end(&r->stream, out);
    look_for_token(r); // its line had no end
    if (evbuffer_get_length(out)) h1_exchange_data(&r->x->h1, out);
    h1_exchange_end(&router_request_end(r)->h1);
}

// What breaks off from here on is made visible; *r is over.
static void break_relay(struct router_request *r) {
    struct evbuffer *out = evbuffer_new();
    bool said = r->stream.events && r->reply->length < 0 && out;
    if (said) {
        router_stream_break(&r->stream, out, "ENGINE",
                            "the engine broke off in the middle of its answer");
        h1_exchange_data(&r->x->h1, out);
    }
    if (out) evbuffer_free(out);
    struct router_exchange *x = router_request_end(r);
    snprintf(x->record.code, sizeof x->record.code, "ENGINE");
    if (said)
        h1_exchange_end(&x->h1);
    else
        h1_exchange_abort(&x->h1);
}

// ---- When it fails -------------------------------------------------------------------------------

// Leaves the engine out, and chooses again.
static void go_elsewhere(struct router_request *r) {
    h1_call_cancel(r->call);
    r->call = NULL;
    r->reply = NULL;
    r->tried[r->n_tried++] = r->worker;
    r->any = false;
    router_booking_release(r);
    router_request_move(r, ROUTER_CHOOSE);
}

static struct router_retry decide(struct router_request *r, enum router_failure what) {
    struct router_proxy *p = r->proxy;
    struct router_retry_facts facts = {.relaying = r->state == ROUTER_RELAY,
                                       .fresh = r->fresh,
                                       .turned_away = r->turned_away,
                                       .another = router_choice_has_another(r),
                                       .sent = r->n_sent,
                                       .tries = r->x->record.tries,
                                       .max_tries = p->router->config.tries,
                                       .budget = p->budget};
    struct router_retry d = router_retry_decide(what, &facts);
    r->n_sent = d.sent;
    p->budget -= d.charged;
    p->router->metrics->retries += d.charged;
    p->router->metrics->retries_refused += d.refused;
    return d;
}

static void note_failure(struct router_request *r, enum router_failure what,
                         enum router_retry_verdict verdict) {
    bool elsewhere = verdict == ROUTER_RETRY_ELSEWHERE;
    if (verdict == ROUTER_RETRY_HERE) return;
    if (what == ROUTER_FAILURE_FULL) {
        if (!elsewhere) return; // it has answered
        router_failure_overloaded(r);
        r->turned_away = true;
        router_attempt_count(r, ROUTER_ENGINE_REFUSED);
    } else if (what == ROUTER_FAILURE_DEAD) {
        if (elsewhere) router_attempt_count(r, ROUTER_ENGINE_FAILED); // others have said so
    } else {
        router_attempt_count(r,
                             r->state == ROUTER_RELAY ? ROUTER_ENGINE_CUT : ROUTER_ENGINE_FAILED);
        router_failure_seen(r, what);
    }
}

static void failed(struct router_request *r, enum router_failure what) {
    struct router_retry d = decide(r, what);
    note_failure(r, what, d.verdict);
    switch (d.verdict) {
    case ROUTER_RETRY_HERE:
        r->fresh = true;
        router_request_move(r, ROUTER_SEND);
        break;
    case ROUTER_RETRY_ELSEWHERE:
        go_elsewhere(r);
        break;
    case ROUTER_RETRY_ERROR:
        router_request_refuse(r, d.error.status, d.error.code, d.error.message);
        break;
    case ROUTER_RETRY_BREAK:
        break_relay(r);
        break;
    case ROUTER_RETRY_PASS:
    case ROUTER_RETRY_WAIT:
        break;
    }
}

void router_attempt_watch(struct router_request *r, int64_t now) {
    router_failure_silence(r, now);
    if (!r->given_up && router_failure_is_dead(r)) failed(r, ROUTER_FAILURE_DEAD);
}

static void no_memory(struct router_request *r) {
    if (r->state == ROUTER_RELAY)
        h1_exchange_abort(&router_request_end(r)->h1);
    else
        router_request_refuse(r, 503, "NOMEM", "no memory");
}

// ---- The call ------------------------------------------------------------------------------------

static void on_head(void *ctx, const struct h1_head *reply) {
    struct router_request *r = ctx;
    const char *type = h1_find_header(reply, "Content-Type");
    r->reply = reply;
    router_stream_free(&r->stream);
    router_stream_begin(&r->stream, type && !strncasecmp(type, "text/event-stream", 17));
    if (reply->status < 300)
        router_circuit_succeeded(r->proxy->circuits, r->pool, router_request_worker(r));
    router_request_move(r, ROUTER_HEAD);
    enum router_failure what = router_retry_failure_of(reply->status);
    if (what != ROUTER_FAILURE_NONE) failed(r, what);
}

static void on_data(void *ctx, struct evbuffer *bytes) {
    if (!relay_data(ctx, bytes)) no_memory(ctx);
}

static void on_end(void *ctx) {
    struct router_request *r = ctx;
    r->call = NULL;
    router_attempt_count(r, r->reply->status < 400 ? ROUTER_ENGINE_OK : ROUTER_ENGINE_REFUSED);
    router_failure_heard(r, kvr_clock_us());
    end_relay(r);
}

static void on_failed(void *ctx, enum h1_failure why) {
    static const enum router_failure failure_of[] = {
        [H1_STALE] = ROUTER_FAILURE_STALE,      [H1_CONNECT] = ROUTER_FAILURE_CONNECT,
        [H1_RESET] = ROUTER_FAILURE_BROKEN,     [H1_TIMEOUT] = ROUTER_FAILURE_TIMEOUT,
        [H1_MALFORMED] = ROUTER_FAILURE_BROKEN,
    };
    struct router_request *r = ctx;
    r->call = NULL;
    failed(r, failure_of[why]);
}

void router_attempt_enter(struct router_request *r) {
    static const struct h1_callbacks port = {on_head, on_data, on_end, on_failed};
    const struct h1_head *h = &r->x->h1.head;
    char path[ROUTER_MAX_TARGET + 8];
    bool wrong = false;
    router_headers_set_rank(r->headers, r->headers_size, r->rank);
    snprintf(path, sizeof path, "%s%s%s", h->path, h->query ? "?" : "", h->query ? h->query : "");
    struct h1_request request = {.address = r->address,
                                 .method = "POST",
                                 .path = path,
                                 .headers = r->headers,
                                 .body = r->x->h1.body,
                                 .fresh = r->fresh};
    r->x->h1.on_room = on_room;
    r->call = h1_call_start(r->proxy->upstream, &request, &port, r, &wrong);
    if (r->call) return;
    if (wrong)
        failed(r, ROUTER_FAILURE_CONNECT);
    else
        no_memory(r);
}
