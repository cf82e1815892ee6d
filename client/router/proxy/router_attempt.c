// SPDX-License-Identifier: Apache-2.0
// See router_attempt.h.
#include "router_attempt.h"

#include <stdio.h>
#include <strings.h>

#include "client/common/clock.h"
#include "router_blame.h"
#include "router_booking.h"
#include "router_choice.h"
#include "router_headers.h"
#include "router_relay.h"
#include "router_request.h"

void router_attempt_count(struct router_request *r, enum router_engine_outcome how) {
    if (r->counted) return;
    r->counted = true;
    router_metrics_engine(r->proxy->router->metrics, r->pool->options.name, r->x->record.worker,
                          how);
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
    if (d.charged || d.refused) router_metrics_retry(p->router->metrics, d.charged);
    return d;
}

static void note_failure(struct router_request *r, enum router_failure what,
                         enum router_retry_verdict verdict) {
    bool elsewhere = verdict == ROUTER_RETRY_ELSEWHERE;
    if (verdict == ROUTER_RETRY_HERE) return;
    if (what == ROUTER_FAILURE_FULL) {
        if (!elsewhere) return; // it has answered
        router_blame_full(r);
        r->turned_away = true;
        router_attempt_count(r, ROUTER_ENGINE_REFUSED);
    } else if (what == ROUTER_FAILURE_DEAD) {
        if (elsewhere) router_attempt_count(r, ROUTER_ENGINE_FAILED); // others have said so
    } else {
        router_attempt_count(r,
                             r->state == ROUTER_RELAY ? ROUTER_ENGINE_CUT : ROUTER_ENGINE_FAILED);
        router_blame_failure(r, what);
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
        router_relay_break(r);
        break;
    case ROUTER_RETRY_PASS:
    case ROUTER_RETRY_WAIT:
        break;
    }
}

void router_attempt_watch(struct router_request *r, int64_t now) {
    router_blame_silence(r, now);
    if (!r->given_up && router_blame_is_dead(r)) failed(r, ROUTER_FAILURE_DEAD);
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
    if (!router_relay_data(ctx, bytes)) no_memory(ctx);
}

static void on_end(void *ctx) {
    struct router_request *r = ctx;
    r->call = NULL;
    router_attempt_count(r, r->reply->status < 400 ? ROUTER_ENGINE_OK : ROUTER_ENGINE_REFUSED);
    router_blame_heard(r, kvr_clock_us());
    router_relay_end(r);
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
    r->x->h1.on_room = router_relay_room;
    r->call = h1_call_start(r->proxy->upstream, &request, &port, r, &wrong);
    if (r->call) return;
    if (wrong)
        failed(r, ROUTER_FAILURE_CONNECT);
    else
        no_memory(r);
}
