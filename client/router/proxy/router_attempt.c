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
#include "router_kept_events.h"
#include "router_migration.h"
#include "router_outgoing.h"
#include "router_prefill.h"
#include "router_prefill_leg.h"
#include "router_request_spans.h"
#include "router_stored.h"

enum { STREAM_SILENT_MS = 1000 };

void router_attempt_count(struct router_request *r, enum router_engine_outcome how) {
    if (r->counted) return;
    r->counted = true;
    router_spans_outcome(r, how);
    router_metrics_engine(r->proxy->router->metrics, r->pool->options.name, r->x->record.worker,
                          how);
}

// ---- RELAY ---------------------------------------------------------------------------------------

void router_attempt_relay(struct router_request *r) {
    struct router_exchange *x = r->x;
    const struct h1_head *reply = r->reply;
    r->n_tried = 0; // those that failed before may be well when this one breaks
    if (router_request_goes_on(r)) {
        router_failure_accused(r);
        return;
    }
    router_headers_to_client(x, reply);
    r->status = reply->status;
    r->unlimited = reply->length < 0;
    router_migration_relay(r);
    bool bodiless = r->status == 204 || r->status == 304;
    h1_exchange_start(&x->h1, r->status, NULL, bodiless ? 0 : reply->length);
    // From here on it can't go elsewhere, unless it is kept: what was there for that isn't needed any more.
    h1_exchange_drop_body(&x->h1);
    if (!r->kept || !r->kept->by) router_request_forget_choice(r);
    if (r->status < 300) router_failure_accused(r);
}

// A stream's first event comes with the first token. What may come before it are comments, which keep a
// connection alive and teach nothing.
// After a seam it isn't the client's first one, but the pool is told of its booking's.
static void look_for_token(struct router_request *r) {
    struct router_record *record = &r->x->record;
    if (r->prefilled || r->status >= 300 || !r->stream.events ||
        r->stream.n_events == r->events_before)
        return;
    r->prefilled = true;
    int64_t now = kvr_clock_us();
    router_spans_first(r, now);
    if (record->first_us < 0) {
        record->first_us = now - r->x->h1.began_us;
        router_metrics_first(r->proxy->router->metrics, now, record->first_us);
        record->booked_us = now - r->booked_us;
    }
    router_booking_update(r, true);
}

static void note_piece(struct router_request *r) {
    int64_t now = kvr_clock_us();
    struct router_metrics *m = r->proxy->router->metrics;
    if (r->piece_us && r->stream.events) kvr_prom_observe(&m->gap, now - r->piece_us);
    if (r->stream.events)
        router_metrics_tokens(m, &r->x->record, now, router_stream_tokens(&r->stream));
    r->piece_us = now;
}

static bool without_its_prompt(struct router_request *r);

static void forget(struct evbuffer *bytes) {
    evbuffer_drain(bytes, evbuffer_get_length(bytes));
}

// What of it is for the client goes to the proxy's `out`.
static enum router_kept_outcome take_data(struct router_request *r, struct evbuffer *bytes) {
    struct evbuffer *out = r->proxy->out, *taken = r->proxy->taken;
    bool kept = r->kept && r->kept->asked;
    enum router_kept_outcome how = ROUTER_KEPT_GOOD;
    if (kept) how = router_kept_pass(r->kept, bytes, taken);
    if (how == ROUTER_KEPT_NO_MEMORY ||
        !router_stream_pass(&r->stream, kept ? taken : bytes, out)) {
        forget(taken);
        forget(out);
        return ROUTER_KEPT_NO_MEMORY;
    }
    return how;
}

// A piece of the body, also the first one.
static enum router_kept_outcome relay_data(struct router_request *r, struct evbuffer *bytes) {
    struct evbuffer *out = r->proxy->out;
    enum router_kept_outcome how = take_data(r, bytes);
    if (!evbuffer_get_length(out)) return how;
    if (r->state == ROUTER_HEAD) {
        if (r->prefill && r->stream.events && router_prefill_is_error(out) &&
            without_its_prompt(r)) {
            forget(out);
            return ROUTER_KEPT_GOOD;
        }
        router_request_move(r, ROUTER_RELAY);
    }
    look_for_token(r);
    note_piece(r);
    router_stored_note(r, false);
    router_spans_data(r, out);
    if (!h1_exchange_data(&r->x->h1, out)) h1_call_pause(r->call);
    return how;
}

