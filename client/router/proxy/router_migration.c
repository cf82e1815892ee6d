// SPDX-License-Identifier: Apache-2.0
#include "router_migration.h"

#include <kvroute/hash.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/common/clock.h"
#include "client/router/pools/router_engine_kind.h"
#include "client/router/router_metrics.h"
#include "router_booking.h"
#include "router_choice.h"
#include "router_kept.h"
#include "router_outgoing.h"
#include "router_prefill.h"
#include "router_request.h"
#include "router_request_spans.h"

// ---- Before it breaks ----------------------------------------------------------------------------

static enum router_because hindrance_of(const struct router_request *r,
                                        const struct router_protection *how) {
    if (!r->proxy->router->config.migrate || !r->prompt.stream ||
        !router_prompt_traits[r->kind].goes_on)
        return ROUTER_BECAUSE_OFF;
    if (how->because) return how->because;
    return router_outgoing_editable(r) ? ROUTER_BECAUSE_NOTHING : ROUTER_BECAUSE_BODY;
}

bool router_migration_begin(struct router_request *r, struct router_protection *how) {
    r->because = hindrance_of(r, how);
    if (r->because) return true;
    r->kept = router_kept_new(how, &r->proxy->kept);
    return r->kept != NULL;
}

// SGLang refuses to tell a chat's ids in a stream.
static enum router_protected_by way_at(const struct router_request *r) {
    const struct router_worker *w = router_pool_worker(r->pool, router_request_worker(r));
    enum router_engine_kind kind = router_engine_kind_of(r->pool, w);
    bool chat = r->kept->how.chat;
    if (kind == ROUTER_KIND_VLLM || (kind == ROUTER_KIND_SGLANG && !chat))
        return ROUTER_PROTECTED_IDS;
    bool goes = kind == ROUTER_KIND_SGLANG && chat && r->pool->options.by_text;
    return goes && !r->kept->how.stops ? ROUTER_PROTECTED_TEXT : ROUTER_PROTECTED_NOT;
}

bool router_migration_send(struct router_request *r) {
    struct router_kept *k = r->kept;
    if (!k) return true;
    enum router_protected_by by = way_at(r);
    if (router_request_goes_on(r)) return by == k->by;
    k->total->max = r->proxy->router->config.max_kept;
    router_kept_begin(k, by);
    return true;
}

bool router_migration_answers(struct router_request *r, bool events) {
    if (!r->kept) return !router_request_goes_on(r);
    bool good = r->reply->status == 200 && events && r->reply->length < 0;
    if (!good && !router_request_goes_on(r)) {
        router_kept_give_up(r->kept, ROUTER_BECAUSE_ENGINE);
        r->kept->asked = ROUTER_PROTECTED_NOT;
    }
    return good || !router_request_goes_on(r);
}

static void say_protection(struct router_request *r, enum router_because why) {
    const char *by = r->kept && r->kept->by == ROUTER_PROTECTED_TEXT ? "text" : "ids";
    char changes[80] = "", text[160];
    if (r->kept) router_protection_changes(&r->kept->how, changes, sizeof changes);
    if (why)
        snprintf(text, sizeof text, "none; because=%s", router_because_word(why));
    else
        snprintf(text, sizeof text, "%s%s%s", by, *changes ? "; changes=" : "", changes);
    h1_exchange_header(&r->x->h1, "X-Kvroute-Protected", text);
    r->x->record.protection = why ? router_because_word(why) : by;
}

void router_migration_relay(struct router_request *r) {
    const struct router_record *record = &r->x->record;
    if (r->kept) {
        router_kept_note_cached(r->kept, record->degraded ? -1 : record->overlap,
                                r->pool->block_size);
        router_kept_take_body(r->kept, r->x->h1.body, &r->members);
        router_outgoing_drop(r); // the call has its own hold on it
    }
    enum router_because why = r->kept ? r->kept->because : r->because;
    if (why != ROUTER_BECAUSE_OFF && r->status == 200 && r->stream.events) say_protection(r, why);
}

// ---- When it breaks ------------------------------------------------------------------------------

