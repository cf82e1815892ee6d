// SPDX-License-Identifier: Apache-2.0
// What the end of a call means for what the handle remembers.
//
// The rule: whatever a caller has been told must be what the pool has, or what repair.c will make it
// have. So an answer of the primary confirms what is remembered, and a call without one leaves behind
// what is to be done about it: a choice that may have been booked is released, a progress or release
// that may not have arrived is said again.
#include <string.h>

#include "client_impl.h"

static void repair_soon(struct kvr_client *c) {
    c->repair_at = 0;
    client_wake(c, 0);
}

static void to_wait(struct live *l, int64_t retry_at) {
    l->retry_at = retry_at;
    live_move(l, &l->memory->live.waiting);
}

// ---- Booked --------------------------------------------------------------------------------------

// Remembers what SELECT or CLAIM has booked. The entry takes the command's buffer, which has the id and
// the blocks.
static void remember(struct op *o, struct kvr_result *r, struct kvr_bytes worker, uint32_t rank,
                     struct kvr_bytes addr, bool confirmed) {
    struct kvr_client *c = o->client;
    struct live *l = o->live;
    struct released *over = released_find(&c->memory, o->id);
    if (over) { // its caller has ended it before the answer came
        released_move(over, &c->memory.released.waiting);
        repair_soon(c);
        return;
    }
    struct live *old = live_find(&c->memory, o->id);
    if (old && old->at->rank == rank && old->at->worker.n == worker.n &&
        !memcmp(old->at->worker.p, worker.p, worker.n)) {
        old->word_at = clock_ms();
        return; // with its progress, which a new entry would lack
    }
    if (old) live_forget(old);
    l->chosen_here = !confirmed;
    if (live_keep(l, o->command.base, o->id, sizeof *l + o->command.n, worker, rank, addr,
                  confirmed, clock_ms())) {
        // Its reply may still be to come when the entry has long been forgotten: nothing of what the
        // entry has taken is the op's any more.
        o->live = NULL;
        o->command.base = o->command.at = NULL;
        o->id = o->worker = (struct kvr_bytes){"", 0};
        if (!confirmed) repair_soon(c);
        return;
    }
    r->unremembered = true;
    c->stats.unremembered++;
}

static void selected(struct op *o, struct kvr_result *r) {
    struct kvr_client *c = o->client;
    bool back = r->choice.version < c->version;
    c->version = r->choice.version;
    if (back) client_history_lost(c); // a flush, or a restore of something old
    if (o->live) o->live->cached = r->choice.cached;
    remember(o, r, r->choice.worker, r->choice.rank, r->choice.addr, true);
}

// ---- Progress ------------------------------------------------------------------------------------

// The pool doesn't know a request that we know is live. false: the op goes on as a CLAIM.
static bool updated(struct op *o, struct kvr_result *r) {
    struct kvr_client *c = o->client;
    struct live *l = live_find(&c->memory, o->id);
    if (!l) return true;
    if (r->number == 1) {
        if (!l->looks && !l->chosen_here) live_move(l, &c->memory.live.confirmed);
        return true;
    }
    struct command claim;
    if (l->looks || l->chosen_here || !call_encode_claim(c, l, &claim)) {
        // Somebody is about to book it back: that says the progress, too.
        if (!l->looks) to_wait(l, 0);
        repair_soon(c);
        r->number = 1;
        return true;
    }
    c->stats.lost++;
    // o->id is in the buffer that goes.
    kvr_alloc_free(&c->alloc, o->command.base);
    o->command = claim;
    o->id = l->item.key;
    o->claimed = l;
    o->kind = OP_UPDATE_CLAIM;
    l->looks++;
    live_move(l, &c->memory.live.checking);
    kvr_list_unshift(&c->queue, &o->in);
    client_wake(c, 0);
    return false;
}

static void end_claim_back(struct op *o, bool booked, int64_t retry_at) {
    struct kvr_client *c = o->client;
    struct live *l = o->claimed;
    if (booked && l->gone) { // released while it was being booked
        struct released *over = released_find(&c->memory, l->item.key);
        if (over) released_move(over, &c->memory.released.waiting);
        repair_soon(c);
    } else if (booked) {
        live_move(l, &c->memory.live.confirmed);
    } else {
        to_wait(l, retry_at);
        repair_soon(c);
    }
    live_look_ended(l);
    o->claimed = NULL;
    o->id = (struct kvr_bytes){"", 0}; // it was l's
}

// ---- Releases and workers ------------------------------------------------------------------------

