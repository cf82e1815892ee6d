// SPDX-License-Identifier: Apache-2.0
// Putting back what the present history lacks.
//
// Everything that waits (memory.h) is looked at, CHECKS at a time:
//   a worker     what was said of it is said again;
//   a release    is sent again, and with pauses once more while the user may not;
//   a request    is asked for (REQUEST GET), and told its progress (UPDATE). Where the pool has it on
//                the instance that its caller was told, it is confirmed. Where it has none, CLAIM
//                books it back; where it has another, RELEASE and CLAIM set that right.
// A request that was chosen without a primary may have been booked elsewhere by a SELECT that came
// through late: RELEASE and CLAIM at once, and again if the CLAIM finds it live.
//
// Nothing of this is an op: a look that the connection takes with it goes back to waiting, and is done
// anew with the next primary.
#include <stdio.h>
#include <string.h>

#include "client_impl.h"

enum {
    MAX_DELAY = 1000, // ms between two tries to book a request back, or to release
    ROUND = 5000,     // ms between two rounds when nothing is known to be wrong
};

static void soon(struct kvr_client *c) {
    c->repair_at = 0;
    client_wake(c, 0);
}

bool repair_done(const struct kvr_client *c) {
    const struct memory *m = &c->memory;
    const struct memory_lists *lists[] = {&m->live, &m->released, &m->registered};
    if (c->tell_followers) return false;
    for (size_t i = 0; i < 3; i++)
        if (!kvr_list_empty(&lists[i]->waiting) || !kvr_list_empty(&lists[i]->checking))
            return false;
    return true;
}

static bool send(struct kvr_client *c, struct wire *w, redisCallbackFn *fn, void *ctx) {
    struct command command;
    if (!wire_end(w, &command)) return false;
    bool sent = !link_send(&c->primary, command.at, command.n, fn, ctx);
    kvr_alloc_free(&c->alloc, command.base);
    c->looks += sent;
    return sent;
}

static void begin(struct wire *w, struct kvr_client *c, const char *words) {
    wire_begin(w, &c->alloc);
    wire_words(w, words);
    wire_word(w, c->pool);
}

// The handle of a connection, as its replies see it; NULL when the reply is none.
static const redisReply *take(redisAsyncContext *ac, void *reply, struct kvr_client **c) {
    struct link *l = ac->data;
    *c = l->owner;
    (*c)->looks--;
    soon(*c);
    if (!link_heard(l, reply, clock_ms())) return NULL;
    const redisReply *r = reply;
    if (r->type == REDIS_REPLY_ERROR) {
        const struct answer_error *e = answer_error(r->str, r->len);
        if (e->action == ANSWER_TELL || e->action == ANSWER_LATER) return r;
        if (e->action != ANSWER_ELSEWHERE)
            find_redirect(*c, r->str, r->len, e->action == ANSWER_ASK);
        link_doom(l, e->message);
        return NULL;
    }
    return r;
}

// ms until what has failed so often before is tried again.
static int64_t pause_after(struct kvr_client *c, unsigned failures) {
    int64_t wait = BACKOFF_FIRST * 2;
    for (unsigned i = 0; i < failures && wait < MAX_DELAY; i++)
        wait *= 2;
    return client_jitter(c, wait < MAX_DELAY ? wait : MAX_DELAY);
}

// ---- The pool ------------------------------------------------------------------------------------

static void created(redisAsyncContext *ac, void *reply, void *ctx) {
    struct kvr_client *c;
    (void)ctx;
    const redisReply *r = take(ac, reply, &c);
    c->creating = false;
    if (!r) return;
    if (r->type == REDIS_REPLY_ERROR && strncmp(r->str, "EXISTS", 6) != 0)
        handle_log(c, KVR_LOG_ERROR, "the pool can't be created: %s",
                   answer_error(r->str, r->len)->message);
}

void repair_create_pool(struct kvr_client *c) {
    struct wire w;
    if (c->creating) return;
    begin(&w, c, "KVROUTE.CREATE");
    wire_words(&w, c->create);
    c->creating = send(c, &w, created, NULL);
    handle_log(c, KVR_LOG_WARNING, "the pool isn't there: creating it");
    // One that was there and is gone, other than at the very first, took everything with it.
    if (c->version >= 0) client_history_lost(c);
    c->version = -1;
}

