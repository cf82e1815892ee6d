// SPDX-License-Identifier: Apache-2.0
#include "router_choice.h"

#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/router/pools/router_degraded.h"
#include "client/router/pools/router_served.h"
#include "client/router/prompt/router_service.h"
#include "client/router/router_metrics.h"
#include "router_booking.h"
#include "router_engine_failure.h"
#include "router_headers.h"
#include "router_prefill.h"
#include "router_request.h"
#include "router_request_spans.h"

enum {
    MAX_EXCLUDED_SUSPECTS = 32, // and at least one that is spared
    CONTINUED_WAIT_MS = 30000,  // a stream in its middle can't be asked for again
    CONTINUED_REST_MS = 250,
};

// One that only computes prompts for others has no requests of its own.
static bool may_answer(const struct router_worker *w) {
    return w->state == KVR_READY && w->role != KVR_ROLE_PREFILL;
}

static bool is_tried(const struct router_request *r, const struct router_worker *w) {
    struct kvr_bytes name = kvr_text(w->name);
    return router_request_was_tried(r, name) || router_name_is(&r->worker, name);
}

bool router_choice_has_another(const struct router_request *r) {
    const struct router_pool *pool = r->pool;
    struct router_served_levels levels = router_served_levels(pool, r->model);
    if (r->pinned.n) return false;
    for (size_t i = 0; i < pool->n_workers; i++) {
        const struct router_worker *w = &pool->workers[i];
        if (may_answer(w) && !is_tried(r, w) && router_served_fits(w, r->model, levels))
            return true;
    }
    return !pool->seen_us;
}

static size_t list_tried(const struct router_request *r, struct kvr_bytes out[ROUTER_MAX_TRIES]) {
    for (size_t i = 0; i < r->n_tried; i++)
        out[i] = router_name_bytes(&r->tried[i]);
    return r->n_tried;
}

// Those that aren't to be chosen if another can be; at most n, returns how many.
static size_t list_suspects(const struct router_request *r, struct kvr_bytes *out, size_t n) {
    size_t found = r->spared.n != 0;
    if (found) out[0] = router_name_bytes(&r->spared);
    found += router_circuit_suspects(r->proxy->circuits, r->pool, out + found, n - found);
    int64_t now = kvr_clock_us();
    for (size_t i = 0; i < r->pool->n_workers && found < n; i++)
        if (r->pool->workers[i].here.avoid_until_us > now)
            out[found++] = kvr_text(r->pool->workers[i].name);
    return found;
}

// Whether somebody who might be chosen isn't among the excluded ones, as far as is known here.
static bool leaves_somebody(const struct router_request *r, const struct kvr_bytes *exclude,
                            size_t n) {
    const struct router_pool *pool = r->pool;
    struct router_served_levels levels = router_served_levels(pool, r->model);
    for (size_t i = 0; i < pool->n_workers; i++) {
        const struct router_worker *w = &pool->workers[i];
        if (may_answer(w) && w->circuit != KVR_OPEN && !router_worker_is_among(w, exclude, n) &&
            router_served_fits(w, r->model, levels))
            return true;
    }
    return false;
}

// ---- Waiting -------------------------------------------------------------------------------------

// ms; what earlier tries have waited is taken off, so that a client never waits for longer than the settings
// say.
static int64_t wait_left(const struct router_request *r) {
    if (router_request_goes_on(r)) return r->pool->has_queue ? CONTINUED_WAIT_MS : 0;
    const struct router_service *s = r->x->service;
    int64_t waited = r->x->record.waited > 0 ? r->x->record.waited : 0;
    if (!s || !r->pool->has_queue || r->proxy->router->draining) return 0;
    int64_t wait = r->unclassed
                       ? router_service_wait(&r->proxy->router->config, (struct kvr_bytes){NULL, 0})
                       : s->wait;
    return wait > waited ? wait - waited : 0;
}

