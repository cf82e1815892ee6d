// SPDX-License-Identifier: Apache-2.0
#include "outcome.h"

#include <string.h>

#include "client/common/clock.h"
#include "client/lib/calls/encode.h"
#include "client/lib/calls/result.h"
#include "degrade.h"
#include "repair.h"

static const struct kvr_bytes nothing = {"", 0};

static void to_waiting(struct kvr_live *l, int64_t retry_at) {
    l->retry_at = retry_at;
    kvr_live_move(l, &l->memory->live.waiting);
}

// ---- The beginning -------------------------------------------------------------------------------

// The memory for a booking is there before anything is sent. An id that was released is used once more.
static bool begin_booking(struct kvr_recovery *rec, struct kvr_operation *o) {
    const struct kvr_alloc *a = &rec->context->alloc;
    o->reserved = a->resize(a->ctx, NULL, sizeof(struct kvr_live));
    if (!o->reserved) return false;
    struct kvr_released *over = kvr_released_find(&rec->memory, o->id);
    if (over) kvr_released_forget(over);
    return true;
}

// Remembered before it is answered: whoever books the request back says the latest.
static void begin_update(struct kvr_recovery *rec, const struct kvr_operation *o) {
    struct kvr_live *l = kvr_live_find(&rec->memory, o->id);
    if (!l) return;
    l->booking.prefilled |= o->booking.prefilled;
    if (o->booking.output > l->booking.output) l->booking.output = o->booking.output;
    if (o->booking.lease) l->booking.lease = o->booking.lease;
    l->said_at = kvr_clock_ms();
}

static void begin_release(struct kvr_recovery *rec, struct kvr_operation *o) {
    const char *at = o->ids;
    for (size_t i = 0; i < o->n_ids; i++) {
        bool was_live;
        struct kvr_bytes id = kvr_wire_next(&at);
        struct kvr_released *r = kvr_released_add(&rec->memory, id, &was_live);
        o->n_live += was_live;
        if (r) kvr_list_remove(&r->in); // in no list until the call ends
        kvr_calls_end_waiting(rec->calls, id);
    }
}

static bool begin_worker(struct kvr_recovery *rec, struct kvr_operation *o) {
    struct kvr_registrations *workers = &rec->memory.workers;
    struct kvr_registration *g =
        kvr_registration_say(workers, o->said, o->kind == KVR_CALL_WORKER_DEL);
    o->said = NULL;
    if (!g) return false;
    g->said_at = kvr_clock_ms();
    if (kvr_registration_is_whole(g))
        kvr_registration_move(g, &workers->lists.confirmed); // unless the call fails
    return true;
}

enum kvr_code kvr_outcome_begin(struct kvr_recovery *rec, struct kvr_operation *o) {
    bool done = true;
    switch (o->kind) {
    case KVR_CALL_SELECT:
    case KVR_CALL_CLAIM:
        done = begin_booking(rec, o);
        break;
    case KVR_CALL_UPDATE:
        begin_update(rec, o);
        break;
    case KVR_CALL_RELEASE:
        begin_release(rec, o);
        break;
    case KVR_CALL_WORKER_SET:
    case KVR_CALL_WORKER_DEL:
        done = begin_worker(rec, o);
        break;
    default:
        break;
    }
    if (!done) {
        kvr_operation_discard(o);
        return KVR_CODE_NOMEM;
    }
    kvr_operation_submit(o);
    return KVR_CODE_OK;
}

// ---- Booked --------------------------------------------------------------------------------------

// Remembers what SELECT or CLAIM has booked.
static void remember(struct kvr_recovery *rec, struct kvr_operation *o, struct kvr_result *r,
                     struct kvr_bytes worker, uint32_t rank, struct kvr_bytes addr,
                     bool confirmed) {
    struct kvr_released *over = kvr_released_find(&rec->memory, o->id);
    if (over) { // its caller has ended it before the answer came
        kvr_released_move(over, &rec->memory.released.waiting);
        kvr_recovery_soon(rec);
    }
    if (over || o->wait.ended) return;
    struct kvr_live *old = kvr_live_find(&rec->memory, o->id);
    if (old && old->at->rank == rank && old->at->worker.n == worker.n &&
        !memcmp(old->at->worker.p, worker.p, worker.n)) {
        old->said_at = kvr_clock_ms();
        return; // with its progress, which a new entry would lack
    }
    if (old) kvr_live_forget(old);
    if (kvr_live_keep(&rec->memory, &o->reserved, &o->command, o->id, &o->booking, worker, rank,
                      addr, confirmed, kvr_clock_ms())) {
        if (!confirmed) kvr_recovery_soon(rec);
        return;
    }
    r->unremembered = true;
    rec->context->stats.unremembered++;
}

