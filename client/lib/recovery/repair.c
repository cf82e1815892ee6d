// SPDX-License-Identifier: Apache-2.0
#include "repair.h"

#include <string.h>

#include "client/common/clock.h"
#include "client/lib/calls/encode.h"

enum {
    MAX_PAUSE = 1000, // ms between two tries to book a request back, or to release
    UNPAIR_AFTER = 3, // failures: workers that are still coming back should have done so
    ROUND = 5000,     // ms between two rounds when nothing is known to be wrong
};

// Takes over the command, if there is one.
static bool send_command(struct kvr_recovery *rec, bool encoded, struct kvr_command *command,
                         redisCallbackFn *fn, void *ctx) {
    if (!encoded) return false;
    bool sent = !kvr_connection_send(&rec->transport->primary, command->at, command->n, fn, ctx);
    kvr_command_release(&rec->context->alloc, command);
    rec->looks += sent;
    return sent;
}

static bool send(struct kvr_recovery *rec, struct kvr_wire *w, redisCallbackFn *fn, void *ctx) {
    struct kvr_command command;
    bool encoded = kvr_wire_end(w, &command);
    return send_command(rec, encoded, &command, fn, ctx);
}

// The reply to what was sent; NULL when it is none, or one that only the transport is to hear.
static const redisReply *take(struct kvr_recovery *rec, redisAsyncContext *ac, void *reply) {
    rec->looks--;
    kvr_recovery_soon(rec);
    if (!kvr_connection_received(ac->data, reply, kvr_clock_ms())) return NULL;
    const redisReply *r = reply;
    if (r->type != REDIS_REPLY_ERROR) return r;
    const struct kvr_reply_error *e = kvr_reply_error_of(r->str, r->len);
    if (e->action == KVR_REPLY_FINAL || e->action == KVR_REPLY_LATER) return r;
    kvr_transport_redirect(rec->transport, r->str, r->len, e);
    return NULL;
}

// ms until what has failed so often before is tried again.
static int64_t pause_after(struct kvr_recovery *rec, unsigned failures) {
    int64_t wait = KVR_BACKOFF * 2;
    for (unsigned i = 0; i < failures && wait < MAX_PAUSE; i++)
        wait *= 2;
    return kvr_context_jitter(rec->context, wait < MAX_PAUSE ? wait : MAX_PAUSE);
}

// ---- The pool ------------------------------------------------------------------------------------

static void create_reply(redisAsyncContext *ac, void *reply, void *ctx) {
    struct kvr_recovery *rec = ctx;
    const redisReply *r = take(rec, ac, reply);
    rec->creating = false;
    if (!r) return;
    bool refused = r->type == REDIS_REPLY_ERROR && strncmp(r->str, "EXISTS", 6) != 0;
    // The server's own words: they tell which option is wrong.
    if (refused && !rec->uncreated)
        kvr_context_log(rec->context, KVR_LOG_ERROR,
                        "the pool can't be created: %.100s (options: %s)", r->str, rec->create);
    rec->uncreated = refused;
    if (!refused && rec->version < 0)
        rec->version = 0; // it is there; a handle that never chooses learns no more of it
}

void kvr_repair_create_pool(struct kvr_recovery *rec) {
    struct kvr_wire w;
    if (rec->creating) return;
    kvr_encode_begin(&w, rec->context, "KVROUTE.CREATE");
    kvr_wire_words(&w, rec->create);
    rec->creating = send(rec, &w, create_reply, rec);
    if (!rec->uncreated)
        kvr_context_log(rec->context, KVR_LOG_WARNING, "the pool isn't there: creating it");
    // One that was there and is gone, other than at the very first, took everything with it.
    if (rec->version >= 0) kvr_recovery_history_lost(rec);
    rec->version = -1;
}

// ---- Workers and releases ------------------------------------------------------------------------

static void worker_reply(redisAsyncContext *ac, void *reply, void *ctx) {
    struct kvr_registration *g = ctx;
    struct kvr_recovery *rec = g->set->owner;
    const redisReply *r = take(rec, ac, reply);
    struct kvr_confirmation *lists = &g->set->lists;
    bool done = r && (r->type == REDIS_REPLY_INTEGER ||
                      kvr_reply_error_of(r->str, r->len)->code == KVR_CODE_REFUSED);
    g->looks--;
    if (done) g->whole_in = g->set->history;
    kvr_registration_move(g, done ? &lists->confirmed : &lists->waiting);
    if (r && !done) rec->repair_at = kvr_clock_ms() + KVR_MAX_BACKOFF;
}

static bool send_worker(struct kvr_recovery *rec, struct kvr_registration *g) {
    struct kvr_wire w;
    kvr_wire_begin(&w, &rec->context->alloc);
    kvr_encode_registration(&w, rec->context->pool, &g->said, g->deleted);
    if (!send(rec, &w, worker_reply, g)) return false;
    g->looks++;
    kvr_registration_move(g, &g->set->lists.checking);
    return true;
}

