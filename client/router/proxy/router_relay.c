// SPDX-License-Identifier: Apache-2.0
// See router_relay.h.
#include "router_relay.h"

#include <stdio.h>
#include <stdlib.h>

#include "client/common/clock.h"
#include "client/router/router_metrics.h"
#include "router_blame.h"
#include "router_booking.h"
#include "router_headers.h"
#include "router_request.h"

void router_relay_enter(struct router_request *r) {
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
    if (r->status < 300) router_blame_accused(r);
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
        router_metrics_gap(r->proxy->router->metrics, now - r->piece_us);
    r->piece_us = now;
}

bool router_relay_data(struct router_request *r, struct evbuffer *bytes) {
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

void router_relay_room(struct h1_exchange *x) {
    struct router_request *r = x->arg;
    if (r->call) h1_call_resume(r->call);
}

void router_relay_end(struct router_request *r) {
    struct evbuffer *out = r->proxy->out;
    if (r->state == ROUTER_HEAD) router_request_move(r, ROUTER_RELAY);
    router_stream_end(&r->stream, out);
    look_for_token(r); // its line had no end
    if (evbuffer_get_length(out)) h1_exchange_data(&r->x->h1, out);
    h1_exchange_end(&router_request_end(r)->h1);
}

void router_relay_break(struct router_request *r) {
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
