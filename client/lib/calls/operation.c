// SPDX-License-Identifier: Apache-2.0
#include "operation.h"

#include <assert.h>

#include "client/common/clock.h"
#include "result.h"

enum {
    MAX_SENT = 4096,          // calls under way on the connection
    MAX_SENT_BYTES = 1 << 20, // of these; hiredis moves what is unwritten at every write
    EARLY_COUNT = 64,         // calls, or
    EARLY_BYTES = 16384,      // bytes, as many as Redis reads at once, that don't wait for the loop
    TRYAGAIN_PAUSE = 20,      // ms until a call that was answered TRYAGAIN goes again
    COME_BACK = 1000,         // ms after which to come back, where the pool doesn't know
    MAX_WITHDRAWN = 1000,     // ids in a RELEASE when the handle is closed
};

// ---- States --------------------------------------------------------------------------------------

#define BIT(state) (1u << KVR_OPERATION_##state)
static const unsigned may_follow[KVR_OPERATION_STATES] = {
    [KVR_OPERATION_NEW] = BIT(QUEUED) | BIT(OVER),
    [KVR_OPERATION_QUEUED] = BIT(SENT) | BIT(OVER),
    [KVR_OPERATION_SENT] = BIT(REPLIED) | BIT(ABANDONED),
    [KVR_OPERATION_ABANDONED] = BIT(REPLIED),
    [KVR_OPERATION_REPLIED] = BIT(OVER) | BIT(WAITING) | BIT(RETURNED) | BIT(QUEUED) | BIT(PARKED),
    [KVR_OPERATION_WAITING] = BIT(QUEUED) | BIT(OVER),
    [KVR_OPERATION_PARKED] = BIT(QUEUED) | BIT(OVER),
    [KVR_OPERATION_RETURNED] = BIT(QUEUED) | BIT(OVER) | BIT(PARKED),
};
#undef BIT

static struct kvr_operation *operation_of(struct kvr_list_item *i) {
    return (struct kvr_operation *)(void *)i;
}

static bool is_on_the_wire(enum kvr_operation_state state) {
    return state == KVR_OPERATION_SENT || state == KVR_OPERATION_ABANDONED;
}

// The only place where an op changes its state, and where it is freed.
static void move(struct kvr_operation *o, enum kvr_operation_state to) {
    struct kvr_calls *c = o->calls;
    assert(may_follow[o->state] & 1u << to);
    (void)may_follow; // only builds for tests look
    if (is_on_the_wire(o->state) != is_on_the_wire(to)) {
        c->sent_count += is_on_the_wire(to) ? 1 : (size_t)-1;
        c->sent_bytes += is_on_the_wire(to) ? o->command.n : -o->command.n;
    }
    if (o->state == KVR_OPERATION_PARKED) kvr_parked_remove(&c->parked, &o->wait);
    if (to == KVR_OPERATION_PARKED) kvr_parked_add(&c->parked, &o->wait);
    kvr_list_remove(&o->in);
    o->state = to;
    if (to != KVR_OPERATION_OVER) {
        kvr_list_push(&c->lists[to], &o->in);
        return;
    }
    kvr_command_release(&c->context->alloc, &o->command);
    kvr_alloc_free(&c->context->alloc, o->reserved);
    kvr_alloc_free(&c->context->alloc, o);
}

static void admission_told(void *ctx, struct kvr_bytes id);
static void all_ask(void *ctx);

int kvr_calls_init(struct kvr_calls *c, uint64_t secret) {
    for (size_t i = 0; i < KVR_OPERATION_STATES; i++)
        kvr_list_init(&c->lists[i]);
    c->next_deadline = KVR_NEVER;
    kvr_arena_init(&c->passing, &c->context->alloc);
    kvr_arena_init(&c->kept, &c->context->alloc);
    c->transport->subscription.events =
        (struct kvr_subscription_events){c, all_ask, admission_told};
    return kvr_parked_init(&c->parked, &c->context->alloc, secret);
}

void kvr_calls_free(struct kvr_calls *c) {
    kvr_arena_free(&c->passing);
    kvr_arena_free(&c->kept);
    kvr_parked_free(&c->parked);
}

