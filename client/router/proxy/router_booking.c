// SPDX-License-Identifier: Apache-2.0
#include "router_booking.h"

#include <inttypes.h>
#include <stdio.h>

#include "client/common/clock.h"
#include "client/common/random.h"
#include "router_request.h"

enum {
    UPDATE_TOKENS_MS = 5000, // the pool is told of the output as often
    UPDATE_ALIVE_MS = 20000, // and that a request still is one, when nothing else is said
};

void router_booking_new_id(struct router_request *r) {
    r->id_size = (size_t)snprintf(r->id, sizeof r->id, "%s/%016" PRIx64, r->x->record.id,
                                  kvr_random(&r->proxy->random));
}

void router_booking_place(struct router_request *r) {
    struct router_worker *w = router_pool_worker(r->pool, router_request_worker(r));
    if (w) w->here.live++;
}

static void update(struct router_request *r, bool prefilled, int64_t tokens) {
    struct kvr_update_call call = {
        .request = {r->id, r->id_size}, .prefilled = prefilled, .output = tokens > 0 ? tokens : 0};
    r->told_us = kvr_clock_us();
    r->told_tokens = tokens;
    router_pool_count(r->pool, kvr_client_update_async(r->pool->client, &call, NULL, NULL));
}

void router_booking_update(struct router_request *r, bool prefilled) {
    update(r, prefilled, router_stream_tokens(&r->stream));
}

void router_booking_renew(struct router_request *r, int64_t now) {
    if (!r->booked) return;
    bool relaying = r->state == ROUTER_RELAY;
    int64_t quiet = (now - r->told_us) / 1000, third = r->pool->lease / 3;
    bool more = relaying && router_stream_tokens(&r->stream) > r->told_tokens;
    int64_t wait = more ? UPDATE_TOKENS_MS : UPDATE_ALIVE_MS;
    if (quiet >= (third && third < wait ? third : wait))
        router_booking_update(r, relaying && r->stream.events);
}

// What the output came to goes before the release, on the same way: pools learn from it how long
// answers are and how fast they come. Of a whole answer nobody saw the first token, so PREFILLED would
// teach them something wrong; that there is an output tells that the prompt was computed.
static void update_output(struct router_request *r) {
    int64_t tokens = router_stream_tokens(&r->stream);
    if (tokens < 0 && r->kind != ROUTER_PROMPT_EMBEDDING) // a guess, where no usage is said
        tokens = (int64_t)r->x->h1.out_bytes / ROUTER_TOKEN_BYTES;
    if (tokens < 1) tokens = 1;
    if (tokens > r->told_tokens) update(r, false, tokens);
}

void router_booking_release(struct router_request *r) {
    struct router_worker *w =
        r->worker.n ? router_pool_worker(r->pool, router_request_worker(r)) : NULL;
    if (w && w->here.live) w->here.live--;
    r->worker.n = 0;
    if (!r->booked) return;
    if (r->status && r->status < 300) update_output(r);
    router_pool_release(r->pool, (struct kvr_bytes){r->id, r->id_size});
    r->booked = false;
}
