// SPDX-License-Identifier: Apache-2.0
#include "operation.h"

#include <assert.h>

#include "client/common/clock.h"
#include "result.h"

enum {
    MAX_SENT = 4096,          // calls under way on the connection
    MAX_SENT_BYTES = 1 << 20, // of these; hiredis moves what is unwritten at every write
    EARLY_COUNT = 64,         // calls, or
    EARLY_BYTES = 65536,      // bytes that are written without waiting for the loop
    TRYAGAIN_PAUSE = 20,      // ms until a call that was answered TRYAGAIN goes again
};

// ---- States --------------------------------------------------------------------------------------

#define BIT(state) (1u << KVR_OPERATION_##state)
static const unsigned may_follow[KVR_OPERATION_STATES] = {
    [KVR_OPERATION_NEW] = BIT(QUEUED) | BIT(OVER),
    [KVR_OPERATION_QUEUED] = BIT(SENT) | BIT(OVER),
    [KVR_OPERATION_SENT] = BIT(REPLIED) | BIT(ABANDONED),
    [KVR_OPERATION_ABANDONED] = BIT(REPLIED),
    [KVR_OPERATION_REPLIED] = BIT(OVER) | BIT(WAITING) | BIT(RETURNED) | BIT(QUEUED),
    [KVR_OPERATION_WAITING] = BIT(QUEUED) | BIT(OVER),
    [KVR_OPERATION_RETURNED] = BIT(QUEUED) | BIT(OVER),
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

void kvr_calls_init(struct kvr_calls *c) {
    for (size_t i = 0; i < KVR_OPERATION_STATES; i++)
        kvr_list_init(&c->lists[i]);
    c->next_deadline = KVR_NEVER;
    kvr_arena_init(&c->passing, &c->context->alloc);
    kvr_arena_init(&c->kept, &c->context->alloc);
}

void kvr_calls_free(struct kvr_calls *c) {
    kvr_arena_free(&c->passing);
    kvr_arena_free(&c->kept);
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

// Tells the caller. It may call anything meanwhile but what would end the handle here and now.
static void answer(struct kvr_operation *o, struct kvr_result *r) {
    struct kvr_context *context = o->calls->context;
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

static bool send(struct kvr_operation *o) {
    static const char asking[] = "*1\r\n$6\r\nASKING\r\n";
    struct kvr_calls *c = o->calls;
    struct kvr_connection *primary = &c->transport->primary;
    if (c->transport->discovery.asking &&
        kvr_connection_send(primary, asking, sizeof asking - 1, ignore_reply, NULL))
        return false;
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
    if (o->deadline == KVR_NEVER || !c->degrade || kvr_transport_ready(t)) return o->deadline;
    int64_t at = t->down_since + t->topology.deadline;
    return at < o->deadline ? at : o->deadline;
}

void kvr_operation_submit(struct kvr_operation *o) {
    struct kvr_calls *c = o->calls;
    int64_t due = due_at(o);
    c->pending++;
    c->context->stats.calls++;
    move(o, KVR_OPERATION_QUEUED);
    if (c->lists[KVR_OPERATION_QUEUED].next == &o->in) kvr_calls_pump(c);
    write_early(c);
    if (due < c->next_deadline) c->next_deadline = due;
    kvr_context_wake(c->context, c->next_deadline);
}

static void queue_first(struct kvr_operation *o) {
    move(o, KVR_OPERATION_QUEUED);
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

// ---- Replies -------------------------------------------------------------------------------------

static const enum kvr_result_form forms[] = {
    [KVR_CALL_SELECT] = KVR_REPLY_IS_CHOICE,       [KVR_CALL_SCORE] = KVR_REPLY_IS_SCORES,
    [KVR_CALL_UPDATE] = KVR_REPLY_IS_INTEGER,      [KVR_CALL_UPDATE_CLAIM] = KVR_REPLY_IS_INTEGER,
    [KVR_CALL_RELEASE] = KVR_REPLY_IS_INTEGER,     [KVR_CALL_CLAIM] = KVR_REPLY_IS_INTEGER,
    [KVR_CALL_WORKER_SET] = KVR_REPLY_IS_INTEGER,  [KVR_CALL_WORKER_DEL] = KVR_REPLY_IS_INTEGER,
    [KVR_CALL_WORKER_LIST] = KVR_REPLY_IS_WORKERS, [KVR_CALL_EVENT] = KVR_REPLY_IS_INTEGER,
    [KVR_CALL_INFO] = KVR_REPLY_IS_FIELDS,         [KVR_CALL_REPORT] = KVR_REPLY_IS_CIRCUIT,
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
        send_again(o, KVR_OPERATION_RETURNED, now);
        return;
    }
    struct kvr_result result = kvr_result_of(KVR_CODE_OK, "");
    if (r->type == REDIS_REPLY_ERROR) {
        const struct kvr_reply_error *e = kvr_reply_error_of(r->str, r->len);
        if (retry(o, r, e, now)) return;
        result =
            kvr_result_of(e->action == KVR_REPLY_FINAL ? e->code : KVR_CODE_REFUSED, e->message);
        if (e->code == KVR_CODE_GAP || e->code == KVR_CODE_STALE)
            result.number = kvr_reply_number(r->str, r->len);
    } else if (!o->answered) {
        struct kvr_arena *a = o->blocking ? &c->kept : &c->passing;
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
    while (!kvr_list_empty(list))
        queue_first(operation_of(list->prev));
}

// ---- Giving up -----------------------------------------------------------------------------------

static const unsigned char unanswered[] = {KVR_OPERATION_QUEUED, KVR_OPERATION_WAITING,
                                           KVR_OPERATION_SENT, KVR_OPERATION_RETURNED};
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
    return at < c->next_deadline ? at : c->next_deadline;
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
