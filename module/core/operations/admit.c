// SPDX-License-Identifier: Apache-2.0
// Waiting: who is admitted when there is room.
//
// A scan goes through those who wait in their order and admits the first that can be placed; then the next one begins
// anew, as shares have changed. A class that has no room anywhere is passed over as a whole, and so is a flow that
// has used up what it may. One who was looked at in vain isn't looked at again until an instance that he could use
// gets room (rounds), so that those behind him have their turn; or until one for whom it was kept stands behind him,
// as admissions change the order. A scan that runs out of looks goes on where it stopped: all before have been
// looked at.
//
// Time alone may make room, too: a circuit is half-open, a wait long enough for an instance to be kept. So after
// RELOOK_MS everybody counts as not looked at.
#include <math.h>
#include <string.h>

#include "book.h"
#include "choose.h"
#include "module/core/state/fair_order.h"
#include "module/core/state/flow.h"
#include "module/core/state/ledger.h"
#include "module/core/state/queue_round.h"
#include "module/core/state/room.h"
#include "module/core/state/service_class.h"
#include "module/core/state/session.h"
#include "module/core/state/waiting.h"
#include "module/core/state/worker.h"

enum {
    RELOOK_MS = 50,
    SKIPS_A_LOOK = 64, // passing one over costs so much less than looking at it
};

// ---- One who waits -------------------------------------------------------------------------------

// Whether he may find what he didn't find when he was looked at last: how much of a look that needs.
enum needed_look {
    LOOK_NONE, // nothing that he could use has got room
    LOOK_LIVE, // something has, but not enough for him
    LOOK_ALL,
};

// Whether the instance has room for him as it is now. live: how many of his first blocks are live there.
static bool has_room_for(const struct kvr_pool *p, const struct core_waiting *w, uint32_t i) {
    double percent = core_class_room(w->line->service_class);
    // Where the prompt of a pair is computed its blocks don't count.
    return p->options.max_blocks && !w->query.pair
               ? core_room_for(p, i, percent, w->query.n, p->columns.live[i])
               : core_room_counted(p, i, percent);
}

// Whether an instance might be kept for him from now on, which takes a look.
static bool wants_instance(const struct kvr_pool *p, int64_t now, const struct core_waiting *w) {
    return p->options.max_blocks && !w->held && p->queue.n_held < p->n_instances &&
           now - w->since >= p->options.accept;
}

// What is live is found far sooner than what each instance has of him and what he would cost there. Only those that
// have got room need be asked: what has been booked since then has taken at least as much as it shares with him.
// behind: what is kept for those behind him.
static enum needed_look needed_look(struct kvr_pool *p, int64_t now, struct core_waiting *w,
                                    uint64_t behind) {
    const struct core_queue *q = &p->queue;
    enum needed_look found = LOOK_NONE;
    if (w->missed & behind) return LOOK_ALL;
    if (w->round == q->round) return LOOK_NONE;
    if (!w->round || w->round < q->all_round || q->round - w->round >= CORE_GAINED ||
        wants_instance(p, now, w))
        return LOOK_ALL;
    for (uint64_t round = w->round + 1; round <= q->round; round++) {
        uint32_t i = q->gained[round % CORE_GAINED], longest;
        const struct core_worker *worker = p->instances[i].worker;
        if (!worker || !core_choose_may(p, worker, &w->query)) continue;
        if (found == LOOK_NONE && p->options.max_blocks) {
            memset(p->columns.live, 0, p->n_instances * sizeof *p->columns.live);
            core_live_match(&p->live, NULL, w->query.hashes, w->query.n, p->columns.live, &longest);
        }
        found = LOOK_LIVE;
        if (has_room_for(p, w, i)) return LOOK_ALL;
    }
    w->round = q->round;
    return found;
}

static uint64_t bit_of(uint32_t instance) {
    return (uint64_t)1 << instance % 64; // as in core_waiting.missed
}