static void count_share(const struct router_request *r, enum router_share_outcome how,
                        int64_t waited) {
    struct kvr_bytes name = router_service_class(r->x->service);
    if (r->unclassed) name.n = 0;
    router_shares_count(&r->proxy->router->metrics->shares, name,
                        router_service_flow(r->x->service), how, waited);
}

void router_choice_left(const struct router_request *r) {
    if (r->state == ROUTER_CHOOSE && router_waiter_is_on(&r->waiter))
        count_share(r, ROUTER_SHARE_LEFT, 0);
}

// An answer that says nothing about the class counts for nothing here.
static void note_waiting(struct router_request *r, const struct kvr_result *result,
                         bool might_wait) {
    struct router_record *record = &r->x->record;
    int64_t waited = result->code == KVR_CODE_OK ? result->choice.waited : 0;
    if (result->code == KVR_CODE_RELEASED || (might_wait && result->code == KVR_CODE_NOROOM))
        waited = (kvr_clock_us() - r->asked_us) / 1000;
    if (record->waited < 0) record->waited = 0;
    record->waited += waited;
    if (result->code == KVR_CODE_OK)
        count_share(r, waited ? ROUTER_SHARE_WAITED : ROUTER_SHARE_BOOKED, waited);
    if (result->code == KVR_CODE_NOROOM) count_share(r, ROUTER_SHARE_REFUSED, 0);
    if (result->code == KVR_CODE_LIMITED) count_share(r, ROUTER_SHARE_LIMITED, 0);
    if (result->code == KVR_CODE_RELEASED) count_share(r, ROUTER_SHARE_LEFT, 0);
}

// ---- What the pool says --------------------------------------------------------------------------

// Cut to fit.
static void copy_text(char *out, size_t size, struct kvr_bytes text) {
    size_t n = text.n < size ? text.n : size - 1;
    if (n) memcpy(out, text.p, n);
    out[n] = 0;
}

// False: no memory.
static bool take_choice(struct router_request *r, const struct kvr_result *result) {
    struct router_record *record = &r->x->record;
    const struct kvr_choice *c = &result->choice;
    copy_text(r->address, sizeof r->address, c->addr);
    router_name_set(&r->worker, c->worker);
    r->rank = c->rank;
    router_booking_place(r);
    r->fresh = r->counted = r->prefilled = false;
    r->booked_us = r->told_us = kvr_clock_us();
    r->told_tokens = 0;
    copy_text(record->worker, sizeof record->worker, c->worker);
    record->rank = c->rank;
    record->tries++;
    r->given_up = router_failure_is_dead(r);
    if (!router_request_goes_on(r)) { // of a stream the first choice stands
        record->blocks = (int64_t)r->prompt.n;
        record->overlap = c->overlap;
        record->block_size = r->pool->block_size;
        record->expected = c->expected;
        record->predicted_us = c->ttft >= 0 && c->ttft < 1e9 ? (int64_t)(c->ttft * 1000) : -1;
        record->degraded = result->degraded;
    }
    return router_prefill_take(r, c);
}

// That there is no room says more than that an engine failed before.
static bool is_about_room(enum kvr_code code) {
    return code == KVR_CODE_NOROOM || code == KVR_CODE_LIMITED || code == KVR_CODE_RELEASED;
}

// A stream in its middle asks again for a while: engines come back.
bool router_choice_rests(struct router_request *r) {
    int64_t now = kvr_clock_us();
    bool may = router_request_goes_on(r) && now - r->broken_us < (int64_t)CONTINUED_WAIT_MS * 1000;
    if (may) r->rest_us = now + (int64_t)CONTINUED_REST_MS * 1000;
    return may;
}

void router_choice_again(struct router_request *r, int64_t now) {
    if (!r->rest_us || now < r->rest_us) return;
    r->rest_us = 0;
    r->n_tried = 0;
    r->tries_before = r->x->record.tries;
    r->any = false;
    router_request_move(r, ROUTER_CHOOSE);
}