static void released_all(struct op *o, bool done) {
    struct memory *m = &o->client->memory;
    const char *at = o->command.base + o->ids_at;
    for (size_t i = 0; i < o->n_ids; i++) {
        struct released *r = released_find(m, wire_next(&at));
        if (!r) continue;
        r->acknowledged |= done;
        released_move(r, done ? &m->released.confirmed : &m->released.waiting);
    }
    if (!done) repair_soon(o->client);
}

// Whether a RELEASE answered so has nothing left to do.
static bool is_released(enum kvr_code code) {
    return code == KVR_CODE_OK || code == KVR_CODE_NOPOOL || code == KVR_CODE_WRONGTYPE;
}

static void worker_unsaid(struct op *o) {
    struct memory *m = &o->client->memory;
    struct registered *r = registered_find(m, o->worker);
    if (!r && o->kind == OP_WORKER_DEL) { // so many are under way that it has been forgotten
        r = registered_say(m, &(struct kvr_worker_call){.worker = o->worker}, true);
    }
    if (r) registered_move(r, &m->registered.waiting);
    repair_soon(o->client);
}

// It may be booked, but its caller has been told of no place, or of another: should the pool have it, it
// is released.
static void take_back(struct op *o) {
    bool was_live;
    released_add(&o->client->memory, o->id, &was_live);
    repair_soon(o->client);
}

// ---- The two ends --------------------------------------------------------------------------------

bool call_answered(struct op *o, struct kvr_result *r) {
    bool ok = r->code == KVR_CODE_OK;
    // An answer that can't be read may say that it is booked; and so may have the one that was lost, before
    // it was sent again and refused.
    bool perhaps =
        !ok && (r->code == KVR_CODE_PROTOCOL || r->code == KVR_CODE_NOMEM || o->sendings > 1);
    struct kvr_client *c = o->client;
    switch (o->kind) {
    case OP_SELECT:
        if (ok) selected(o, r);
        if (perhaps) take_back(o);
        break;
    case OP_CLAIM:
        if (ok) remember(o, r, o->worker, o->rank, (struct kvr_bytes){"", 0}, true);
        if (perhaps) take_back(o);
        break;
    case OP_UPDATE:
        return !ok || updated(o, r);
    case OP_UPDATE_CLAIM:
        if (ok && r->number == 1) c->stats.repaired++;
        end_claim_back(o, ok, clock_ms() + BACKOFF_MOST);
        if (ok) r->number = 1;
        if (r->code == KVR_CODE_NOWORKER) { // UPDATE knows no such answer; the repair goes on
            *r = result_of(KVR_CODE_OK, "");
            r->number = 0;
        }
        break;
    case OP_RELEASE:
        released_all(o, is_released(r->code));
        break;
    case OP_WORKER_SET:
    case OP_WORKER_DEL:
        if (!ok) worker_unsaid(o);
        break;
    default:
        break;
    }
    return true;
}

static void promise(struct kvr_result *r, int64_t number) {
    *r = result_of(KVR_CODE_OK, "");
    r->degraded = true;
    r->number = number;
}

void call_given_up(struct op *o, struct kvr_result *r) {
    struct kvr_client *c = o->client;
    bool degrade = c->degrade && r->code != KVR_CODE_CLOSED;
    struct live *l;
    switch (o->kind) {
    case OP_SELECT:
        if (degrade && !released_find(&c->memory, o->id) && degrade_choose(o, r)) {
            remember(o, r, r->choice.worker, r->choice.rank, r->choice.addr, false);
            break;
        }
        if (o->sendings) take_back(o);
        break;
    case OP_CLAIM:
        if (degrade) {
            promise(r, 1);
            remember(o, r, o->worker, o->rank, (struct kvr_bytes){"", 0}, false);
        } else if (o->sendings) {
            take_back(o);
        }
        break;
    case OP_UPDATE:
        l = live_find(&c->memory, o->id);
        if (l && !l->looks) to_wait(l, 0);
        if (l) repair_soon(c);
        // One that has been released meanwhile needs no progress any more.
        if (degrade && (l || released_find(&c->memory, o->id))) promise(r, 1);
        break;
    case OP_UPDATE_CLAIM:
        if (o->claimed) end_claim_back(o, false, 0);
        if (degrade) promise(r, 1);
        break;
    case OP_RELEASE:
        released_all(o, false);
        if (degrade) promise(r, (int64_t)o->n_live);
        break;
    case OP_WORKER_SET:
    case OP_WORKER_DEL:
        worker_unsaid(o);
        if (degrade) promise(r, 0);
        break;
    case OP_REPORT:
        if (degrade) promise(r, 0);
        break;
    default:
        break;
    }
}
