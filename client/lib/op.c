// SPDX-License-Identifier: Apache-2.0
// Calls on their way: queued, sent, sent again, answered or given up.
//
// Order is kept: what a connection takes with it comes back to the front of the queue as it was. Only
// a call that the server asks to repeat (TRYAGAIN) waits aside while others pass it.
#include "client_impl.h"

#include <string.h>

const char *kvr_code_name(enum kvr_code code) {
    static const char *const names[] = {
        [KVR_CODE_OK] = "OK",
        [KVR_CODE_NOPOOL] = "NOPOOL",
        [KVR_CODE_WRONGTYPE] = "WRONGTYPE",
        [KVR_CODE_NOWORKER] = "NOWORKER",
        [KVR_CODE_GAP] = "GAP",
        [KVR_CODE_STALE] = "STALE",
        [KVR_CODE_NOPARENT] = "NOPARENT",
        [KVR_CODE_BADCHAIN] = "BADCHAIN",
        [KVR_CODE_OOM] = "OOM",
        [KVR_CODE_DENIED] = "DENIED",
        [KVR_CODE_REFUSED] = "REFUSED",
        [KVR_CODE_TIMEOUT] = "TIMEOUT",
        [KVR_CODE_INVALID] = "INVALID",
        [KVR_CODE_FULL] = "FULL",
        [KVR_CODE_NOMEM] = "NOMEM",
        [KVR_CODE_PROTOCOL] = "PROTOCOL",
        [KVR_CODE_CLOSED] = "CLOSED",
    };
    size_t i = (size_t)code;
    return i < sizeof names / sizeof *names && names[i] ? names[i] : "UNKNOWN";
}

struct kvr_result result_of(enum kvr_code code, const char *message) {
    return (struct kvr_result){.code = code, .message = message, .number = -1};
}

struct op *op_new(struct kvr_client *c, enum op_kind kind, int64_t deadline, kvr_done *done,
                  void *ctx) {
    struct op *o = kvr_alloc_zeroed(&c->alloc, sizeof *o);
    if (!o) return NULL;
    kvr_list_init(&o->in);
    o->client = c;
    o->kind = kind;
    o->done = done;
    o->ctx = ctx;
    o->deadline =
        deadline == NEVER ? NEVER : clock_ms() + (deadline ? deadline : c->where.deadline);
    return o;
}

void op_free(struct op *o) {
    live_drop(o->live);
    kvr_alloc_free(&o->client->alloc, o->command.base);
    kvr_alloc_free(&o->client->alloc, o);
}

void op_answer(struct op *o, struct kvr_result *r) {
    struct kvr_client *c = o->client;
    r->sendings = o->sendings;
    c->pending--;
    if (r->degraded) c->stats.degraded++;
    if (r->code == KVR_CODE_TIMEOUT) c->stats.timeouts++;
    o->answered = true;
    if (!o->done) return;
    c->depth++;
    o->done(o->ctx, r);
    c->depth--;
}

// ---- Sending -------------------------------------------------------------------------------------

static void op_reply(redisAsyncContext *ac, void *reply, void *ctx);

static void ignore_reply(redisAsyncContext *ac, void *reply, void *ctx) {
    (void)ctx;
    link_heard(ac->data, reply, clock_ms());
}

static bool send_op(struct op *o) {
    static const char asking[] = "*1\r\n$6\r\nASKING\r\n";
    struct kvr_client *c = o->client;
    if (c->finder.asking && link_send(&c->primary, asking, sizeof asking - 1, ignore_reply, NULL))
        return false;
    if (link_send(&c->primary, o->command.at, o->command.n, op_reply, o)) return false;
    client_wake(c, c->primary.heard + c->where.timeout); // by then it must have said something
    o->sendings++;
    c->stats.sendings++;
    c->sent_count++;
    c->sent_bytes += o->command.n;
    c->unwritten_count++;
    c->unwritten_bytes += o->command.n;
    kvr_list_push(&c->sent, &o->in);
    return true;
}

static bool has_room(const struct kvr_client *c) {
    return c->stage == STAGE_READY && link_usable(&c->primary) && c->sent_count < SENT_COUNT &&
           (c->sent_bytes < SENT_BYTES || !c->sent_count);
}

void op_pump(struct kvr_client *c, int64_t now) {
    (void)now;
    while (has_room(c) && !kvr_list_empty(&c->queue)) {
        struct op *o = (struct op *)(void *)kvr_list_pop(&c->queue);
        if (send_op(o)) continue;
        kvr_list_unshift(&c->queue, &o->in);
        link_doom(&c->primary, "sending failed");
    }
}

