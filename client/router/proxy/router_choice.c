// SPDX-License-Identifier: Apache-2.0
#include "router_choice.h"

#include <stdio.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/router/pools/router_degraded.h"
#include "client/router/router_metrics.h"
#include "router_booking.h"
#include "router_engine_failure.h"
#include "router_request.h"

enum { MAX_EXCLUDED_SUSPECTS = 32 };

static void set_name(struct router_name *out, struct kvr_bytes name) {
    out->n = name.n < sizeof out->text ? name.n : sizeof out->text;
    memcpy(out->text, name.p, out->n);
}

static bool is_named(const struct router_name *n, const char *name) {
    return strlen(name) == n->n && !memcmp(name, n->text, n->n);
}

static bool was_tried(const struct router_request *r, const char *worker) {
    for (unsigned i = 0; i < r->n_tried; i++)
        if (is_named(&r->tried[i], worker)) return true;
    return is_named(&r->worker, worker);
}

bool router_choice_has_another(const struct router_request *r) {
    const struct router_pool *pool = r->pool;
    for (size_t i = 0; i < pool->n_workers; i++)
        if (pool->workers[i].state == KVR_READY && !was_tried(r, pool->workers[i].name))
            return true;
    return !pool->seen_us;
}

static size_t list_tried(const struct router_request *r, struct kvr_bytes out[ROUTER_MAX_TRIES]) {
    for (size_t i = 0; i < r->n_tried; i++)
        out[i] = router_name_bytes(&r->tried[i]);
    return r->n_tried;
}

// Those that aren't to be chosen if another can be; at most n, returns how many.
static size_t list_suspects(const struct router_request *r, struct kvr_bytes *out, size_t n) {
    size_t found = router_circuit_suspects(r->proxy->circuits, r->pool, out, n);
    int64_t now = kvr_clock_us();
    for (size_t i = 0; i < r->pool->n_workers && found < n; i++)
        if (r->pool->workers[i].here.avoid_until_us > now)
            out[found++] = kvr_text(r->pool->workers[i].name);
    return found;
}

// ---- What the pool says --------------------------------------------------------------------------

static void take_choice(struct router_request *r, const struct kvr_result *result) {
    struct router_record *record = &r->x->record;
    const struct kvr_choice *c = &result->choice;
    snprintf(r->address, sizeof r->address, "%.*s", (int)c->addr.n, c->addr.p);
    set_name(&r->worker, c->worker);
    r->rank = c->rank;
    router_booking_place(r);
    r->fresh = r->counted = false;
    r->booked_us = r->told_us = kvr_clock_us();
    r->told_tokens = 0;
    snprintf(record->worker, sizeof record->worker, "%.*s", (int)c->worker.n, c->worker.p);
    record->rank = c->rank;
    record->blocks = (int64_t)r->prompt.n;
    record->overlap = c->overlap;
    record->expected = c->expected;
    record->predicted_us = c->ttft >= 0 && c->ttft < 1e9 ? (int64_t)(c->ttft * 1000) : -1;
    record->degraded = result->degraded;
    record->tries++;
    r->given_up = router_failure_is_dead(r);
}

static void not_chosen(struct router_request *r, enum kvr_code code, const char *message) {
    struct router_retry_error e;
    if (router_retry_exhausted(r->n_tried > 0, r->turned_away, &e))
        router_request_refuse(r, e.status, e.code, e.message);
    else
        router_pool_error(router_request_end(r), code, message);
}

static bool choose_degraded(struct router_request *r, enum kvr_code code, struct kvr_result *out) {
    struct kvr_bytes tried[ROUTER_MAX_TRIES];
    return router_degraded_applies(r->pool, code) &&
           router_degraded_choose(r->pool, r->proxy->circuits, tried, list_tried(r, tried), out);
}

static void on_selected(void *ctx, const struct kvr_result *result) {
    struct router_request *r = ctx;
    struct kvr_result degraded;
    r->booked = result->code == KVR_CODE_OK;
    if (r->state == ROUTER_ABANDONED) {
        router_request_move(r, ROUTER_DONE);
        return;
    }
    if (!result->degraded) router_pool_answered(r->pool, ROUTER_POOL_BOOKINGS, result);
    if (choose_degraded(r, result->code, &degraded)) result = &degraded;
    router_metrics_select(r->proxy->router->metrics, kvr_clock_us() - r->asked_us, result);
    if (result->code == KVR_CODE_NOWORKER && !r->any) {
        // Only suspects are left, perhaps: trying one is better than refusing.
        r->any = true;
        router_request_move(r, ROUTER_CHOOSE);
    } else if (result->code != KVR_CODE_OK) {
        not_chosen(r, result->code, result->message);
    } else {
        take_choice(r, result);
        router_request_move(r, ROUTER_SEND);
    }
}

void router_choice_enter(struct router_request *r) {
    struct kvr_bytes exclude[ROUTER_MAX_TRIES + MAX_EXCLUDED_SUSPECTS];
    size_t n = list_tried(r, exclude);
    if (!r->any) {
        size_t suspects = list_suspects(r, exclude + n, MAX_EXCLUDED_SUSPECTS);
        r->any = !suspects; // then asking again would change nothing
        n += suspects;
    }
    router_booking_new_id(r);
    struct kvr_select_call call = {.request = {r->id, r->id_size},
                                   .blocks = {.hashes = r->prompt.hashes, .n = r->prompt.n},
                                   .isl = r->prompt.isl,
                                   .osl = r->prompt.osl,
                                   .exclude = exclude,
                                   .n_exclude = n};
    if (r->pool->has_sessions) call.session = (struct kvr_bytes){r->session, r->session_size};
    r->asked_us = kvr_clock_us();
    enum kvr_code code = kvr_client_select_async(r->pool->client, &call, on_selected, r);
    if (code != KVR_CODE_OK) not_chosen(r, code, NULL);
}