struct kvr_operation *kvr_operation_new(struct kvr_calls *c, enum kvr_operation_kind kind,
                                        int64_t deadline, kvr_done *done, void *ctx) {
    struct kvr_operation *o = kvr_alloc_zeroed(&c->context->alloc, sizeof *o);
    if (!o) return NULL;
    kvr_list_init(&o->in);
    o->calls = c;
    o->kind = kind;
    o->done = done;
    o->ctx = ctx;
    o->deadline = deadline == KVR_NEVER
                      ? KVR_NEVER
                      : kvr_clock_ms() + (deadline ? deadline : c->transport->topology.deadline);
    return o;
}

void kvr_operation_discard(struct kvr_operation *o) {
    move(o, KVR_OPERATION_OVER);
}

// Whoever waited doesn't any more.
static void end_wait(struct kvr_operation *o, const struct kvr_result *r) {
    struct kvr_parked *p = &o->calls->parked;
    if (o->wait.waits && r->code == KVR_CODE_OK && !r->degraded) o->calls->context->stats.waited++;
    kvr_parked_leave(p, &o->wait);
    kvr_subscription_need(&o->calls->transport->subscription, p->waiting > 0);
}

// Tells the caller. It may call anything meanwhile but what would end the handle here and now.
static void answer(struct kvr_operation *o, struct kvr_result *r) {
    struct kvr_context *context = o->calls->context;
    if (o->wait.ended) *r = kvr_result_of(KVR_CODE_RELEASED, "released while it waited for room");
    if (o->wait.ms) end_wait(o, r);
    r->sendings = o->sendings;
    o->calls->pending--;
    if (r->degraded) context->stats.degraded++;
    if (r->code == KVR_CODE_TIMEOUT) context->stats.timeouts++;
    o->answered = true;
    if (!o->done) return;
    context->callbacks++;
    o->done(o->ctx, r);
    context->callbacks--;
}

// ---- Sending -------------------------------------------------------------------------------------

static void take_reply(redisAsyncContext *ac, void *reply, void *ctx);

static void ignore_reply(redisAsyncContext *ac, void *reply, void *ctx) {
    (void)ctx;
    kvr_connection_received(ac->data, reply, kvr_clock_ms());
}

static bool send_asking(struct kvr_calls *c) {
    static const char asking[] = "*1\r\n$6\r\nASKING\r\n";
    return !c->transport->discovery.asking ||
           !kvr_connection_send(&c->transport->primary, asking, sizeof asking - 1, ignore_reply,
                                NULL);
}

// What a call that may wait asks this time. false: it can't be sent.
static bool put_wait(struct kvr_operation *o) {
    struct kvr_calls *c = o->calls;
    struct kvr_command release;
    kvr_parked_prepare(&c->parked, &o->wait, &o->command, c->transport->subscription.channel,
                       kvr_clock_ms());
    if (o->wait.stage != KVR_WAIT_PART) return true;
    if (!kvr_parked_withdraw(&c->parked, c->context->pool, &o->wait.line, &release, 1))
        return false;
    bool sent = send_asking(c) && !kvr_connection_send(&c->transport->primary, release.at,
                                                       release.n, ignore_reply, NULL);
    kvr_command_release(&c->context->alloc, &release);
    return sent;
}

static bool send(struct kvr_operation *o) {
    struct kvr_calls *c = o->calls;
    struct kvr_connection *primary = &c->transport->primary;
    if (o->wait.ms && !put_wait(o)) return false;
    if (!send_asking(c)) return false;
    if (kvr_connection_send(primary, o->command.at, o->command.n, take_reply, o)) return false;
    // By then the server must have answered.
    kvr_context_wake(c->context, primary->received_at + c->transport->topology.timeout);
    o->sendings++;
    c->context->stats.sendings++;
    c->unwritten_count++;
    c->unwritten_bytes += o->command.n;
    move(o, KVR_OPERATION_SENT);
    return true;
}

static bool has_room(const struct kvr_calls *c) {
    return kvr_transport_ready(c->transport) && kvr_connection_usable(&c->transport->primary) &&
           c->sent_count < MAX_SENT && (c->sent_bytes < MAX_SENT_BYTES || !c->sent_count);
}