// When it is to be given up. Once there has been no primary for so long, a degrading handle doesn't
// let anybody wait.
static int64_t due_at(const struct op *o) {
    const struct kvr_client *c = o->client;
    if (o->deadline == NEVER || !c->degrade || c->stage == STAGE_READY) return o->deadline;
    int64_t at = c->down_since + c->where.deadline;
    return at < o->deadline ? at : o->deadline;
}

// Of a burst the server gets the first part while the rest is being put together. Not from within
// hiredis, which may be about to write, or to free the connection.
static void write_early(struct kvr_client *c) {
    if (c->unwritten_count < EARLY_COUNT && c->unwritten_bytes < EARLY_BYTES) return;
    if (c->depth || c->in_tick || !link_usable(&c->primary)) return;
    c->unwritten_count = c->unwritten_bytes = 0;
    redisAsyncHandleWrite(c->primary.ac);
}

enum kvr_code op_submit(struct op *o) {
    struct kvr_client *c = o->client;
    c->pending++;
    c->stats.calls++;
    kvr_list_push(&c->queue, &o->in);
    if (kvr_list_first(&c->queue) == &o->in) op_pump(c, 0);
    write_early(c);
    int64_t due = due_at(o);
    if (due < c->next_deadline) c->next_deadline = due;
    client_wake(c, c->next_deadline);
    return KVR_CODE_OK;
}

// ---- Replies -------------------------------------------------------------------------------------

static void come_back(struct op *o) {
    if (o->answered)
        op_free(o);
    else
        kvr_list_push(&o->client->returned, &o->in);
}

static void send_later(struct op *o, int64_t now) {
    o->not_before = now + AGAIN; // the same for all, so that they stay in order
    kvr_list_push(&o->client->later, &o->in);
    client_wake(o->client, o->not_before);
}

static const enum answer_form forms[] = {
    [OP_SELECT] = ANSWER_CHOICE,       [OP_SCORE] = ANSWER_SCORES,
    [OP_UPDATE] = ANSWER_INTEGER,      [OP_UPDATE_CLAIM] = ANSWER_INTEGER,
    [OP_RELEASE] = ANSWER_INTEGER,     [OP_CLAIM] = ANSWER_INTEGER,
    [OP_WORKER_SET] = ANSWER_INTEGER,  [OP_WORKER_DEL] = ANSWER_INTEGER,
    [OP_WORKER_LIST] = ANSWER_WORKERS, [OP_EVENT] = ANSWER_INTEGER,
    [OP_INFO] = ANSWER_FIELDS,         [OP_REPORT] = ANSWER_CIRCUIT,
};

// Whether what there was may still be coming back after a loss: the workers that we knew, the pool.
static bool recovering(const struct op *o, enum kvr_code code, int64_t now) {
    const struct kvr_client *c = o->client;
    if (!c->lost_at || now - c->lost_at >= RECOVERING) return false;
    if (code == KVR_CODE_NOPOOL || o->kind == OP_UPDATE_CLAIM) return true;
    if (code != KVR_CODE_NOWORKER) return false;
    if (o->kind == OP_CLAIM) return instance_find(&c->memory, o->worker, o->rank) != NULL;
    return o->kind == OP_SELECT && !kvr_list_empty(&c->memory.instances);
}

static void pool_is_gone(struct kvr_client *c) {
    if (c->create) {
        repair_create_pool(c);
    } else if (c->version >= 0) { // it was there
        c->version = -1;
        client_history_lost(c);
    }
}

// An error that isn't for the caller: what is to be done about it. false: it is for the caller.
static bool bear(struct op *o, const redisReply *r, const struct answer_error *e, int64_t now) {
    struct kvr_client *c = o->client;
    enum answer_action action = e->action;
    if (e->code == KVR_CODE_NOPOOL) pool_is_gone(c);
    if (action == ANSWER_TELL && !o->answered &&
        (recovering(o, e->code, now) || (e->code == KVR_CODE_NOPOOL && c->create)))
        action = ANSWER_LATER;
    o->borne = e;
    switch (action) {
    case ANSWER_TELL:
        return false;
    case ANSWER_LATER:
        if (o->answered)
            op_free(o);
        else
            send_later(o, now);
        return true;
    case ANSWER_MOVED:
    case ANSWER_ASK:
        if (c->where.kind != TOPOLOGY_CLUSTER) return false;
        find_redirect(c, r->str, r->len, action == ANSWER_ASK);
        break;
    case ANSWER_ELSEWHERE:
        break;
    }
    link_doom(&c->primary, e->message);
    come_back(o);
    return true;
}