// Keeps instances for those whom this scan has passed over.
static void mask_held(struct kvr_pool *p, struct core_waiting *w) {
    w->missed = 0;
    for (uint32_t i = 0; p->queue.n_held && i < p->n_instances; i++) {
        const struct core_waiting *other = p->instances[i].held_for;
        if (!other || other == w || other->scan != p->queue.scan) continue;
        bool eligible = w->query.pair || p->columns.cost[i] < INFINITY;
        if (eligible && has_room_for(p, w, i)) w->missed |= bit_of(i);
        core_choose_without(p, &w->query, i);
    }
}

// The bits of what is kept for those of other lines whom this scan hasn't come by. Within a line nobody overtakes.
static uint64_t kept_behind(const struct kvr_pool *p, const struct core_line *l) {
    uint64_t bits = 0;
    for (uint32_t i = 0; p->queue.n_held && i < p->n_instances; i++) {
        const struct core_waiting *w = p->instances[i].held_for;
        if (w && w->line != l && w->scan != p->queue.scan) bits |= bit_of(i);
    }
    return bits;
}

// Where he goes; CORE_NO_INSTANCE: nowhere. If only his blocks are too many, the best instance is kept for him
// once he has waited for long.
static uint32_t place_of(struct kvr_pool *p, int64_t now, struct core_waiting *w, double random) {
    const struct kvr_query *q = &w->query;
    double percent = core_class_room(w->line->service_class);
    core_choose_compute(p, now, q);
    core_choose_mask(p, now, q);
    mask_held(p, w);
    core_choose_room(p, q, percent, false);
    uint32_t best = CORE_NO_INSTANCE, found;
    if (p->options.max_blocks) {
        best = core_choose(p, now, q, 0);
        core_room_mask(p, percent, q->n, true);
    }
    found = core_choose(p, now, q, random);
    if (found == CORE_NO_INSTANCE && best != CORE_NO_INSTANCE &&
        now - w->since >= p->options.accept)
        core_waiting_hold(p, w, best);
    else
        core_waiting_let_go(p, w);
    return found;
}

// ---- Scanning ------------------------------------------------------------------------------------

struct admit_scan {
    struct kvr_pool *p;
    int64_t now;
    size_t *looks, skips;
    double random;
    bool out_of_looks;
    uint32_t instance; // where the one that was found goes
};

static bool is_first(const struct core_waiting *w) {
    return w->line->at[w->line->first] == w;
}

// Nothing is kept any more for those of a line from that number on.
static void let_go(struct kvr_pool *p, const struct core_line *l, uint64_t from) {
    for (uint32_t i = 0; p->queue.n_held && i < p->n_instances; i++) {
        struct core_waiting *w = p->instances[i].held_for;
        if (w && w->line == l && w->number >= from) core_waiting_let_go(p, w);
    }
}

// Nor for those of classes that may use so much of an instance at most.
static void let_go_below(struct kvr_pool *p, double percent) {
    for (uint32_t i = 0; p->queue.n_held && i < p->n_instances; i++) {
        struct core_waiting *w = p->instances[i].held_for;
        if (w && core_class_room(w->line->service_class) <= percent) core_waiting_let_go(p, w);
    }
}

// Takes a line out of the order whose flow may not go on now.
static bool stop_line(struct admit_scan *s, struct core_line *l) {
    if (!l->flow) return false;
    if (core_flow_busy(s->p, l->flow)) {
        core_line_hold(s->p, l);
        return true;
    }
    const struct core_waiting *w = l->at[l->first];
    int64_t ms = core_flow_wait(s->p, l->flow, s->now, w->query.isl + w->query.osl, 0);
    if (ms > 0) core_line_park(s->p, l, s->now + ms);
    return ms > 0;
}

// Whether one of his flow who goes before, in another class, is over its limits: then all of it waits.
static bool waits_elsewhere(const struct core_line *l) {
    for (const struct core_line *o = l->flow ? l->flow->lines : NULL; o; o = o->next)
        if (o != l && core_line_stopped(o) && core_class_before(o->service_class, l->service_class))
            return true;
    return false;
}