void kvr_calls_pump(struct kvr_calls *c) {
    struct kvr_list_item *queue = &c->lists[KVR_OPERATION_QUEUED];
    while (has_room(c) && !kvr_list_empty(queue))
        if (!send(operation_of(queue->next)))
            kvr_connection_fail(&c->transport->primary, "sending failed");
}

void kvr_calls_write(struct kvr_calls *c) {
    if (!kvr_connection_usable(&c->transport->primary)) return;
    c->unwritten_count = c->unwritten_bytes = 0;
    redisAsyncHandleWrite(c->transport->primary.ac);
}

// Of a burst the server gets the first part while the rest is being put together. Not from within
// hiredis, which may be about to write, or to free the connection.
static void write_early(struct kvr_calls *c) {
    if (c->unwritten_count < EARLY_COUNT && c->unwritten_bytes < EARLY_BYTES) return;
    if (!c->context->callbacks && !c->context->in_tick) kvr_calls_write(c);
}

// When it is to be given up. Once there has been no primary for so long, a degrading handle doesn't
// let anybody wait.
static int64_t due_at(const struct kvr_operation *o) {
    const struct kvr_calls *c = o->calls;
    const struct kvr_transport *t = c->transport;
    int64_t deadline = o->deadline;
    if (o->wait.ended) return 0;
    // The pool lets it wait: as long as there is a primary, that is all that it waits for.
    if (o->state == KVR_OPERATION_PARKED && o->wait.fresh)
        deadline = kvr_transport_ready(t) ? KVR_NEVER : t->down_since + o->wait.patience;
    if (deadline == KVR_NEVER || !c->degrade || kvr_transport_ready(t)) return deadline;
    int64_t at = t->down_since + t->topology.deadline;
    return at < deadline ? at : deadline;
}

void kvr_operation_submit(struct kvr_operation *o) {
    struct kvr_calls *c = o->calls;
    int64_t due = due_at(o);
    c->pending++;
    c->context->stats.calls++;
    if (o->wait.ms) kvr_parked_join(&c->parked, &o->wait, o->id);
    move(o, KVR_OPERATION_QUEUED);
    if (c->lists[KVR_OPERATION_QUEUED].next == &o->in) kvr_calls_pump(c);
    write_early(c);
    if (due < c->next_deadline) c->next_deadline = due;
    kvr_context_wake(c->context, c->next_deadline);
}

static void queue_first(struct kvr_operation *o) {
    if (o->state != KVR_OPERATION_QUEUED) move(o, KVR_OPERATION_QUEUED);
    kvr_list_remove(&o->in);
    kvr_list_unshift(&o->calls->lists[KVR_OPERATION_QUEUED], &o->in);
}

void kvr_operation_continue(struct kvr_operation *o, enum kvr_operation_kind kind,
                            const struct kvr_command *command) {
    struct kvr_calls *c = o->calls;
    kvr_command_release(&c->context->alloc, &o->command);
    o->command = *command;
    o->id = (struct kvr_bytes){"", 0}; // it was in the command before
    o->kind = kind;
    queue_first(o);
    kvr_context_wake(c->context, 0);
}

// ---- Waiting for room ----------------------------------------------------------------------------

static struct kvr_operation *operation_of_wait(struct kvr_parked_call *w) {
    return (struct kvr_operation *)(void *)((char *)w - offsetof(struct kvr_operation, wait));
}

// A silence begins with the first sending that nothing was answered to. One that was released has been, in the
// pool: asking would have it wait anew. It stays where it is until the tick, which answers it.
static void ask_again(struct kvr_operation *o, bool first) {
    struct kvr_calls *c = o->calls;
    struct kvr_parked_call *w = &o->wait;
    if (w->ended) return;
    if (w->fresh) o->deadline = kvr_clock_ms() + w->patience;
    if (o->deadline < c->next_deadline) c->next_deadline = o->deadline;
    w->fresh = w->told = false;
    if (first)
        queue_first(o);
    else
        move(o, KVR_OPERATION_QUEUED);
    kvr_context_wake(c->context, c->next_deadline);
}