static void op_reply(redisAsyncContext *ac, void *reply, void *ctx) {
    struct op *o = ctx;
    struct kvr_client *c = o->client;
    const redisReply *r = reply;
    int64_t now = clock_ms();
    (void)ac;
    kvr_list_remove(&o->in);
    c->sent_count--;
    c->sent_bytes -= o->command.n;
    c->unwritten_count = c->unwritten_bytes = 0; // it has been round the loop since
    if (!link_heard(&c->primary, reply, now)) {
        come_back(o);
        return;
    }
    struct kvr_result result = result_of(KVR_CODE_OK, "");
    if (r->type == REDIS_REPLY_ERROR) {
        const struct answer_error *e = answer_error(r->str, r->len);
        if (bear(o, r, e, now)) return;
        result = result_of(e->action == ANSWER_TELL ? e->code : KVR_CODE_REFUSED, e->message);
        if (e->code == KVR_CODE_GAP || e->code == KVR_CODE_STALE)
            result.number = answer_number(r->str, r->len);
    } else if (!o->answered) {
        struct kvr_arena *a = o->blocking ? &c->kept : &c->passing;
        kvr_arena_empty(a);
        result.code = answer_read(forms[o->kind], r, a, &result);
        if (result.code != KVR_CODE_OK) result.message = "the answer can't be read";
    }
    if (forms[o->kind] <= ANSWER_CHOICE) c->finder.failures = 0; // a write: all is well
    if (!o->answered) {
        if (!call_answered(o, &result)) return;
        op_answer(o, &result);
    }
    op_free(o);
    op_pump(c, now);
}

void op_connection_lost(struct kvr_client *c) {
    kvr_list_splice(&c->queue, &c->returned);
}

// ---- Giving up -----------------------------------------------------------------------------------

static void take_due(struct kvr_list_item *from, struct kvr_list_item *due, int64_t now) {
    for (struct kvr_list_item *i = from->next, *next; i != from; i = next) {
        struct op *o = (struct op *)(void *)i;
        next = i->next;
        if (o->answered || due_at(o) > now) continue;
        kvr_list_remove(i);
        kvr_list_push(due, i);
    }
}

static void give_up(struct op *o, bool sent) {
    struct kvr_client *c = o->client;
    struct kvr_result r =
        result_of(c->stage != STAGE_READY && c->denied ? KVR_CODE_DENIED : KVR_CODE_TIMEOUT,
                  c->stage != STAGE_READY ? c->why : "no answer in time");
    call_given_up(o, &r);
    op_answer(o, &r);
    if (sent)
        kvr_list_push(&c->sent, &o->in); // its reply is still to come
    else
        op_free(o);
}

static void earliest(struct kvr_client *c, const struct kvr_list_item *list) {
    for (const struct kvr_list_item *i = list->next; i != list; i = i->next) {
        const struct op *o = (const struct op *)(const void *)i;
        int64_t at = o->answered ? NEVER : due_at(o);
        if (at < c->next_deadline) c->next_deadline = at;
    }
}

void op_expire(struct kvr_client *c, int64_t now) {
    struct kvr_list_item due, sent_due;
    kvr_list_init(&due);
    kvr_list_init(&sent_due);
    for (struct kvr_list_item *i = c->later.next, *next; i != &c->later; i = next) {
        next = i->next;
        if (((struct op *)(void *)i)->not_before > now) continue;
        kvr_list_remove(i);
        kvr_list_push(&c->queue, i);
    }
    // While there is no primary the earliest deadline may have moved closer without a call.
    if (now < c->next_deadline && !(c->degrade && c->stage != STAGE_READY)) return;
    take_due(&c->queue, &due, now);
    take_due(&c->later, &due, now);
    take_due(&c->sent, &sent_due, now);
    for (struct kvr_list_item *i; (i = kvr_list_pop(&due));)
        give_up((struct op *)(void *)i, false);
    for (struct kvr_list_item *i; (i = kvr_list_pop(&sent_due));)
        give_up((struct op *)(void *)i, true);
    c->next_deadline = NEVER;
    earliest(c, &c->queue);
    earliest(c, &c->later);
    earliest(c, &c->sent);
}

void op_close_all(struct kvr_client *c) {
    struct kvr_list_item *lists[] = {&c->queue, &c->later, &c->returned, &c->sent};
    for (size_t k = 0; k < sizeof lists / sizeof *lists; k++) {
        for (struct kvr_list_item *i; (i = kvr_list_pop(lists[k]));) {
            struct op *o = (struct op *)(void *)i;
            struct kvr_result r = result_of(KVR_CODE_CLOSED, "the handle was closed");
            if (!o->answered) {
                call_given_up(o, &r);
                op_answer(o, &r);
            }
            op_free(o);
        }
    }
}