static void not_chosen(struct router_request *r, const struct kvr_result *result) {
    struct router_retry_error e;
    if (router_choice_rests(r)) return;
    if (router_request_goes_on(r)) {
        router_request_break(r, ROUTER_BECAUSE_REFUSED);
        return;
    }
    if (!is_about_room(result->code) &&
        router_retry_exhausted(r->n_tried > 0, r->turned_away, r->unasked, &e)) {
        router_request_refuse(r, e.status, e.code, e.message);
        return;
    }
    struct router_exchange *x = router_request_end(r);
    if (is_about_room(result->code)) router_headers_waited(x);
    router_pool_refusal(x, result);
}

static void not_asked(struct router_request *r, enum kvr_code code) {
    struct kvr_result result = {.code = code, .message = ""};
    router_spans_selected(r, &result);
    not_chosen(r, &result);
}

static bool choose_degraded(struct router_request *r, enum kvr_code code, struct kvr_result *out) {
    struct kvr_bytes tried[ROUTER_MAX_TRIES];
    return router_degraded_applies(r->pool, code) &&
           router_degraded_choose(r->pool, r->proxy->circuits, r->model, tried,
                                  list_tried(r, tried), out);
}

// Nobody computes the prompt, perhaps: then one engine does all. Or only suspects are left: trying one is better than
// refusing.
static bool ask_otherwise(struct router_request *r) {
    if (r->paired) {
        r->unpaired = true;
    } else {
        if (r->any) return false;
        r->any = true;
        r->unpaired = false;
    }
    return true;
}

static void on_selected(void *ctx, const struct kvr_result *result) {
    struct router_request *r = ctx;
    struct kvr_result degraded;
    bool might_wait = router_waiter_is_on(&r->waiter);
    router_waiter_end(&r->waiter);
    r->booked = result->code == KVR_CODE_OK;
    if (r->state == ROUTER_ABANDONED) {
        router_request_move(r, ROUTER_DONE);
        return;
    }
    if (result->code == KVR_CODE_REFUSED && r->asked_class) {
        // A name that the pool doesn't know, perhaps: that mustn't be a way around its queue.
        r->unclassed = true;
        router_request_move(r, ROUTER_CHOOSE);
        return;
    }
    router_pool_answered(r->pool, ROUTER_POOL_BOOKINGS, result);
    if (choose_degraded(r, result->code, &degraded)) result = &degraded;
    router_metrics_select(r->proxy->router->metrics, kvr_clock_us() - r->asked_us, result);
    note_waiting(r, result, might_wait);
    router_spans_selected(r, result);
    if (result->code == KVR_CODE_NOWORKER && ask_otherwise(r)) {
        router_request_move(r, ROUTER_CHOOSE);
    } else if (result->code != KVR_CODE_OK) {
        not_chosen(r, result);
    } else if (router_prefill_is_lacking(r, &result->choice)) {
        router_booking_release(r);
        not_chosen(r, &(struct kvr_result){.code = KVR_CODE_NOWORKER, .message = ""});
    } else if (take_choice(r, result)) {
        router_request_move(r, r->prefill ? ROUTER_PREFILL : ROUTER_SEND);
    } else {
        router_request_refuse(r, 503, "NOMEM", "no memory");
    }
}

// Who isn't to be chosen. One that may wait would do so while suspects have room, if there is nobody else.
static size_t list_excluded(struct router_request *r, struct kvr_bytes *out, int64_t wait) {
    size_t n = list_tried(r, out);
    if (r->any) return n;
    size_t suspects = list_suspects(r, out + n, MAX_EXCLUDED_SUSPECTS);
    r->any = !suspects; // then asking again would change nothing
    if (!wait || leaves_somebody(r, out, n + suspects)) return n + suspects;
    r->any = true;
    return n;
}

// ---- Without the pool ----------------------------------------------------------------------------