// When a parked call is to ask.
static int64_t parked_wake_at(const struct kvr_calls *c) {
    const struct kvr_parked *p = &c->parked;
    struct kvr_list_item *next = kvr_list_first(&c->lists[KVR_OPERATION_PARKED]);
    if (!next) return KVR_NEVER;
    int64_t turn =
        kvr_parked_turn_at(p, c->transport->subscription.open, operation_of(next)->wait.asked_at);
    int64_t until = kvr_parked_first(p)->until;
    return until < turn ? until : turn;
}

// The pool has said that it waits. false: then it is refused.
static bool wait_on(struct kvr_operation *o, const struct kvr_waiting_reply *reply) {
    struct kvr_calls *c = o->calls;
    struct kvr_parked_call *w = &o->wait;
    c->transport->failures = 0;
    c->events.waits(c->events.ctx, o, reply->version);
    w->unsure = w->stage == KVR_WAIT_PART; // that can't be
    if (o->answered || !w->ms || w->stage == KVR_WAIT_PART) return false;
    if (!w->waits) {
        w->waits = true;
        c->parked.waiting++;
        kvr_subscription_need(&c->transport->subscription, true);
    }
    if (c->parked.mute && !c->parked.said_mute) {
        c->parked.said_mute = true;
        kvr_context_log(c->context, KVR_LOG_WARNING,
                        "may not be told of admissions (NOPERM on the channel): calls that wait "
                        "for room only ask from time to time");
    }
    w->fresh = true;
    move(o, KVR_OPERATION_PARKED);
    if (w->stage == KVR_WAIT_LAST) {
        w->stage = KVR_WAIT_PART;
        ask_again(o, true);
    } else if (w->told) {
        ask_again(o, false);
    }
    kvr_calls_pump(c);
    kvr_context_wake(c->context, parked_wake_at(c));
    return true;
}

// Who may select, but not name a channel, waits without.
static bool asks_unheard(struct kvr_operation *o) {
    if (!o->wait.notify || o->wait.ended || o->answered) return false;
    o->calls->parked.mute = true;
    queue_first(o);
    kvr_calls_pump(o->calls);
    return true;
}

static void admission_told(void *ctx, struct kvr_bytes id) {
    struct kvr_calls *c = ctx;
    for (struct kvr_parked_call *w = NULL; (w = kvr_parked_find(&c->parked, id, w));) {
        struct kvr_operation *o = operation_of_wait(w);
        w->told = true;
        if (o->state == KVR_OPERATION_PARKED) ask_again(o, false);
    }
    kvr_calls_pump(c);
}

// In the order in which they came, before all others: another primary is there, or news may have been missed.
static void all_ask(void *ctx) {
    struct kvr_calls *c = ctx;
    struct kvr_list_item *line = &c->parked.line;
    for (struct kvr_list_item *i = line->prev; i != line; i = i->prev) {
        struct kvr_operation *o = operation_of_wait((struct kvr_parked_call *)(void *)i);
        if (o->state == KVR_OPERATION_PARKED)
            ask_again(o, true);
        else if (o->state == KVR_OPERATION_QUEUED && o->wait.waits)
            queue_first(o);
    }
    kvr_calls_pump(c);
}

void kvr_calls_primary_ready(struct kvr_calls *c) {
    int64_t accept = c->transport->handshake.facts.accept;
    if (accept > 0) c->parked.accept = accept;
    c->parked.mute = c->parked.said_mute = false;
    all_ask(c);
}

// Whose time is over, and whose turn it is. One that was released holds up the others until the next tick.
static void take_turns(struct kvr_calls *c, int64_t now) {
    struct kvr_list_item *parked = &c->lists[KVR_OPERATION_PARKED];
    for (struct kvr_parked_call *w;
         (w = kvr_parked_first(&c->parked)) && w->until <= now && !w->ended;)
        ask_again(operation_of_wait(w), false);
    if (kvr_list_empty(parked)) return;
    struct kvr_parked_turns t = kvr_parked_turns(&c->parked, c->transport->subscription.open, now);
    while (!kvr_list_empty(parked)) {
        struct kvr_operation *o = operation_of(parked->next);
        int64_t ago = now - o->wait.asked_at;
        if (o->wait.ended || ago < t.low || (ago < t.high && !t.allowed)) break;
        if (ago < t.high) t.allowed--;
        ask_again(o, false);
    }
}