static void version_seen(struct kvr_recovery *rec, int64_t version) {
    bool back = version < rec->version;
    rec->version = version;
    if (back) kvr_recovery_history_lost(rec); // a flush, or a restore of something old
}

static void waits(void *ctx, const struct kvr_operation *o, int64_t version) {
    (void)o;
    if (version >= 0) version_seen(ctx, version);
}

static void selected(struct kvr_recovery *rec, struct kvr_operation *o, struct kvr_result *r) {
    version_seen(rec, r->choice.version);
    o->booking.cached = r->choice.cached;
    o->booking.prefill_worker = r->choice.prefill_worker;
    o->booking.prefill_rank = r->choice.prefill_rank;
    remember(rec, o, r, r->choice.worker, r->choice.rank, r->choice.addr, true);
}

// It may be booked, but its caller has been told of no place, or of another: should the pool have it, it
// is released.
static void take_back(struct kvr_recovery *rec, const struct kvr_operation *o) {
    bool was_live;
    kvr_released_add(&rec->memory, o->id, &was_live);
    kvr_recovery_soon(rec);
}

// ---- Progress ------------------------------------------------------------------------------------

// The pool doesn't know a request that we know is live. false: the op goes on as a CLAIM.
static bool updated(struct kvr_recovery *rec, struct kvr_operation *o, struct kvr_result *r) {
    struct kvr_live *l = kvr_live_find(&rec->memory, o->id);
    if (!l) return true;
    if (r->number == 1) {
        if (!l->looks && !l->chosen_here) kvr_live_move(l, &rec->memory.live.confirmed);
        return true;
    }
    struct kvr_command claim;
    if (l->looks || l->chosen_here ||
        !kvr_encode_booking(rec->context, o->id, l->at->worker, l->at->rank, &l->booking, &claim)) {
        // It is about to be booked back, and that CLAIM says the progress, too.
        if (!l->looks) to_waiting(l, 0);
        kvr_recovery_soon(rec);
        r->number = 1;
        return true;
    }
    rec->context->stats.lost++;
    o->subject = l;
    l->looks++;
    kvr_live_move(l, &rec->memory.live.checking);
    kvr_operation_continue(o, KVR_CALL_UPDATE_CLAIM, &claim);
    return false;
}

// The pool may have no such class any more: its settings aren't ours to put back. false: it has none.
static bool claim_plainly(struct kvr_recovery *rec, struct kvr_operation *o) {
    struct kvr_live *l = o->subject;
    struct kvr_command claim;
    if (l->gone || !kvr_live_simplify(l) ||
        !kvr_encode_booking(rec->context, l->item.key, l->at->worker, l->at->rank, &l->booking,
                            &claim))
        return false;
    kvr_operation_continue(o, KVR_CALL_UPDATE_CLAIM, &claim);
    return true;
}

// booked: by this CLAIM, or it was already; elsewhere: perhaps not where its caller was told, for it had waited
// and was admitted anew.
static void end_claim_back(struct kvr_recovery *rec, struct kvr_operation *o, bool booked,
                           bool elsewhere, int64_t retry_at) {
    struct kvr_live *l = o->subject;
    o->subject = NULL;
    if (booked && l->gone) { // released while it was being booked
        struct kvr_released *over = kvr_released_find(&rec->memory, l->item.key);
        if (over) kvr_released_move(over, &rec->memory.released.waiting);
        kvr_recovery_soon(rec);
    } else if (booked && !(elsewhere && l->booking.may_have_waited)) {
        kvr_live_move(l, &rec->memory.live.confirmed);
    } else {
        to_waiting(l, booked ? 0 : retry_at);
        kvr_recovery_soon(rec);
    }
    kvr_live_look_ended(l);
}

// ---- Releases and workers ------------------------------------------------------------------------