// ---- Workers and releases ------------------------------------------------------------------------

static void worker_said(redisAsyncContext *ac, void *reply, void *ctx) {
    struct registered *g = ctx;
    struct kvr_client *c;
    const redisReply *r = take(ac, reply, &c);
    bool done = r && (r->type == REDIS_REPLY_INTEGER ||
                      answer_error(r->str, r->len)->code == KVR_CODE_REFUSED);
    g->looks--;
    registered_move(g, done ? &c->memory.registered.confirmed : &c->memory.registered.waiting);
    if (r && !done) c->repair_at = clock_ms() + BACKOFF_MOST;
}

static bool say_worker(struct kvr_client *c, struct registered *g) {
    struct wire w;
    wire_begin(&w, &c->alloc);
    call_encode_worker(&w, c->pool, &g->said, g->deleted);
    if (!send(c, &w, worker_said, g)) return false;
    g->looks++;
    registered_move(g, &c->memory.registered.checking);
    return true;
}

static void release_said(redisAsyncContext *ac, void *reply, void *ctx) {
    struct released *g = ctx;
    struct kvr_client *c;
    const redisReply *r = take(ac, reply, &c);
    const struct answer_error *e =
        r && r->type == REDIS_REPLY_ERROR ? answer_error(r->str, r->len) : NULL;
    // What is refused now perhaps won't be later, or by the next primary. Without a pool, or with something
    // else under its key, there is nothing to be released.
    bool over = e && (e->code == KVR_CODE_NOPOOL || e->code == KVR_CODE_WRONGTYPE);
    bool refused = e && !over, done = r && !refused;
    if (r && r->type == REDIS_REPLY_INTEGER && r->integer && g->acknowledged) {
        c->stats.lost++; // it had come to life again
        c->stats.repaired++;
    }
    if (refused && c->release_at <= clock_ms())
        c->release_at = clock_ms() + pause_after(c, c->release_failures++);
    if (done) {
        c->release_failures = 0;
        g->acknowledged = true;
    }
    released_move(g, done ? &c->memory.released.confirmed : &c->memory.released.waiting);
    released_look_ended(g);
}

static bool say_release(struct kvr_client *c, struct released *g) {
    struct wire w;
    begin(&w, c, "KVROUTE.RELEASE");
    wire_bytes(&w, g->item.key);
    if (!send(c, &w, release_said, g)) return false;
    g->looks++;
    released_move(g, &c->memory.released.checking);
    return true;
}

// ---- Requests ------------------------------------------------------------------------------------

static void ignored(redisAsyncContext *ac, void *reply, void *ctx) {
    struct kvr_client *c;
    (void)ctx;
    take(ac, reply, &c);
}

static void put_off(struct kvr_client *c, struct live *l) {
    l->retry_at = clock_ms() + pause_after(c, l->failures++);
    live_move(l, &c->memory.live.waiting);
}

static void claimed(redisAsyncContext *ac, void *reply, void *ctx) {
    struct live *l = ctx;
    struct kvr_client *c;
    const redisReply *r = take(ac, reply, &c);
    bool booked = r && r->type == REDIS_REPLY_INTEGER && r->integer == 1;
    bool live_already = r && r->type == REDIS_REPLY_INTEGER && !booked;
    if (booked) c->stats.repaired++;
    if (l->gone) {
        // Its owner's RELEASE is behind this CLAIM on the same connection, or waits in memory.
    } else if (booked || (live_already && !l->chosen_here)) {
        l->failures = 0;
        l->chosen_here = false;
        live_move(l, &c->memory.live.confirmed);
    } else if (r) {
        put_off(c, l);
    } else {
        live_move(l, &c->memory.live.waiting);
    }
    live_look_ended(l);
}

// l is being looked at by the caller.
static bool claim(struct kvr_client *c, struct live *l, bool release_first) {
    struct command command;
    struct wire w;
    if (release_first) {
        begin(&w, c, "KVROUTE.RELEASE");
        wire_bytes(&w, l->item.key);
        if (!send(c, &w, ignored, NULL)) return false;
    }
    if (!call_encode_claim(c, l, &command)) return false;
    bool sent = !link_send(&c->primary, command.at, command.n, claimed, l);
    kvr_alloc_free(&c->alloc, command.base);
    if (!sent) return false;
    c->looks++;
    l->looks++;
    live_move(l, &c->memory.live.checking);
    return true;
}