void kvr_calls_end_waiting(struct kvr_calls *c, struct kvr_bytes id) {
    for (struct kvr_parked_call *w = NULL; (w = kvr_parked_find(&c->parked, id, w));) {
        w->ended = true;
        c->next_deadline = 0;
        kvr_context_wake(c->context, 0);
    }
}

void kvr_calls_withdraw(struct kvr_calls *c) {
    struct kvr_list_item *line = &c->parked.line, *from = line->next;
    struct kvr_command release;
    while (from != line && kvr_transport_ready(c->transport)) {
        struct kvr_list_item *next = from;
        for (int n = 0; n < MAX_WITHDRAWN && next != line; n++)
            next = next->next;
        if (!kvr_parked_withdraw(&c->parked, c->context->pool, from, &release, MAX_WITHDRAWN))
            break;
        if (send_asking(c))
            kvr_connection_send(&c->transport->primary, release.at, release.n, ignore_reply, NULL);
        kvr_command_release(&c->context->alloc, &release);
        from = next;
    }
    kvr_calls_write(c);
}

// ---- Replies -------------------------------------------------------------------------------------

static int64_t come_back_in(int64_t ms) {
    return ms > 0 ? ms : COME_BACK;
}

static const enum kvr_result_form forms[] = {
    [KVR_CALL_SELECT] = KVR_REPLY_IS_CHOICE,       [KVR_CALL_SCORE] = KVR_REPLY_IS_SCORES,
    [KVR_CALL_UPDATE] = KVR_REPLY_IS_INTEGER,      [KVR_CALL_UPDATE_CLAIM] = KVR_REPLY_IS_INTEGER,
    [KVR_CALL_RELEASE] = KVR_REPLY_IS_INTEGER,     [KVR_CALL_CLAIM] = KVR_REPLY_IS_INTEGER,
    [KVR_CALL_WORKER_SET] = KVR_REPLY_IS_INTEGER,  [KVR_CALL_WORKER_DEL] = KVR_REPLY_IS_INTEGER,
    [KVR_CALL_WORKER_LIST] = KVR_REPLY_IS_WORKERS, [KVR_CALL_EVENT] = KVR_REPLY_IS_INTEGER,
    [KVR_CALL_INFO] = KVR_REPLY_IS_FIELDS,         [KVR_CALL_REPORT] = KVR_REPLY_IS_CIRCUIT,
    [KVR_CALL_SERVER] = KVR_REPLY_IS_LINES,        [KVR_CALL_CONNECTIONS] = KVR_REPLY_IS_CLIENTS,
    [KVR_CALL_QUEUE] = KVR_REPLY_IS_QUEUE,         [KVR_CALL_CLASS_SET] = KVR_REPLY_IS_INTEGER,
    [KVR_CALL_CLASS_DEL] = KVR_REPLY_IS_INTEGER,   [KVR_CALL_CLASS_LIST] = KVR_REPLY_IS_CLASSES,
    [KVR_CALL_FLOW_SET] = KVR_REPLY_IS_INTEGER,    [KVR_CALL_FLOW_DEL] = KVR_REPLY_IS_INTEGER,
    [KVR_CALL_FLOW_LIST] = KVR_REPLY_IS_FLOWS,     [KVR_CALL_EXPLAIN] = KVR_REPLY_IS_EXPLANATION,
    [KVR_CALL_POOLS] = KVR_REPLY_IS_NAMES,
};

// It is to be sent once more: here after a while, or to the next primary.
static void send_again(struct kvr_operation *o, enum kvr_operation_state to, int64_t now) {
    o->not_before = now + TRYAGAIN_PAUSE; // the same for all, so that they stay in order
    if (to == KVR_OPERATION_WAITING && !o->answered)
        kvr_context_wake(o->calls->context, o->not_before);
    move(o, o->answered ? KVR_OPERATION_OVER : to);
}