static void released_all(struct kvr_recovery *rec, struct kvr_operation *o, bool done) {
    struct kvr_remembered *m = &rec->memory;
    const char *at = o->ids;
    for (size_t i = 0; i < o->n_ids; i++) {
        struct kvr_released *r = kvr_released_find(m, kvr_wire_next(&at));
        if (!r) continue;
        r->acknowledged |= done;
        kvr_released_move(r, done ? &m->released.confirmed : &m->released.waiting);
    }
    if (!done) kvr_recovery_soon(rec);
}

// Whether a RELEASE answered so has nothing left to do.
static bool is_released(enum kvr_code code) {
    return code == KVR_CODE_OK || code == KVR_CODE_NOPOOL || code == KVR_CODE_WRONGTYPE;
}

static void worker_unsaid(struct kvr_recovery *rec, struct kvr_operation *o) {
    struct kvr_registrations *workers = &rec->memory.workers;
    struct kvr_registration *g = kvr_registration_find(workers, o->worker);
    if (!g && o->kind == KVR_CALL_WORKER_DEL) // so many are under way that it has been forgotten
        g = kvr_registration_say(workers, &(struct kvr_worker_call){.worker = o->worker}, true);
    if (g) {
        g->whole_in = 0;
        kvr_registration_move(g, &workers->lists.waiting);
    }
    kvr_recovery_soon(rec);
}

// ---- The two ends of a call ----------------------------------------------------------------------

// What the server says of itself tells nothing of the pool.
static bool is_of_server(const struct kvr_operation *o) {
    return o->kind == KVR_CALL_SERVER || o->kind == KVR_CALL_CONNECTIONS ||
           o->kind == KVR_CALL_POOLS;
}

static bool answered(void *ctx, struct kvr_operation *o, struct kvr_result *r) {
    struct kvr_recovery *rec = ctx;
    bool ok = r->code == KVR_CODE_OK;
    // The pool is there. Should it be gone later, that is a loss, also for a handle that doesn't make pools
    // and never chooses.
    if (ok && rec->version < 0 && !is_of_server(o)) rec->version = 0;
    // An answer that can't be read may say that it is booked; and so may have the one that was lost, before
    // it was sent again and refused. One that waits is sent again anyway, and knows what was lost.
    bool resent = o->wait.ms ? o->wait.unsure : o->sendings > 1;
    bool perhaps = !ok && (r->code == KVR_CODE_PROTOCOL || r->code == KVR_CODE_NOMEM || resent);
    switch (o->kind) {
    case KVR_CALL_SELECT:
        if (ok) selected(rec, o, r);
        if (perhaps) take_back(rec, o);
        break;
    case KVR_CALL_CLAIM:
        if (ok) remember(rec, o, r, o->worker, o->rank, nothing, true);
        if (perhaps) take_back(rec, o);
        break;
    case KVR_CALL_UPDATE:
        return !ok || updated(rec, o, r);
    case KVR_CALL_UPDATE_CLAIM:
        if (r->code == KVR_CODE_REFUSED && claim_plainly(rec, o)) return false;
        if (ok && r->number == 1) rec->context->stats.repaired++;
        end_claim_back(rec, o, ok, r->number == 0, kvr_clock_ms() + KVR_MAX_BACKOFF);
        if (ok) r->number = 1;
        if (r->code == KVR_CODE_NOWORKER) { // UPDATE knows no such answer; the repair goes on
            *r = kvr_result_of(KVR_CODE_OK, "");
            r->number = 0;
        }
        break;
    case KVR_CALL_RELEASE:
        released_all(rec, o, is_released(r->code));
        break;
    case KVR_CALL_WORKER_SET:
    case KVR_CALL_WORKER_DEL:
        if (!ok) worker_unsaid(rec, o);
        break;
    default:
        break;
    }
    return true;
}

static void promise(struct kvr_result *r, int64_t number) {
    *r = kvr_result_of(KVR_CODE_OK, "");
    r->degraded = true;
    r->number = number;
}