static void release_reply(redisAsyncContext *ac, void *reply, void *ctx) {
    struct kvr_released *g = ctx;
    struct kvr_recovery *rec = g->memory->owner;
    struct kvr_client_stats *stats = &rec->context->stats;
    const redisReply *r = take(rec, ac, reply);
    const struct kvr_reply_error *e =
        r && r->type == REDIS_REPLY_ERROR ? kvr_reply_error_of(r->str, r->len) : NULL;
    // What is refused now perhaps won't be later, or by the next primary. Without a pool, or with something
    // else under its key, there is nothing to be released.
    bool over = e && (e->code == KVR_CODE_NOPOOL || e->code == KVR_CODE_WRONGTYPE);
    bool refused = e && !over, done = r && !refused;
    if (r && r->type == REDIS_REPLY_INTEGER && r->integer && g->acknowledged) {
        stats->lost++; // it had come to life again
        stats->repaired++;
    }
    if (refused && rec->release_at <= kvr_clock_ms())
        rec->release_at = kvr_clock_ms() + pause_after(rec, rec->release_failures++);
    if (done) {
        rec->release_failures = 0;
        g->acknowledged = true;
    }
    kvr_released_move(g, done ? &rec->memory.released.confirmed : &rec->memory.released.waiting);
    kvr_released_look_ended(g);
}

static bool send_release(struct kvr_recovery *rec, struct kvr_released *g) {
    struct kvr_wire w;
    kvr_encode_begin(&w, rec->context, "KVROUTE.RELEASE");
    kvr_wire_bytes(&w, g->item.key);
    if (!send(rec, &w, release_reply, g)) return false;
    g->looks++;
    kvr_released_move(g, &rec->memory.released.checking);
    return true;
}

// ---- Requests ------------------------------------------------------------------------------------

static void ignored_reply(redisAsyncContext *ac, void *reply, void *ctx) {
    take(ctx, ac, reply);
}

static bool is_refused(const redisReply *r) {
    return r->type == REDIS_REPLY_ERROR &&
           kvr_reply_error_of(r->str, r->len)->code == KVR_CODE_REFUSED;
}

static bool is_no_worker(const redisReply *r) {
    return r->type == REDIS_REPLY_ERROR &&
           kvr_reply_error_of(r->str, r->len)->code == KVR_CODE_NOWORKER;
}

static void put_off(struct kvr_recovery *rec, struct kvr_live *l) {
    l->retry_at = kvr_clock_ms() + pause_after(rec, l->failures++);
    kvr_live_move(l, &rec->memory.live.waiting);
}

static void claim_reply(redisAsyncContext *ac, void *reply, void *ctx) {
    struct kvr_live *l = ctx;
    struct kvr_recovery *rec = l->memory->owner;
    const redisReply *r = take(rec, ac, reply);
    bool booked = r && r->type == REDIS_REPLY_INTEGER && r->integer == 1;
    bool live_already = r && r->type == REDIS_REPLY_INTEGER && !booked;
    if (booked) rec->context->stats.repaired++;
    if (l->gone) {
        // Its owner's RELEASE is behind this CLAIM on the same connection, or waits in memory.
    } else if (booked || (live_already && !l->chosen_here)) {
        l->failures = 0;
        l->chosen_here = false;
        kvr_live_move(l, &rec->memory.live.confirmed);
    } else if (r && is_refused(r) && kvr_live_simplify(l)) {
        kvr_live_move(l, &rec->memory.live.waiting); // the class may be gone: at once, without it
    } else if (r) {
        // Who computed its prompt may be gone for good: then it goes on without.
        if (is_no_worker(r) && l->failures >= UNPAIR_AFTER) kvr_live_unpair(l);
        put_off(rec, l);
    } else {
        kvr_live_move(l, &rec->memory.live.waiting);
    }
    kvr_live_look_ended(l);
}

// l is being looked at by the caller.
static bool send_claim(struct kvr_recovery *rec, struct kvr_live *l, bool release_first) {
    struct kvr_command claim;
    struct kvr_wire w;
    if (release_first) {
        kvr_encode_begin(&w, rec->context, "KVROUTE.RELEASE");
        kvr_wire_bytes(&w, l->item.key);
        if (!send(rec, &w, ignored_reply, rec)) return false;
    }
    bool encoded = kvr_encode_booking(rec->context, l->item.key, l->at->worker, l->at->rank,
                                      &l->booking, &claim);
    if (!send_command(rec, encoded, &claim, claim_reply, l)) return false;
    l->looks++;
    kvr_live_move(l, &rec->memory.live.checking);
    return true;
}