static bool spend(struct admit_scan *s, bool look) {
    if (!look && ++s->skips % SKIPS_A_LOOK) return true;
    s->out_of_looks = !*s->looks;
    *s->looks -= !s->out_of_looks;
    return !s->out_of_looks;
}

// The scan comes by the first n of a line at once.
static void pass_by(struct kvr_pool *p, const struct core_line *l, size_t n) {
    uint64_t last = n ? l->at[l->first + n - 1]->number : 0;
    for (uint32_t i = 0; last && p->queue.n_held && i < p->n_instances; i++) {
        struct core_waiting *w = p->instances[i].held_for;
        if (w && w->line == l && w->number <= last) w->scan = p->queue.scan;
    }
}

static struct core_waiting *scan_line(struct admit_scan *s, struct core_line *l) {
    const struct core_queue *q = &s->p->queue;
    uint64_t round = q->round;
    uint64_t behind = kept_behind(s->p, l);
    size_t k = l->looked_round == round && !(l->missed & behind) ? l->looked : 0;
    if (!k) l->looked = l->missed = 0;
    pass_by(s->p, l, k);
    l->stopped = false;
    for (; k < l->n; k++) {
        struct core_waiting *w = l->at[l->first + k];
        enum needed_look needed = needed_look(s->p, s->now, w, behind);
        bool look = needed == LOOK_ALL;
        if (!spend(s, needed != LOOK_NONE)) return NULL;
        if (look && !is_first(w) && !core_flow_lets(s->p, w, s->now)) {
            l->stopped = true; // nor do those behind him go on
            let_go(s->p, l, w->number);
            return NULL;
        }
        if (look) s->instance = place_of(s->p, s->now, w, s->random);
        w->scan = s->p->queue.scan;
        if (look && s->instance != CORE_NO_INSTANCE) return w;
        if (look) w->round = q->round;
        l->missed |= w->missed;
        if (q->round != round) continue; // somebody's instance isn't kept any more
        l->looked_round = round;
        l->looked = k + 1;
    }
    return NULL;
}

static struct core_waiting *scan_class(struct admit_scan *s, struct core_class *c) {
    struct core_line *aside = NULL;
    struct core_waiting *found = NULL;
    struct core_deadline *first;
    while (!found && !s->out_of_looks && (first = core_deadlines_first(&c->ready))) {
        struct core_line *l = core_line_of(first);
        if (stop_line(s, l)) {
            let_go(s->p, l, 0);
            continue;
        }
        core_deadlines_remove(&c->ready, first);
        l->aside = aside;
        aside = l;
        if (waits_elsewhere(l))
            let_go(s->p, l, 0);
        else
            found = scan_line(s, l);
    }
    for (; aside; aside = aside->aside)
        core_line_ready(s->p, aside);
    return found;
}

// The next class that this scan hasn't come by; NULL: none.
static struct core_class *next_class(struct kvr_pool *p) {
    struct core_queue *q = &p->queue;
    struct core_class *next = NULL;
    for (size_t i = 0; i < q->n_classes; i++) {
        struct core_class *c = q->classes[i];
        if (c->scan == q->scan || !c->ready.n) continue;
        if (!next || core_class_before(c, next)) next = c;
    }
    if (next) next->scan = q->scan;
    return next;
}

// The first that can be placed, or NULL: then nobody can, or the scan ran out of looks.
static struct core_waiting *scan(struct admit_scan *s) {
    struct kvr_pool *p = s->p;
    struct core_class *c;
    double full = -1; // percent of the limits that no instance has room within
    p->queue.scan++;
    while (full < 100 && !s->out_of_looks && (c = next_class(p))) {
        double percent = core_class_room(c);
        if (percent <= full) continue;
        if (!core_room_anywhere(p, s->now, percent)) {
            full = percent;
            let_go_below(p, full);
            continue;
        }
        struct core_waiting *found = scan_class(s, c);
        if (found) return found;
    }
    return NULL;
}