static void given_up(void *ctx, struct kvr_operation *o, struct kvr_result *r) {
    struct kvr_recovery *rec = ctx;
    bool degrade = rec->degrade && r->code != KVR_CODE_CLOSED && r->code != KVR_CODE_RELEASED;
    struct kvr_live *l;
    switch (o->kind) {
    case KVR_CALL_SELECT:
        if (degrade && !kvr_released_find(&rec->memory, o->id) && kvr_degrade_choose(rec, o, r)) {
            remember(rec, o, r, r->choice.worker, r->choice.rank, r->choice.addr, false);
            break;
        }
        if (o->sendings) take_back(rec, o);
        break;
    case KVR_CALL_CLAIM:
        if (degrade) {
            promise(r, 1);
            remember(rec, o, r, o->worker, o->rank, nothing, false);
        } else if (o->sendings) {
            take_back(rec, o);
        }
        break;
    case KVR_CALL_UPDATE:
        l = kvr_live_find(&rec->memory, o->id);
        if (l && !l->looks) to_waiting(l, 0);
        if (l) kvr_recovery_soon(rec);
        // One that has been released meanwhile needs no progress any more.
        if (degrade && (l || kvr_released_find(&rec->memory, o->id))) promise(r, 1);
        break;
    case KVR_CALL_UPDATE_CLAIM:
        if (o->subject) end_claim_back(rec, o, false, false, 0);
        if (degrade) promise(r, 1);
        break;
    case KVR_CALL_RELEASE:
        released_all(rec, o, false);
        if (degrade) promise(r, (int64_t)o->n_live);
        break;
    case KVR_CALL_WORKER_SET:
    case KVR_CALL_WORKER_DEL:
        worker_unsaid(rec, o);
        if (degrade) promise(r, 0);
        break;
    case KVR_CALL_REPORT:
        if (degrade) promise(r, 0);
        break;
    default:
        break;
    }
}

// ---- What may come back --------------------------------------------------------------------------

static void pool_gone(void *ctx) {
    struct kvr_recovery *rec = ctx;
    if (rec->create) {
        kvr_repair_create_pool(rec);
    } else if (rec->version >= 0) { // it was there
        rec->version = -1;
        kvr_recovery_history_lost(rec);
    }
}

static bool may_come_back(void *ctx, const struct kvr_operation *o, enum kvr_code code,
                          int64_t now) {
    const struct kvr_recovery *rec = ctx;
    if (code == KVR_CODE_NOPOOL && rec->create) return true;
    if (!kvr_recovery_coming_back(rec, now)) return false;
    if (o->kind == KVR_CALL_UPDATE_CLAIM && code == KVR_CODE_REFUSED) {
        const struct kvr_live *l = o->subject; // it goes on without what may be refused
        return !l->booking.service_class.n && !l->booking.flow.n && !l->prefill;
    }
    if (code == KVR_CODE_NOPOOL || o->kind == KVR_CALL_UPDATE_CLAIM) return true;
    if (code != KVR_CODE_NOWORKER) return false;
    if (o->kind == KVR_CALL_CLAIM)
        return kvr_instance_find(&rec->memory.instances, o->worker, o->rank) != NULL;
    return o->kind == KVR_CALL_SELECT && !kvr_list_empty(&rec->memory.instances.list);
}

struct kvr_calls_events kvr_outcome_calls_events(struct kvr_recovery *rec) {
    return (struct kvr_calls_events){rec, answered, given_up, pool_gone, waits, may_come_back};
}

// ---- A primary comes and goes --------------------------------------------------------------------

static void primary_ready(void *ctx, bool same_process) {
    struct kvr_recovery *rec = ctx;
    const struct kvr_transport *t = rec->transport;
    const struct kvr_server_facts *f = &t->handshake.facts;
    char text[160];
    bool other = t->ready_before && (!same_process || f->version < rec->version);
    kvr_address_text(&t->discovery.known, text, sizeof text);
    kvr_context_log(rec->context, KVR_LOG_INFO,
                    "connected to the primary %s%s, %lld ms without one", text,
                    !t->ready_before ? ""
                    : other          ? ", which has another history"
                                     : ", with the same history",
                    (long long)(t->ready_at - t->down_since));
    rec->version = f->version;
    if (f->lease >= 0) rec->lease = f->lease;
    if (other) kvr_recovery_history_lost(rec);
    rec->repair_at = 0;
    rec->uncreated = false;
    if (f->no_pool && rec->create) kvr_repair_create_pool(rec);
    kvr_calls_primary_ready(rec->calls);
}

static void primary_lost(void *ctx) {
    struct kvr_recovery *rec = ctx;
    kvr_calls_connection_lost(rec->calls);
}

struct kvr_transport_events kvr_outcome_transport_events(struct kvr_recovery *rec) {
    return (struct kvr_transport_events){rec, primary_ready, primary_lost};
}