// An error that isn't for the caller: what is to be done about it. false: it is for the caller.
static bool retry(struct kvr_operation *o, const redisReply *r, const struct kvr_reply_error *e,
                  int64_t now) {
    struct kvr_calls *c = o->calls;
    const struct kvr_calls_events *on = &c->events;
    if (e->code == KVR_CODE_NOPOOL) on->pool_gone(on->ctx);
    switch (e->action) {
    case KVR_REPLY_FINAL:
        if (o->answered || !on->may_come_back(on->ctx, o, e->code, now)) return false;
        send_again(o, KVR_OPERATION_WAITING, now);
        return true;
    case KVR_REPLY_LATER:
        send_again(o, KVR_OPERATION_WAITING, now);
        return true;
    case KVR_REPLY_MOVED:
    case KVR_REPLY_ASK:
        if (c->transport->topology.kind != KVR_TOPOLOGY_CLUSTER) return false;
        break;
    case KVR_REPLY_ELSEWHERE:
        break;
    }
    kvr_transport_redirect(c->transport, r->str, r->len, e);
    send_again(o, KVR_OPERATION_RETURNED, now);
    return true;
}

static void take_reply(redisAsyncContext *ac, void *reply, void *ctx) {
    struct kvr_operation *o = ctx;
    struct kvr_calls *c = o->calls;
    const redisReply *r = reply;
    int64_t now = kvr_clock_ms();
    (void)ac;
    move(o, KVR_OPERATION_REPLIED);
    c->unwritten_count = c->unwritten_bytes = 0; // the loop has turned since
    if (!kvr_connection_received(&c->transport->primary, reply, now)) {
        o->wait.unsure = true;
        send_again(o, KVR_OPERATION_RETURNED, now);
        return;
    }
    struct kvr_result result = kvr_result_of(KVR_CODE_OK, "");
    struct kvr_arena *a = o->blocking ? &c->kept : &c->passing;
    struct kvr_waiting_reply waiting;
    if (r->type == REDIS_REPLY_ERROR) {
        const struct kvr_reply_error *e = kvr_reply_error_of(r->str, r->len);
        if (e->code == KVR_CODE_DENIED && asks_unheard(o)) return;
        if (retry(o, r, e, now)) return;
        result =
            kvr_result_of(e->action == KVR_REPLY_FINAL ? e->code : KVR_CODE_REFUSED, e->message);
        if (result.code == KVR_CODE_REFUSED && !o->answered) {
            kvr_arena_empty(a);
            const char *words = kvr_reply_words(r->str, r->len, a);
            if (words) result.message = words;
        }
        if (e->code == KVR_CODE_GAP || e->code == KVR_CODE_STALE)
            result.number = kvr_reply_number(r->str, r->len);
        if (e->code == KVR_CODE_NOROOM || e->code == KVR_CODE_LIMITED)
            result.number = come_back_in(kvr_reply_first_number(r->str, r->len));
    } else if (o->kind == KVR_CALL_SELECT && kvr_result_waits(r, &waiting)) {
        if (wait_on(o, &waiting)) return;
        result = kvr_result_of(KVR_CODE_NOROOM, "no instance has room");
        result.number = come_back_in(waiting.estimate);
    } else if (!o->answered) {
        kvr_arena_empty(a);
        result.code = kvr_result_read(forms[o->kind], r, a, &result);
        if (result.code != KVR_CODE_OK) result.message = "the answer can't be read";
    }
    if (forms[o->kind] <= KVR_REPLY_IS_CHOICE)
        c->transport->failures = 0; // the primary takes writes
    if (!o->answered) {
        if (!c->events.answered(c->events.ctx, o, &result)) return;
        answer(o, &result);
    }
    move(o, KVR_OPERATION_OVER);
    kvr_calls_pump(c);
}

void kvr_calls_connection_lost(struct kvr_calls *c) {
    struct kvr_list_item *list = &c->lists[KVR_OPERATION_RETURNED];
    while (!kvr_list_empty(list)) {
        struct kvr_operation *o = operation_of(list->prev);
        if (o->wait.waits)
            move(o, KVR_OPERATION_PARKED); // the next primary hears of all of them in their order
        else
            queue_first(o);
    }
    c->next_deadline = 0; // of parked ones it is a matter of the primary
}

