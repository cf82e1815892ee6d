// SPDX-License-Identifier: Apache-2.0
// What an engine has for others to pull; see mock_transfer.h.
#include <string.h>

#include "mock_engine.h"
#include "mock_life.h"
#include "mock_memory.h"
#include "mock_reply.h"
#include "mock_transfer.h"

enum offer_state {
    OFFER_EXPECTED,
    OFFER_PEER,
    OFFER_COMPUTING,
    OFFER_READY,
    OFFER_SENDING,
    N_OFFER_STATES
};

struct mock_offer {
    struct kvr_list_item item; // first: of the engine's offers
    struct mock_transfers *all;
    enum offer_state state;
    char *key;
    int rank; // of the pull that expects it; -1: any
    struct mock_scheduler *engine;
    struct mock_job *job; // from READY on
    size_t tokens;        // of it
    size_t asked;         // by the pull
    struct h1_exchange *pull;
    struct event *timer;
    const struct mock_offer_calls *calls;
    void *ctx;
};

static void on_timer(evutil_socket_t fd, short what, void *ctx);

static struct mock_offer *offer_at(struct kvr_list_item *i) {
    return (struct mock_offer *)i;
}

static struct mock_offer *new_offer(struct mock_transfers *t, const char *key, int rank,
                                    enum offer_state state) {
    struct mock_offer *o = mock_take(1, sizeof *o);
    *o = (struct mock_offer){.all = t, .state = state, .key = mock_copy_text(key), .rank = rank};
    o->timer = evtimer_new(t->mock->base, on_timer, o);
    kvr_list_push(&t->offers, &o->item);
    return o;
}

static void free_offer(struct mock_offer *o) {
    kvr_list_remove(&o->item);
    event_free(o->timer);
    if (o->job) mock_scheduler_cancel(o->engine, o->job);
    free(o->key);
    free(o);
}

static void wait_ms(struct mock_offer *o, double ms) {
    struct timeval t = {.tv_sec = (time_t)(ms / 1000)};
    t.tv_usec = (suseconds_t)((ms - (double)t.tv_sec * 1000) * 1000);
    event_add(o->timer, &t);
}

static void answer_pull(struct mock_offer *o, int status, const char *text) {
    struct h1_exchange *x = o->pull;
    o->pull = NULL;
    if (!x) return;
    if (status == 200)
        mock_reply_json(x, 200, json_pack("{s:I}", "tokens", (json_int_t)o->asked));
    else
        mock_reply_error(x, status, "%s", text);
}

// Its request, if that still goes on, is told last: it may end the process's whole turn.
static void end_offer(struct mock_offer *o, const char *failed) {
    const struct mock_offer_calls *calls = o->calls;
    void *ctx = o->ctx;
    answer_pull(o, failed ? 408 : 200, failed);
    free_offer(o);
    if (calls) calls->over(ctx, failed);
}

static void begin_sending(struct mock_offer *o) {
    const struct mock_options *options = o->all->mock->options;
    o->state = OFFER_SENDING;
    event_del(o->timer);
    if (!o->all->hangs) wait_ms(o, mock_transfer_seconds(options, o->asked) * 1000);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx) {
    struct mock_offer *o = ctx;
    (void)fd;
    (void)what;
    switch (o->state) {
    case OFFER_SENDING:
        o->all->sent++;
        o->all->sent_tokens += o->asked;
        end_offer(o, NULL);
        return;
    case OFFER_EXPECTED:
        end_offer(o, "Timeout waiting for P side ready");
        return;
    case OFFER_PEER:
        o->all->expired++;
        end_offer(o, "handshake failed: nobody pulls");
        return;
    default:
        o->all->expired++;
        end_offer(o, "transfer failed: nobody pulls");
    }
}

// ---- The request ---------------------------------------------------------------------------------

static struct mock_offer *find(const struct mock_transfers *t, const char *key, int rank) {
    for (struct kvr_list_item *i = t->offers.next; i != &t->offers; i = i->next) {
        struct mock_offer *o = offer_at(i);
        if (strcmp(o->key, key) == 0 && (rank < 0 || o->rank < 0 || o->rank == rank)) return o;
    }
    return NULL;
}

struct mock_offer *mock_offer_new(struct mock_transfers *t, const char *key, size_t rank,
                                  const struct mock_offer_calls *calls, void *ctx) {
    struct mock_offer *o = find(t, key, (int)rank);
    if (!o || o->state != OFFER_EXPECTED) o = new_offer(t, key, (int)rank, OFFER_PEER);
    o->rank = (int)rank;
    o->calls = calls;
    o->ctx = ctx;
    event_del(o->timer);
    if (o->pull || !calls)
        o->state = OFFER_COMPUTING;
    else
        wait_ms(o, (double)t->mock->options->kv_timeout_ms);
    return o;
}

bool mock_offer_has_peer(const struct mock_offer *o) {
    return o->state != OFFER_PEER;
}

static void wait_for_pull(struct mock_offer *o) {
    const struct mock_options *options = o->all->mock->options;
    bool lease = options->kv == MOCK_KV_NIXL;
    o->state = OFFER_READY;
    wait_ms(o, (double)(lease ? options->kv_lease_ms : options->kv_timeout_ms));
}

void mock_offer_ready(struct mock_offer *o, struct mock_scheduler *e, struct mock_job *job,
                      size_t tokens) {
    o->engine = e;
    o->job = job;
    o->tokens = tokens;
    if (o->pull)
        begin_sending(o);
    else
        wait_for_pull(o);
}

