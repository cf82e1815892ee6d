// SPDX-License-Identifier: Apache-2.0
// KV caches on their way from one engine to another.
//
// An engine that computed a prompt for another one has an offer; the other one, when it has blocks for
// it, pulls. Both sides name it by a key that the request brought:
//
//     offer:  expected ──┐       the pull is there, the request isn't
//             peer ──────┴─> computing ──> ready ──> sending ──> over
//
// A pull is one POST to the offering engine's side port, whose answer comes when all is transferred. So
// who dies is noticed by the other side's connection; whether it acts on that is another matter, as
// several real engines don't. What is ready and not pulled in time, or pulled and not there in time, is
// given up. An engine counts and tells of all that is half open, so that a test can see that nothing is left.
#ifndef MOCK_TRANSFER_H
#define MOCK_TRANSFER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/common/list.h"
#include "client/http1/h1_client.h"
#include "client/http1/h1_server.h"
#include "mock_scheduler.h"

struct mock_engine;
struct mock_offer;
struct mock_load;

struct mock_transfers {
    struct mock_engine *mock;
    struct h1_client *client; // NULL until something is pulled
    struct kvr_list_item offers, loads;
    uint64_t sent, sent_tokens, received, received_tokens;
    uint64_t expired; // offers nobody pulled in time
    uint64_t dropped; // offers whose request ended before they were ready
    uint64_t failed;  // pulls of ours
    uint64_t renewed; // leases
    bool hangs;       // by a fault: nothing of what is to be sent arrives
};

void mock_transfers_init(struct mock_transfers *t, struct mock_engine *m);
void mock_transfers_free(struct mock_transfers *t);
// Nothing is offered any more: a new life, or a fault. Those whose requests go on stay.
void mock_transfers_forget(struct mock_transfers *t);
void mock_transfers_hang(struct mock_transfers *t, bool hangs);
json_t *mock_transfers_describe(const struct mock_transfers *t);
json_t *mock_offers_describe(const struct mock_transfers *t); // how many are in which state
void mock_offers_free(struct mock_transfers *t);

// ---- Offering ------------------------------------------------------------------------------------

struct mock_offer_calls {
    void (*peer)(void *ctx);                     // the pull has come: what waited for it may begin
    void (*over)(void *ctx, const char *failed); // NULL: it was sent. The offer is no more
};

// A request came that computes for another engine. calls: NULL, or its request goes on until it is over,
// and waits for the other side before it begins, for so long as the engine's kv_timeout_ms.
struct mock_offer *mock_offer_new(struct mock_transfers *t, const char *key, size_t rank,
                                  const struct mock_offer_calls *calls, void *ctx);
bool mock_offer_has_peer(const struct mock_offer *o);
// The prompt is computed; the job is kept, and the offer's from now on.
void mock_offer_ready(struct mock_offer *o, struct mock_scheduler *e, struct mock_job *job,
                      size_t tokens);
void mock_offer_drop(struct mock_offer *o); // the request is gone, or didn't come to its end

// POST /mock/kv/pull and /mock/kv/renew, of the side port.
void mock_serve_pull(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_renew(struct mock_engine *m, struct h1_exchange *x);

// ---- Pulling -------------------------------------------------------------------------------------

struct mock_source {
    char address[300]; // http://HOST:PORT
    char key[160];
    char engine_id[80]; // "": any
    int rank;           // -1: any
    bool waits;         // for what isn't there yet; else that is a failure
    bool asks;          // the address is that of a table of engine_id and worker
    bool renews;        // its lease, until it is pulled
    // After the other side's end, in ms: how long it takes to notice; 0: at once.
    int64_t deaf_ms;
};

typedef void mock_loaded_callback(void *ctx, const char *failed); // NULL: it is here

// The request is here, and pulls later: renews the lease if that is to be done.
struct mock_load *mock_load_new(struct mock_transfers *t, const struct mock_source *source,
                                mock_loaded_callback *done, void *ctx);
// Called once; nothing is called back before it returns. After the callback the load is no more.
void mock_load_pull(struct mock_load *l, size_t tokens);
void mock_load_cancel(struct mock_load *l); // NULL: nothing
// The request won't have it: lets the other side go, and forgets it.
void mock_load_refuse(struct mock_transfers *t, const struct mock_source *source);

#endif