// Since all were looked at again. Scans that something gives rise to don't count: there may always be one.
static bool is_long_ago(const struct core_queue *q, int64_t now) {
    return now < q->relooked_at || now - q->relooked_at >= RELOOK_MS;
}

bool kvr_admit_left(const struct kvr_pool *p, int64_t now) {
    const struct core_queue *q = &p->queue;
    if (!q->ids.count) return false; // as nearly always
    const struct core_deadline *parked = core_deadlines_first(&q->parked);
    return q->scanning || q->scanned_round != q->round || is_long_ago(q, now) ||
           (parked && parked->at <= now);
}

// ---- Admission -----------------------------------------------------------------------------------

// What it pays of its class's and flow's shares.
static int64_t charge_of(const struct kvr_booking *b) {
    int64_t tokens = b->isl - b->cached + b->osl;
    return tokens > 1 ? tokens : 1;
}

// Books w, and ends its waiting. What b points to of w goes with it.
static enum kvr_err admit(struct kvr_pool *p, struct core_waiting *w, uint32_t instance,
                          struct kvr_booking *b) {
    enum kvr_err err = core_request_add(p, (struct kvr_bytes){w->id, w->id_len}, instance, b);
    if (err) return err;
    core_book_left(w->line->flow, b);
    w->line->service_class->admitted++;
    p->stats.admitted++;
    core_book_circuits(p, instance, b, b->created);
    core_waiting_end(p, w, charge_of(b));
    p->version++;
    return KVR_OK;
}

static void show_admission(struct kvr_pool *p, uint32_t instance, const struct kvr_booking *b,
                           struct kvr_admission *out) {
    const struct core_instance *in = &p->instances[instance];
    const struct core_request *r = in->first; // the last one booked
    out->id = (struct kvr_bytes){r->id, r->id_len};
    out->worker = (struct kvr_bytes){in->worker->name, in->worker->name_len};
    out->rank = in->rank;
    out->booked = *b;
    out->booked.hashes = NULL; // gone
    out->booked.session = r->session ? (struct kvr_bytes){r->session->name, r->session->name_len}
                                     : (struct kvr_bytes){"", 0};
    out->booked.service_class = core_class_name(r->service_class);
    out->booked.flow = core_flow_name(r->flow);
    if (r->leg) out->booked.prefill_worker = (struct kvr_bytes){r->leg->name, r->leg->name_len};
}

bool kvr_admit(struct kvr_pool *p, int64_t now, size_t *looks, double random,
               bool (*called)(void *ctx, struct kvr_bytes id), void *ctx,
               struct kvr_admission *out) {
    struct core_queue *q = &p->queue;
    if (!kvr_admit_left(p, now)) return false;
    core_parked_ready(p, now);
    if (!q->scanning && is_long_ago(q, now)) {
        core_queue_gained_all(p);
        q->relooked_at = now;
    }
    q->scanning = true;
    struct admit_scan s = {.p = p, .now = now, .looks = looks, .random = random};
    struct core_waiting *w = scan(&s);
    if (!w) {
        if (s.out_of_looks) return false;
        q->scanning = false;
        q->scanned_round = q->round;
        return false;
    }
    struct kvr_pool_score score = core_choose_score(p, now, &w->query, s.instance);
    struct kvr_booking b = core_book_make(p, now, &w->query, s.instance, &score, w->lease);
    int64_t waited = now - w->since;
    b.waited = waited > 0 ? waited : 0;
    b.uncalled = !called || !called(ctx, (struct kvr_bytes){w->id, w->id_len});
    out->notify = (struct kvr_bytes){q->notify, w->query.notify.n};
    memcpy(q->notify, w->query.notify.p, w->query.notify.n);
    const struct kvr_query counted = {.n = w->query.n}; // w will be gone
    if (admit(p, w, s.instance, &b)) {                  // without memory: later
        w->round = 0;
        *looks = 0;
        return false;
    }
    core_book_count(p, &counted, &score);
    show_admission(p, s.instance, &b, out);
    return true;
}