enum router_because router_migration_hinders(const struct router_request *r) {
    const struct router_kept *k = r->kept;
    if (!k) return r->because;
    if (!k->by) return k->because;
    if (k->by == ROUTER_PROTECTED_IDS && !k->n_prompt && k->told) return ROUTER_BECAUSE_IDS;
    if (k->seams >= r->proxy->router->config.migrate) return ROUTER_BECAUSE_AGAIN;
    return router_choice_has_another(r) ? ROUTER_BECAUSE_NOTHING : ROUTER_BECAUSE_ALONE;
}

// The answer so far is a part of the prompt now, and blocks of both may be cached elsewhere. Blocks of text can't be
// made of ids: such pools choose by load.
static void count_prompt(struct router_request *r) {
    struct router_prompt_config how = router_request_prompt_config(r);
    const struct router_kept *k = r->kept;
    int64_t left = router_kept_left(k), sent = (int64_t)router_kept_sent(k);
    r->prompt.osl = r->prompt.osl > sent ? r->prompt.osl - sent : r->prompt.osl ? 1 : 0;
    if (left >= 0 && r->prompt.osl > left) r->prompt.osl = left;
    if (k->by == ROUTER_PROTECTED_TEXT) {
        r->prompt.isl += sent - r->sent_before;
        r->sent_before = sent;
        return;
    }
    int64_t osl = r->prompt.osl;
    router_prompt_free(&r->prompt);
    r->prompt.osl = osl;
    r->prompt.isl = (int64_t)k->n_sent;
    if (how.way == ROUTER_PROMPT_TEXT || !how.block_size || k->n_sent < how.block_size) return;
    r->prompt.hashes = malloc(k->n_sent / how.block_size * sizeof *r->prompt.hashes);
    if (!r->prompt.hashes) return; // a worse choice, but one
    r->prompt.n = kvr_hash_tokens(k->ids, k->n_sent, how.block_size, k->how.prompt_seed, NULL,
                                  r->prompt.hashes);
}

static void leave_engine(struct router_request *r) {
    h1_call_cancel(r->call);
    r->call = NULL;
    r->reply = NULL;
    r->tried[0] = r->worker;
    r->n_tried = 1;
    r->n_sent = 0;
    r->any = r->unpaired = r->turned_away = r->unasked = false;
    router_prefill_end(r);
    r->tries_before = r->x->record.tries;
    router_booking_leave(r);
    r->tokens_before = router_stream_tokens(&r->stream);
    r->events_before = r->stream.n_events;
}

static void end_stream(struct router_request *r, bool finish) {
    struct evbuffer *out = evbuffer_new();
    if (!out || !router_kept_finish(r->kept, finish, out)) {
        if (out) evbuffer_free(out);
        router_request_break(r, ROUTER_BECAUSE_MEMORY);
        return;
    }
    h1_exchange_data(&r->x->h1, out);
    evbuffer_free(out);
    h1_exchange_end(&router_request_end(r)->h1);
}

bool router_migration_can_finish(const struct router_request *r) {
    const struct router_kept *k = r->kept;
    if (r->state != ROUTER_RELAY || !k || !k->asked) return false;
    if (k->done) return true;
    // How much it was isn't known any more of what was given up.
    return k->finished && (k->by || !k->how.asks_usage || k->used);
}

void router_migration_finish(struct router_request *r) {
    if (r->kept->done)
        h1_exchange_end(&router_request_end(r)->h1);
    else
        end_stream(r, false);
}

void router_migration_go_on(struct router_request *r, enum router_migration_why why) {
    struct router_kept *k = r->kept;
    router_spans_continues(r, why);
    router_kept_seam(k);
    leave_engine(r);
    if (!router_kept_left(k)) {
        end_stream(r, true);
        return;
    }
    count_prompt(r);
    r->broken_us = kvr_clock_us();
    r->x->record.continued++;
    r->pool->continued[why]++;
    router_request_move(r, ROUTER_CHOOSE);
}

bool router_migration_is_due(const struct router_request *r, int64_t now) {
    const struct router_pool *p = r->pool;
    const struct router_worker *w = router_pool_worker(p, router_request_worker(r));
    if (!w || w->state != KVR_DRAINING || w->drain_left < 0) return false;
    return w->drain_left <= (now - p->seen_us) / 1000;
}