static bool is_where_told(const redisReply *r, const struct kvr_live *l) {
    const redisReply *worker = kvr_reply_field(r, "worker"), *rank = kvr_reply_field(r, "rank");
    return worker && rank && worker->type == REDIS_REPLY_STRING &&
           rank->type == REDIS_REPLY_INTEGER && rank->integer == l->at->rank &&
           worker->len == l->at->worker.n && !memcmp(worker->str, l->at->worker.p, worker->len);
}

static void look_reply(redisAsyncContext *ac, void *reply, void *ctx) {
    struct kvr_live *l = ctx;
    struct kvr_recovery *rec = l->memory->owner;
    const redisReply *r = take(rec, ac, reply);
    if (!l->gone) {
        if (!r) {
            kvr_live_move(l, &rec->memory.live.waiting);
        } else if (r->type == REDIS_REPLY_ARRAY && is_where_told(r, l)) {
            l->failures = 0;
            kvr_live_move(l, &rec->memory.live.confirmed);
        } else {
            // Not there, or elsewhere; or we may not ask, and CLAIM alone must do.
            if (r->type == REDIS_REPLY_NIL || r->type == REDIS_REPLY_ARRAY)
                rec->context->stats.lost++;
            // One that still waits there may be admitted, to anywhere, before the CLAIM comes: it doesn't wait
            // any more then.
            bool release_first = r->type == REDIS_REPLY_ARRAY ||
                                 (r->type == REDIS_REPLY_NIL && l->booking.may_have_waited);
            if (!send_claim(rec, l, release_first)) put_off(rec, l);
        }
    }
    kvr_live_look_ended(l);
}

// What was said of it goes before the question: so the answer to that tells that it has arrived, too. Above all that its
// owner has come for it, without which it would end soon.
static bool send_check(struct kvr_recovery *rec, struct kvr_live *l) {
    const struct kvr_booked_request *b = &l->booking;
    struct kvr_wire w;
    if (b->prefilled || b->output || b->lease || b->may_have_waited) {
        kvr_encode_begin(&w, rec->context, "KVROUTE.UPDATE");
        kvr_wire_bytes(&w, l->item.key);
        kvr_encode_progress(&w, b);
        if (!send(rec, &w, ignored_reply, rec)) return false;
    }
    kvr_wire_begin(&w, &rec->context->alloc);
    kvr_wire_words(&w, "KVROUTE.REQUEST GET");
    kvr_wire_word(&w, rec->context->pool);
    kvr_wire_bytes(&w, l->item.key);
    if (!send(rec, &w, look_reply, l)) return false;
    l->looks++;
    kvr_live_move(l, &rec->memory.live.checking);
    return true;
}

// ---- The round -----------------------------------------------------------------------------------

// Requests that nobody speaks of any more: the pool has let them go when their lease ended.
static void forget_silent(struct kvr_recovery *rec, int64_t now) {
    for (struct kvr_list_item *i; (i = kvr_list_first(&rec->memory.live.confirmed));) {
        struct kvr_live *l = (struct kvr_live *)(void *)i;
        int64_t lease = l->booking.lease ? l->booking.lease : rec->lease;
        if (lease <= 0 || now - l->said_at < 2 * lease + KVR_LEASE_MARGIN) return;
        kvr_live_forget(l);
        rec->context->stats.forgotten++;
    }
}

void kvr_repair_step(struct kvr_recovery *rec, int64_t now) {
    struct kvr_list_item *workers = &rec->memory.workers.lists.waiting,
                         *released = &rec->memory.released.waiting,
                         *live = &rec->memory.live.waiting;
    if (rec->repair_at > now) return;
    rec->repair_at = now + ROUND; // also the next try, should memory be short now
    forget_silent(rec, now);
    if (now >= rec->forget_at) { // it looks at all of them
        rec->forget_at = now + ROUND;
        kvr_registrations_forget_silent(&rec->memory.workers, now);
    }
    while (rec->looks < KVR_MAX_CHECKS && !kvr_list_empty(workers))
        if (!send_worker(rec, (struct kvr_registration *)(void *)workers->next)) return;
    if (rec->release_at > now && !kvr_list_empty(released)) rec->repair_at = rec->release_at;
    while (rec->looks < KVR_MAX_CHECKS && rec->release_at <= now && !kvr_list_empty(released))
        if (!send_release(rec, (struct kvr_released *)(void *)released->next)) return;
    for (struct kvr_list_item *i = live->next, *next; rec->looks < KVR_MAX_CHECKS && i != live;
         i = next) {
        struct kvr_live *l = (struct kvr_live *)(void *)i;
        next = i->next;
        if (l->retry_at > now) {
            if (l->retry_at < rec->repair_at) rec->repair_at = l->retry_at;
            continue;
        }
        if (!(l->chosen_here ? send_claim(rec, l, true) : send_check(rec, l))) return;
    }
}