// ---- Giving up -----------------------------------------------------------------------------------

static const unsigned char unanswered[] = {KVR_OPERATION_QUEUED, KVR_OPERATION_WAITING,
                                           KVR_OPERATION_SENT, KVR_OPERATION_RETURNED,
                                           KVR_OPERATION_PARKED};
enum { UNANSWERED = sizeof unanswered / sizeof *unanswered };

static void take_due(struct kvr_list_item *from, struct kvr_list_item *due, int64_t now) {
    for (struct kvr_list_item *i = from->next, *next; i != from; i = next) {
        next = i->next;
        if (due_at(operation_of(i)) > now) continue;
        kvr_list_remove(i);
        kvr_list_push(due, i);
    }
}

// Nobody waits for it any more.
static void drop_caller(struct kvr_operation *o) {
    move(o, o->state == KVR_OPERATION_SENT ? KVR_OPERATION_ABANDONED : KVR_OPERATION_OVER);
}

static void give_up(struct kvr_operation *o, struct kvr_result r) {
    const struct kvr_calls_events *on = &o->calls->events;
    on->given_up(on->ctx, o, &r);
    answer(o, &r);
    drop_caller(o);
}

void kvr_calls_expire(struct kvr_calls *c, int64_t now) {
    const struct kvr_transport *t = c->transport;
    struct kvr_list_item *waiting = &c->lists[KVR_OPERATION_WAITING], due;
    while (!kvr_list_empty(waiting) && operation_of(waiting->next)->not_before <= now)
        move(operation_of(waiting->next), KVR_OPERATION_QUEUED);
    // While there is no primary the earliest deadline may have moved closer without a call.
    bool ready = kvr_transport_ready(t);
    if (ready) take_turns(c, now);
    if (now < c->next_deadline && !(c->degrade && !ready)) return;
    kvr_list_init(&due);
    for (size_t k = 0; k < UNANSWERED; k++)
        take_due(&c->lists[unanswered[k]], &due, now);
    for (struct kvr_list_item *i; (i = kvr_list_pop(&due));)
        give_up(operation_of(i),
                kvr_result_of(!ready && t->denied ? KVR_CODE_DENIED : KVR_CODE_TIMEOUT,
                              ready ? "no answer in time" : t->why));
    c->next_deadline = KVR_NEVER;
    for (size_t k = 0; k < UNANSWERED; k++) {
        const struct kvr_list_item *list = &c->lists[unanswered[k]];
        for (struct kvr_list_item *i = list->next; i != list; i = i->next)
            if (due_at(operation_of(i)) < c->next_deadline)
                c->next_deadline = due_at(operation_of(i));
    }
}

int64_t kvr_calls_wake_at(const struct kvr_calls *c) {
    struct kvr_list_item *first = kvr_list_first(&c->lists[KVR_OPERATION_WAITING]);
    int64_t at = first ? operation_of(first)->not_before : KVR_NEVER;
    if (c->next_deadline < at) at = c->next_deadline;
    if (!kvr_transport_ready(c->transport)) return at;
    int64_t parked = parked_wake_at(c);
    return parked < at ? parked : at;
}

void kvr_calls_detach(struct kvr_calls *c, void *ctx) {
    for (size_t k = 0; k < UNANSWERED; k++) {
        struct kvr_list_item *list = &c->lists[unanswered[k]];
        for (struct kvr_list_item *i = list->next, *next; i != list; i = next) {
            struct kvr_operation *o = operation_of(i);
            next = i->next;
            if (o->answered || o->ctx != ctx) continue;
            o->answered = true;
            o->done = NULL;
            c->pending--;
            drop_caller(o);
        }
    }
}

void kvr_calls_close(struct kvr_calls *c) {
    for (size_t k = 0; k < UNANSWERED; k++)
        for (struct kvr_list_item *i; (i = kvr_list_first(&c->lists[unanswered[k]]));)
            give_up(operation_of(i), kvr_result_of(KVR_CODE_CLOSED, "the handle was closed"));
}