static void on_room(struct h1_exchange *x) {
    struct router_request *r = x->arg;
    if (r->call) h1_call_resume(r->call);
}

// The engine has said all; *r is over.
static void end_relay(struct router_request *r) {
    struct evbuffer *out = r->proxy->out;
    if (r->state == ROUTER_HEAD) router_request_move(r, ROUTER_RELAY);
    if (r->kept && r->kept->asked && router_kept_end(r->kept, r->proxy->taken))
        router_stream_pass(&r->stream, r->proxy->taken, out);
    router_stream_end(&r->stream, out);
    look_for_token(r); // its line had no end
    router_stored_note(r, true);
    router_spans_data(r, out);
    if (evbuffer_get_length(out)) h1_exchange_data(&r->x->h1, out);
    h1_exchange_end(&router_request_end(r)->h1);
}

// ---- When it fails -------------------------------------------------------------------------------

// Leaves an engine out (NULL: none), and chooses again. Nothing of the try goes on, at either engine.
static void go_elsewhere(struct router_request *r, const struct router_name *without) {
    h1_call_cancel(r->call);
    r->call = NULL;
    r->reply = NULL;
    if (without && r->n_tried < ROUTER_MAX_TRIES) r->tried[r->n_tried++] = *without;
    router_prefill_end(r);
    if (router_request_goes_on(r) && r->kept && r->kept->by) router_kept_rewind(r->kept);
    r->any = r->unpaired = false;
    router_booking_release(r);
    router_request_move(r, ROUTER_CHOOSE);
}

