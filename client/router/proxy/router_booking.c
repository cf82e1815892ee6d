// SPDX-License-Identifier: Apache-2.0
#include "router_booking.h"

#include <string.h>

#include "client/common/clock.h"
#include "client/common/hex.h"
#include "client/common/random.h"
#include "router_request.h"

enum {
    UPDATE_TOKENS_MS = 5000, // the pool is told of the output as often
    LEFT_MS = 1000,          // a booking that was left stays at most so long without the next one
    UPDATE_ALIVE_MS = 20000, // and that a request still is one, when nothing else is said
};

void router_booking_new_id(struct router_request *r) {
    size_t n = strlen(r->x->record.id);
    memcpy(r->id, r->x->record.id, n);
    r->id[n++] = '/';
    kvr_hex(r->id + n, kvr_random(&r->proxy->random));
    r->id_size = n + KVR_HEX_DIGITS;
}

static void release_left(struct router_request *r) {
    if (r->left_size) router_pool_release(r->pool, (struct kvr_bytes){r->left, r->left_size});
    r->left_size = 0;
}

void router_booking_place(struct router_request *r) {
    struct router_worker *w = router_pool_worker(r->pool, router_request_worker(r));
    if (w) w->here.live++;
    release_left(r);
}

static void update(struct router_request *r, bool prefilled, int64_t tokens) {
    struct kvr_update_call call = {
        .request = {r->id, r->id_size}, .prefilled = prefilled, .output = tokens > 0 ? tokens : 0};
    r->told_us = kvr_clock_us();
    r->told_tokens = tokens;
    router_pool_count(r->pool, kvr_client_update_async(r->pool->client, &call, NULL, NULL));
}

// What came before a seam is a part of this booking's prompt.
static int64_t tokens_of(const struct router_request *r) {
    int64_t all = router_stream_tokens(&r->stream);
    return all > r->tokens_before ? all - r->tokens_before : all < 0 ? all : 0;
}

void router_booking_update(struct router_request *r, bool prefilled) {
    update(r, prefilled, tokens_of(r));
}

void router_booking_prefilled(struct router_request *r) {
    if (r->booked) update(r, true, 0);
}

void router_booking_renew(struct router_request *r, int64_t now) {
    if (now - r->broken_us > (int64_t)LEFT_MS * 1000) release_left(r);
    if (!r->booked) return;
    bool relaying = r->state == ROUTER_RELAY;
    int64_t quiet = (now - r->told_us) / 1000, third = r->lease / 3;
    bool more = relaying && tokens_of(r) > r->told_tokens;
    int64_t wait = more ? UPDATE_TOKENS_MS : UPDATE_ALIVE_MS;
    if (quiet >= (third && third < wait ? third : wait))
        router_booking_update(r, relaying && r->stream.events);
}

// What the output came to goes before the release, on the same way: pools learn from it how long
// answers are and how fast they come. Of a whole answer nobody saw the first token, so PREFILLED would
// teach them something wrong; that there is an output tells that the prompt was computed.
static void update_output(struct router_request *r) {
    int64_t tokens = tokens_of(r);
    if (tokens < 0 && router_prompt_traits[r->kind].writes) // a guess, where no usage is said
        tokens = (int64_t)r->x->h1.out_bytes / ROUTER_TOKEN_BYTES;
    if (tokens < 1) tokens = 1;
    if (tokens > r->told_tokens) update(r, false, tokens);
}

// Whether there is a booking.
static bool end_choice(struct router_request *r) {
    struct router_worker *w =
        r->worker.n ? router_pool_worker(r->pool, router_request_worker(r)) : NULL;
    if (w && w->here.live) w->here.live--;
    r->worker.n = 0;
    if (!r->booked) return false;
    bool answered = !r->broken_us || r->prefilled; // since the last seam
    if (r->status && r->status < 300 && answered) update_output(r);
    r->booked = false;
    return true;
}

void router_booking_release(struct router_request *r) {
    release_left(r);
    if (end_choice(r)) router_pool_release(r->pool, (struct kvr_bytes){r->id, r->id_size});
}

void router_booking_leave(struct router_request *r) {
    release_left(r);
    if (!end_choice(r)) return;
    memcpy(r->left, r->id, r->id_size);
    r->left_size = r->id_size;
}