static void take_or_refuse(struct router_request *r, const struct kvr_result *result) {
    if (take_choice(r, result))
        router_request_move(r, ROUTER_SEND);
    else
        router_request_refuse(r, 503, "NOMEM", "no memory");
}

// One that isn't known here is gone, or it is new: then the others are asked, and say that they don't have it.
static void check_pinned(struct router_request *r) {
    if (!router_pool_worker(r->pool, router_name_bytes(&r->pinned))) r->pinned.n = 0;
}

static void choose_pinned(struct router_request *r) {
    const struct router_worker *w = router_pool_worker(r->pool, router_name_bytes(&r->pinned));
    struct kvr_result result = {.code = KVR_CODE_OK, .message = ""};
    result.choice = (struct kvr_choice){.worker = kvr_text(w->name),
                                        .addr = kvr_text(w->addr),
                                        .rank = r->pinned_rank,
                                        .ttft = -1,
                                        .tpot = -1};
    take_or_refuse(r, &result);
}

// What is no work for the pool goes to the engine with the fewest requests from here.
static void choose_here(struct router_request *r) {
    struct kvr_bytes tried[ROUTER_MAX_TRIES];
    struct kvr_result result;
    if (r->pinned.n) {
        choose_pinned(r);
    } else if (router_degraded_choose(r->pool, r->proxy->circuits, r->model, tried,
                                      list_tried(r, tried), &result)) {
        result.degraded = false;
        take_or_refuse(r, &result);
    } else {
        not_asked(r, KVR_CODE_NOWORKER);
    }
}

// Those that the pool may choose from. False: no memory.
static bool list_among(const struct router_request *r, struct kvr_bytes **among, size_t *n) {
    if (!r->pinned.n) return router_served_among(r->pool, r->model, among, n);
    if (!(*among = malloc(sizeof **among))) return false;
    **among = router_name_bytes(&r->pinned);
    *n = 1;
    return true;
}

static void ask_pool(struct router_request *r) {
    struct kvr_bytes exclude[ROUTER_MAX_TRIES + MAX_EXCLUDED_SUSPECTS];
    int64_t wait = wait_left(r);
    size_t n = list_excluded(r, exclude, wait);
    struct kvr_bytes *among;
    size_t n_among;
    if (!list_among(r, &among, &n_among)) {
        not_asked(r, KVR_CODE_NOMEM);
        return;
    }
    router_booking_new_id(r);
    struct kvr_select_call call = {.request = {r->id, r->id_size},
                                   .blocks = {.hashes = r->prompt.hashes, .n = r->prompt.n},
                                   .isl = r->prompt.isl,
                                   .osl = r->prompt.osl,
                                   .lease = r->proxy->router->config.lease,
                                   .among = among,
                                   .n_among = n_among,
                                   .exclude = exclude,
                                   .n_exclude = n,
                                   .wait = wait,
                                   .pair = router_prefill_wanted(r)};
    if (r->pool->has_sessions) call.session = (struct kvr_bytes){r->session, r->session_size};
    if (r->pool->has_queue) {
        if (!r->unclassed) call.service_class = router_service_class(r->x->service);
        call.flow = router_service_flow(r->x->service);
    }
    r->asked_class = call.service_class.n;
    r->paired = call.pair;
    r->lease = call.lease ? call.lease : r->pool->lease;
    r->asked_us = kvr_clock_us();
    enum kvr_code code = kvr_client_select_async(r->pool->client, &call, on_selected, r);
    free(among);
    if (code != KVR_CODE_OK)
        not_asked(r, code);
    else if (wait)
        router_waiter_begin(r->proxy->router, &r->waiter, r->pool, call.request);
}

void router_choice_enter(struct router_request *r) {
    if (r->rest_us) return;
    check_pinned(r);
    if (router_prompt_traits[r->kind].unbooked)
        choose_here(r);
    else
        ask_pool(r);
}