// Whoever waits for it isn't told: it goes on waiting, as with real engines.
void mock_offer_drop(struct mock_offer *o) {
    o->all->dropped++;
    o->calls = NULL;
    if (!o->pull) {
        free_offer(o);
        return;
    }
    if (o->job) mock_scheduler_cancel(o->engine, o->job);
    o->job = NULL;
    o->state = OFFER_EXPECTED;
    event_del(o->timer);
    wait_ms(o, (double)o->all->mock->options->kv_timeout_ms);
}

// ---- The pull ------------------------------------------------------------------------------------

static void on_pull_gone(struct h1_exchange *x) {
    struct mock_offer *o = x->arg;
    o->pull = NULL;
    if (o->state == OFFER_EXPECTED)
        free_offer(o);
    else if (o->state == OFFER_SENDING)
        wait_for_pull(o);
}

static void attach(struct mock_offer *o, struct h1_exchange *x, size_t asked) {
    bool waited = o->state == OFFER_PEER;
    o->pull = x;
    o->asked = asked;
    x->arg = o;
    x->on_gone = on_pull_gone;
    mock_engine_answering(o->all->mock, x);
    if (o->state == OFFER_EXPECTED) {
        wait_ms(o, (double)o->all->mock->options->kv_timeout_ms);
    } else if (o->state == OFFER_READY) {
        begin_sending(o);
    } else if (waited) {
        event_del(o->timer);
        o->state = OFFER_COMPUTING;
        o->calls->peer(o->ctx);
    }
}

void mock_serve_pull(struct mock_engine *m, struct h1_exchange *x) {
    struct mock_transfers *t = &m->transfers;
    json_t *body = mock_body_object(x);
    if (!body) return;
    const char *key = NULL, *engine_id = NULL;
    json_int_t rank = -1, tokens = 0, size = 0;
    int waits = 0;
    if (json_unpack(body, "{s:s,s:s,s:I,s:I,s:I,s:b}", "key", &key, "engine_id", &engine_id, "rank",
                    &rank, "tokens", &tokens, "block_size", &size, "waits", &waits) != 0) {
        mock_reply_error(x, 400, "what is to be pulled?");
        json_decref(body);
        return;
    }
    // SGLang: who brings no hint means the rank that the room's number says.
    if (m->options->kv == MOCK_KV_SGLANG && rank < 0 && strlen(key) > 5)
        rank = (json_int_t)(strtoull(key + 5, NULL, 10) % m->options->ranks);
    struct mock_offer *o = find(t, key, (int)rank);
    bool known = !*engine_id || mock_engine_has_id(m, engine_id);
    if (size != (json_int_t)m->options->engine.block_size)
        mock_reply_error(x, 409, "the page sizes differ");
    else if (!known)
        mock_reply_error(x, 404, "no such engine: it may have been started again");
    else if ((!o && !waits) || (o && o->pull))
        mock_reply_error(x, 404, "no such blocks, or not any more");
    else
        attach(o ? o : new_offer(t, key, (int)rank, OFFER_EXPECTED), x, (size_t)tokens);
    json_decref(body);
}

// A lease runs for two thirds of its whole length from now on, or longer.
void mock_serve_renew(struct mock_engine *m, struct h1_exchange *x) {
    json_t *body = mock_body_object(x);
    if (!body) return;
    const char *key = json_string_value(json_object_get(body, "key"));
    struct mock_offer *o = key ? find(&m->transfers, key, -1) : NULL;
    if (o && o->state == OFFER_READY) {
        struct timeval end, now;
        double more = (double)m->options->kv_lease_ms * 2 / 3, left = 0;
        event_base_gettimeofday_cached(m->base, &now);
        if (evtimer_pending(o->timer, &end))
            left = (double)(end.tv_sec - now.tv_sec) * 1000 +
                   (double)(end.tv_usec - now.tv_usec) / 1000;
        if (left < more) wait_ms(o, more);
        m->transfers.renewed++;
    }
    mock_reply_json(x, 200, json_pack("{s:b}", "known", o != NULL));
    json_decref(body);
}

// ---- All of them ---------------------------------------------------------------------------------

void mock_transfers_forget(struct mock_transfers *t) {
    for (struct kvr_list_item *i = t->offers.next, *next; i != &t->offers; i = next) {
        next = i->next;
        struct mock_offer *o = offer_at(i);
        if (o->calls || (o->state != OFFER_READY && o->state != OFFER_SENDING)) continue;
        answer_pull(o, 404, "no such blocks, or not any more");
        free_offer(o);
    }
}

void mock_transfers_hang(struct mock_transfers *t, bool hangs) {
    t->hangs = hangs;
    for (struct kvr_list_item *i = t->offers.next; i != &t->offers; i = i->next)
        if (offer_at(i)->state == OFFER_SENDING) begin_sending(offer_at(i));
}

json_t *mock_offers_describe(const struct mock_transfers *t) {
    static const char *const names[N_OFFER_STATES] = {
        [OFFER_EXPECTED] = "expected", [OFFER_PEER] = "peer",       [OFFER_COMPUTING] = "computing",
        [OFFER_READY] = "ready",       [OFFER_SENDING] = "sending",
    };
    json_int_t n[N_OFFER_STATES] = {0};
    json_t *out = json_object();
    for (struct kvr_list_item *i = t->offers.next; i != &t->offers; i = i->next)
        n[offer_at(i)->state]++;
    for (size_t i = 0; i < N_OFFER_STATES; i++)
        json_object_set_new(out, names[i], json_integer(n[i]));
    return out;
}

void mock_offers_free(struct mock_transfers *t) {
    for (struct kvr_list_item *i; (i = kvr_list_first(&t->offers));)
        free_offer(offer_at(i));
}