static bool is_where_told(const redisReply *r, const struct live *l) {
    const redisReply *worker = answer_field(r, "worker"), *rank = answer_field(r, "rank");
    return worker && rank && worker->type == REDIS_REPLY_STRING &&
           rank->type == REDIS_REPLY_INTEGER && rank->integer == l->at->rank &&
           worker->len == l->at->worker.n && !memcmp(worker->str, l->at->worker.p, worker->len);
}

static void looked(redisAsyncContext *ac, void *reply, void *ctx) {
    struct live *l = ctx;
    struct kvr_client *c;
    const redisReply *r = take(ac, reply, &c);
    if (!l->gone) {
        if (!r) {
            live_move(l, &c->memory.live.waiting);
        } else if (r->type == REDIS_REPLY_ARRAY && is_where_told(r, l)) {
            l->failures = 0;
            live_move(l, &c->memory.live.confirmed);
        } else {
            // Not there, or elsewhere; or we may not ask, and CLAIM alone must do.
            if (r->type == REDIS_REPLY_NIL || r->type == REDIS_REPLY_ARRAY) c->stats.lost++;
            if (!claim(c, l, r->type == REDIS_REPLY_ARRAY)) put_off(c, l);
        }
    }
    live_look_ended(l);
}

static bool look(struct kvr_client *c, struct live *l) {
    struct wire w;
    begin(&w, c, "KVROUTE.REQUEST GET");
    wire_bytes(&w, l->item.key);
    if (!send(c, &w, looked, l)) return false;
    l->looks++;
    live_move(l, &c->memory.live.checking);
    if (!l->prefilled && !l->output && !l->lease) return true;
    begin(&w, c, "KVROUTE.UPDATE");
    wire_bytes(&w, l->item.key);
    if (l->prefilled) wire_word(&w, "PREFILLED");
    if (l->output) {
        wire_word(&w, "OUTPUT");
        wire_int(&w, l->output);
    }
    if (l->lease) {
        wire_word(&w, "LEASE");
        wire_int(&w, l->lease == KVR_NO_LEASE ? 0 : l->lease);
    }
    send(c, &w, ignored, NULL);
    return true;
}

// ---- The round -----------------------------------------------------------------------------------

// Requests that nobody speaks of any more: the pool has let them go when their lease ended.
static void forget_silent(struct kvr_client *c, int64_t now) {
    for (struct kvr_list_item *i; (i = kvr_list_first(&c->memory.live.confirmed));) {
        struct live *l = (struct live *)(void *)i;
        int64_t lease = l->lease ? l->lease : c->lease;
        if (lease <= 0 || now - l->word_at < 2 * lease + SILENCE) return;
        live_forget(l);
        c->stats.forgotten++;
    }
}

void repair_step(struct kvr_client *c, int64_t now) {
    struct memory *m = &c->memory;
    if (c->repair_at > now) return;
    c->repair_at = now + ROUND; // also the next try, should memory be short now
    forget_silent(c, now);
    if (now >= c->forget_at) { // it looks at all of them
        c->forget_at = now + ROUND;
        registered_forget_silent(m, now);
    }
    while (c->looks < CHECKS && !kvr_list_empty(&m->registered.waiting))
        if (!say_worker(c, (struct registered *)(void *)m->registered.waiting.next)) return;
    if (c->release_at > now && !kvr_list_empty(&m->released.waiting)) c->repair_at = c->release_at;
    while (c->looks < CHECKS && c->release_at <= now && !kvr_list_empty(&m->released.waiting))
        if (!say_release(c, (struct released *)(void *)m->released.waiting.next)) return;
    for (struct kvr_list_item *i = m->live.waiting.next, *next;
         c->looks < CHECKS && i != &m->live.waiting; i = next) {
        struct live *l = (struct live *)(void *)i;
        next = i->next;
        if (l->retry_at > now) {
            if (l->retry_at < c->repair_at) c->repair_at = l->retry_at;
            continue;
        }
        if (!(l->chosen_here ? claim(c, l, true) : look(c, l))) return;
    }
}