static struct router_retry decide(struct router_request *r, enum router_failure what, bool fresh,
                                  bool another) {
    struct router_proxy *p = r->proxy;
    bool relaying = r->state == ROUTER_RELAY;
    struct router_retry_facts facts = {.relaying = relaying,
                                       .continues = relaying && !router_migration_hinders(r),
                                       .fresh = fresh,
                                       .turned_away = r->turned_away,
                                       .another = another,
                                       .sent = r->n_sent,
                                       .tries = r->x->record.tries - r->tries_before,
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
    r->unasked = what == ROUTER_FAILURE_LOCAL;
    if (what == ROUTER_FAILURE_FULL) {
        if (!elsewhere) return; // it has answered
        router_failure_avoided(r);
        r->turned_away = true;
        router_attempt_count(r, ROUTER_ENGINE_REFUSED);
    } else if (what == ROUTER_FAILURE_DEAD) {
        if (elsewhere) router_attempt_count(r, ROUTER_ENGINE_FAILED); // others have said so
    } else if (what == ROUTER_FAILURE_LOCAL) {
        r->proxy->router->metrics->local_failures++;
        router_failure_avoided(r); // another's name may be known, another's connection be kept
    } else {
        router_attempt_count(r,
                             r->state == ROUTER_RELAY ? ROUTER_ENGINE_CUT : ROUTER_ENGINE_FAILED);
        router_failure_seen(r, what);
    }
}

// The engine ends behind the finish_reason, in this way: *r is over. False: more is missing.
static bool finishes(struct router_request *r, enum router_engine_outcome how) {
    if (!router_migration_can_finish(r)) return false;
    router_attempt_count(r, how);
    router_migration_finish(r);
    return true;
}

// A stream's engines may all be starting anew. But it may also be what they fail of: two of them without a byte count
// as one more time that it went on.
static bool tries_again(struct router_request *r, unsigned sent) {
    struct router_kept *k = r->kept;
    if (!router_request_goes_on(r) || !k || !k->by || r->state == ROUTER_RELAY) return false;
    if (sent >= ROUTER_MAX_SENT) {
        if (k->seams >= r->proxy->router->config.migrate) return false;
        k->seams++;
        r->n_sent = 0;
    }
    return router_choice_rests(r);
}

static void refuse_or_rest(struct router_request *r, const struct router_retry *d,
                           const struct router_name *without) {
    if (tries_again(r, d->sent))
        go_elsewhere(r, without);
    else
        router_request_refuse(r, d->error.status, d->error.code, d->error.message);
}

static void failed_so(struct router_request *r, enum router_failure what,
                      enum router_migration_why why) {
    if (finishes(r, ROUTER_ENGINE_CUT)) return;
    struct router_retry d = decide(r, what, r->fresh, router_choice_has_another(r));
    if (why == ROUTER_MIGRATION_ABORTED || why == ROUTER_MIGRATION_ERROR)
        router_spans_error(r, why == ROUTER_MIGRATION_ERROR ? "error_event" : "aborted");
    if (why == ROUTER_MIGRATION_ABORTED) {
        router_attempt_count(r, ROUTER_ENGINE_CUT);
        router_failure_aborted(r);
    } else {
        note_failure(r, what, d.verdict);
    }
    if (d.verdict != ROUTER_RETRY_WAIT) router_spans_failed(r, what);
    switch (d.verdict) {
    case ROUTER_RETRY_HERE:
        r->fresh = true;
        router_request_move(r, ROUTER_SEND);
        break;
    case ROUTER_RETRY_ELSEWHERE:
        go_elsewhere(r, &r->worker);
        break;
    case ROUTER_RETRY_ERROR:
        refuse_or_rest(r, &d, &r->worker);
        break;
    case ROUTER_RETRY_CONTINUE:
        router_migration_go_on(r, why);
        break;
    case ROUTER_RETRY_BREAK:
        router_request_break(r, router_migration_hinders(r));
        break;
    case ROUTER_RETRY_PASS: // such an answer is no rest of another one
        if (router_request_goes_on(r)) router_request_break(r, ROUTER_BECAUSE_REFUSED);
        break;
    case ROUTER_RETRY_WAIT:
        break;
    }
}

static void failed(struct router_request *r, enum router_failure what) {
    static const enum router_migration_why whys[] = {
        [ROUTER_FAILURE_TIMEOUT] = ROUTER_MIGRATION_SILENT,
        [ROUTER_FAILURE_DEAD] = ROUTER_MIGRATION_DEAD,
        [ROUTER_FAILURE_LOCAL] = ROUTER_MIGRATION_BROKEN,
    };
    failed_so(r, what, whys[what]);
}

// ---- When the other engine fails -----------------------------------------------------------------

static void note_prefill_failure(struct router_request *r, enum router_failure what,
                                 enum router_retry_verdict verdict) {
    if (verdict == ROUTER_RETRY_HERE || verdict == ROUTER_RETRY_WAIT) return;
    bool full = what == ROUTER_FAILURE_FULL, local = what == ROUTER_FAILURE_LOCAL;
    router_prefill_count(r, full ? ROUTER_ENGINE_REFUSED : ROUTER_ENGINE_FAILED);
    r->unasked = local;
    r->proxy->router->metrics->local_failures += local;
    if (full) r->turned_away = true;
    if (full || local)
        router_failure_prefill_avoided(r);
    else if (what != ROUTER_FAILURE_DEAD) // others have said so
        router_failure_prefill_seen(r, what);
}

// The client made a mistake, or nobody else is left: it gets what the engine says, if it has nothing yet.
static void pass_refusal(struct router_request *r) {
    if (router_request_goes_on(r)) {
        router_request_break(r, ROUTER_BECAUSE_REFUSED);
        return;
    }
    h1_call_cancel(r->call);
    r->call = NULL;
    router_prefill_answer(r);
}

void router_attempt_prefill_failed(struct router_request *r, enum router_failure what) {
    if (what == ROUTER_FAILURE_NONE) {
        router_prefill_count(r, ROUTER_ENGINE_REFUSED);
        pass_refusal(r);
        return;
    }
    struct router_retry d = decide(r, what, r->prefill->fresh, router_prefill_can_change(r));
    if (d.verdict != ROUTER_RETRY_WAIT) router_spans_prefill_failed(r, what);
    note_prefill_failure(r, what, d.verdict);
    switch (d.verdict) {
    case ROUTER_RETRY_HERE:
        router_prefill_again(r);
        break;
    case ROUTER_RETRY_ELSEWHERE:
        go_elsewhere(r, &r->prefill->worker);
        break;
    case ROUTER_RETRY_PASS:
        pass_refusal(r);
        break;
    case ROUTER_RETRY_ERROR:
        refuse_or_rest(r, &d, &r->prefill->worker);
        break;
    case ROUTER_RETRY_CONTINUE: // there is no such leg any more when a stream is relayed
    case ROUTER_RETRY_BREAK:
    case ROUTER_RETRY_WAIT:
        break;
    }
}

// An engine that doesn't get the prompt it was promised fails with the request, as a rule by no fault of its own.
// Without the other one it may well answer. True: it is tried again.
static bool without_its_prompt(struct router_request *r) {
    bool change = router_prefill_can_change(r);
    struct router_retry d = decide(r, ROUTER_FAILURE_5XX, r->fresh, true);
    router_attempt_count(r, ROUTER_ENGINE_FAILED);
    if (d.verdict != ROUTER_RETRY_ELSEWHERE) return false;
    router_failure_not_loaded(r);
    r->spared = r->worker;
    go_elsewhere(r, change ? &r->prefill->worker : NULL);
    return true;
}

// Also when it has answered: what it computed is still to be fetched, and who waits for that may not notice.
static void prefill_dies(struct router_request *r) {
    if (router_prefill_runs(r) || r->state == ROUTER_PREFILL)
        router_attempt_prefill_failed(r, ROUTER_FAILURE_DEAD);
    else
        without_its_prompt(r);
}

void router_attempt_watch(struct router_request *r, int64_t now) {
    if (router_prefill_is_awaited(r)) {
        router_failure_prefill_silence(r, now);
        if (!r->prefill->given_up && router_failure_prefill_is_dead(r)) {
            prefill_dies(r);
            return;
        }
    }
    if (r->state == ROUTER_PREFILL) return;
    router_failure_silence(r, now);
    if (!r->given_up && router_failure_is_dead(r)) failed(r, ROUTER_FAILURE_DEAD);
}

// A stream whose engine says nothing is looked after as it was before its first byte, if it can go on.
void router_attempt_watch_stream(struct router_request *r, int64_t now) {
    bool silent = now - r->piece_us > (int64_t)STREAM_SILENT_MS * 1000;
    if (!r->kept || !r->kept->by) return;
    if (silent) router_failure_silence(r, now);
    bool dead = silent && !r->given_up && router_failure_is_dead(r);
    bool due = !dead && router_migration_is_due(r, now);
    if ((!dead && (!due || r->kept->finished)) || router_migration_hinders(r)) return;
    if (dead) {
        failed(r, ROUTER_FAILURE_DEAD);
        return;
    }
    router_attempt_count(r, ROUTER_ENGINE_CANCELLED);
    router_migration_go_on(r, ROUTER_MIGRATION_DRAIN);
}

static void no_memory(struct router_request *r) {
    if (router_request_goes_on(r))
        h1_exchange_abort(&router_request_end(r)->h1);
    else
        router_request_refuse(r, 503, "NOMEM", "no memory");
}

// ---- The call ------------------------------------------------------------------------------------

static void on_head(void *ctx, const struct h1_head *reply) {
    struct router_request *r = ctx;
    const char *type = h1_find_header(reply, "Content-Type");
    bool events = type && !strncasecmp(type, "text/event-stream", 17);
    r->reply = reply;
    router_spans_head(r);
    if (!router_request_goes_on(r)) {
        router_stream_free(&r->stream);
        router_stream_begin(&r->stream, events, router_prompt_traits[r->kind].answer);
    }
    if (reply->status < 300) router_failure_answers(r, false);
    router_request_move(r, ROUTER_HEAD);
    if (router_stored_elsewhere(r)) {
        router_attempt_count(r, ROUTER_ENGINE_REFUSED);
        go_elsewhere(r, &r->worker);
        return;
    }
    enum router_failure what = router_retry_failure_of(reply->status);
    bool fits = router_migration_answers(r, events);
    bool unloaded = reply->status == 500 && r->prefill;
    if (unloaded && without_its_prompt(r)) return;
    if (what != ROUTER_FAILURE_NONE && !unloaded) {
        failed(r, what);
    } else if (!fits) {
        router_attempt_count(r, ROUTER_ENGINE_REFUSED);
        router_request_break(r, ROUTER_BECAUSE_REFUSED);
    }
}

static void on_data(void *ctx, struct evbuffer *bytes) {
    struct router_request *r = ctx;
    switch (relay_data(r, bytes)) {
    case ROUTER_KEPT_NO_MEMORY:
        no_memory(r);
        break;
    case ROUTER_KEPT_ABORTED:
        failed_so(r, ROUTER_FAILURE_BROKEN, ROUTER_MIGRATION_ABORTED);
        break;
    case ROUTER_KEPT_ERROR:
        if (r->state == ROUTER_HEAD && r->prefill && without_its_prompt(r)) break;
        failed_so(r, ROUTER_FAILURE_BROKEN, ROUTER_MIGRATION_ERROR);
        break;
    case ROUTER_KEPT_STOPPED:
        finishes(r, ROUTER_ENGINE_OK);
        break;
    case ROUTER_KEPT_GOOD:
        break;
    }
}

static void on_end(void *ctx) {
    struct router_request *r = ctx;
    r->call = NULL;
    if (r->kept && r->kept->by && !r->kept->done) {
        if (!finishes(r, ROUTER_ENGINE_OK)) failed(r, ROUTER_FAILURE_BROKEN);
        return;
    }
    if (r->reply->status < 300 && !router_stream_complete(&r->stream)) {
        failed(r, ROUTER_FAILURE_BROKEN);
        return;
    }
    bool aborted = r->reply->status < 300 && router_stream_aborted(&r->stream);
    router_attempt_count(r, aborted                  ? ROUTER_ENGINE_CUT
                            : r->reply->status < 400 ? ROUTER_ENGINE_OK
                                                     : ROUTER_ENGINE_REFUSED);
    router_failure_heard(r, kvr_clock_us());
    if (aborted)
        router_failure_aborted(r);
    else if (r->reply->status < 300)
        router_failure_answers(r, true);
    end_relay(r);
}

static void on_failed(void *ctx, enum h1_failure why) {
    struct router_request *r = ctx;
    r->call = NULL;
    failed(r, router_failure_of_call(why));
}

static void start_call(struct router_request *r) {
    static const struct h1_callbacks port = {on_head, on_data, on_end, on_failed};
    char path[ROUTER_MAX_TARGET + 8];
    bool wrong = false;
    const struct h1_head *h = &r->x->h1.head;
    struct evbuffer *body = r->outgoing ? r->outgoing : r->x->h1.body;
    if (h->method != H1_POST && !evbuffer_get_length(body)) body = NULL;
    struct h1_request request = {.address = r->address,
                                 .method = h->method == H1_HEAD ? "GET" : h->verb,
                                 .path = router_outgoing_target(r, path, sizeof path),
                                 .headers = r->headers,
                                 .body = body,
                                 .fresh = r->fresh};
    router_spans_call(r);
    r->x->h1.on_room = on_room;
    r->call = h1_call_start(r->proxy->router->upstream, &request, &port, r, &wrong);
    if (r->call) return;
    if (wrong)
        failed(r, ROUTER_FAILURE_CONNECT);
    else
        no_memory(r);
}

static void on_detokenized(struct router_request *r, enum router_detokenized how,
                           enum h1_failure why) {
    switch (how) {
    case ROUTER_DETOKENIZED_WELL:
        router_request_move(r, ROUTER_SEND);
        break;
    case ROUTER_DETOKENIZED_NOT:
        router_request_break(r, ROUTER_BECAUSE_TEXT);
        break;
    case ROUTER_DETOKENIZED_FAILED:
        on_failed(r, why);
        break;
    case ROUTER_DETOKENIZED_NO_MEMORY:
        no_memory(r);
        break;
    }
}

void router_attempt_enter(struct router_request *r) {
    router_headers_set_rank(r->headers, r->headers_size, r->rank, "");
    if (router_detokenize_is_due(r)) {
        router_detokenize_ask(r, on_detokenized);
        return;
    }
    if (!router_migration_send(r))
        router_request_break(r, ROUTER_BECAUSE_ENGINE);
    else if (!router_outgoing_make(r))
        no_memory(r);
    else
        start_call(r);
}