// ---- Effects -------------------------------------------------------------------------------------

enum kvr_err kvr_admitted(struct kvr_pool *p, struct kvr_bytes id, struct kvr_bytes worker,
                          uint32_t rank, const struct kvr_booking *effect, bool *applied) {
    struct core_waiting *w = core_waiting_find(p, id);
    *applied = w != NULL;
    if (!w) return KVR_OK;
    uint32_t instance = core_instance_find(p, worker, rank);
    if (instance == CORE_NO_INSTANCE) return KVR_NOWORKER;
    const struct kvr_query *q = &w->query;
    struct kvr_booking b = *effect;
    b.hashes = q->hashes;
    b.n = q->n;
    b.isl = q->isl;
    b.osl = q->osl;
    b.output = 0;
    b.prefilled = false;
    b.lease = w->lease < 0 ? p->options.lease : w->lease;
    b.renewed = b.created;
    b.session = q->session;
    b.service_class = q->service_class;
    b.flow = q->flow;
    b.waited = b.created > w->since ? b.created - w->since : 0;
    enum kvr_err err = core_booking_check(p, &b);
    return err ? err : admit(p, w, instance, &b);
}

enum kvr_err kvr_enqueue(struct kvr_pool *p, int64_t at, struct kvr_bytes id,
                         const struct kvr_query *q, int64_t lease, bool *applied) {
    *applied = false;
    if (id.n < 1 || id.n > KVR_MAX_ID || at < 0 || at > KVR_MAX_MS || lease > KVR_MAX_MS)
        return KVR_RANGE;
    enum kvr_err err = core_query_check(p, q);
    if (err) return err;
    if (core_request_find(p, id)) return KVR_OK;
    struct core_waiting *w = core_waiting_find(p, id);
    if (w) {
        *applied = core_notify_differs(w, q->notify);
        err = *applied ? core_waiting_notify(p, w, q->notify) : KVR_OK;
    } else if (q->wait < 1) {
        err = KVR_RANGE;
    } else {
        struct kvr_query asked = *q;
        asked.isl = core_query_isl(p, q);
        err = core_waiting_add(p, at, p->queue.arrivals + 1, id, &asked, lease, &w);
        *applied = !err;
    }
    if (err) return err;
    p->version += *applied;
    return KVR_OK;
}

bool kvr_waits(const struct kvr_pool *p, struct kvr_bytes id) {
    return core_waiting_find(p, id) != NULL;
}

// ---- Deadlines -----------------------------------------------------------------------------------

// The first whose time is over. A deadline in the heap may be earlier than the true one after kvr_renew_all.
static struct core_waiting *due_waiting(struct kvr_pool *p, int64_t now) {
    struct core_deadline *first;
    while ((first = core_deadlines_first(&p->queue.ends)) && first->at <= now) {
        struct core_waiting *w = core_waiting_of(first);
        int64_t end = (w->since > p->renewed ? w->since : p->renewed) + w->query.wait;
        if (end <= now) return w;
        core_deadlines_move(&p->queue.ends, first, end);
    }
    return NULL;
}

bool kvr_due_waiting(struct kvr_pool *p, int64_t now) {
    return due_waiting(p, now) != NULL;
}

size_t kvr_end_waiting(struct kvr_pool *p, int64_t now, size_t max,
                       void (*f)(void *ctx, struct kvr_bytes id), void *ctx) {
    size_t n = 0;
    for (struct core_waiting *w; n < max && (w = due_waiting(p, now)); n++) {
        f(ctx, (struct kvr_bytes){w->id, w->id_len});
        core_waiting_end(p, w, -1);
    }
    if (n) p->version++;
    return n;
}
