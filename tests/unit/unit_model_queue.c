// SPDX-License-Identifier: Apache-2.0
// The model's waiting requests: their order, who is next, and where he is placed; see unit_model_queue.h.
#include "unit_model.h"

#include <stdlib.h>
#include <string.h>

// ---- Coming --------------------------------------------------------------------------------------

enum kvr_err unit_model_enqueue(struct unit_model *m, int64_t at, struct kvr_bytes id,
                                const struct kvr_query *q, int64_t lease, bool *applied) {
    struct unit_model_waiting *w = unit_model_find_waiting(m, id);
    *applied = false;
    if (unit_model_find_request(m, id)) return KVR_OK;
    if (w) {
        // Whoever asks again without a channel is told on the one that he named.
        if (!q->notify.n || unit_bytes_compare(w->q.notify, q->notify) == 0) return KVR_OK;
        unit_model_rename(&w->q.notify, q->notify);
        m->stats.version++;
        *applied = true;
        return KVR_OK;
    }
    struct unit_model_class *c = unit_model_find_class(m, q->service_class);
    if (!c) return KVR_NOCLASS;
    unit_model_share_came(m, c, q->flow);
    struct unit_model_queue *all = &m->queue;
    all->waiting = unit_must_resize(all->waiting, (all->n_waiting + 1) * sizeof *all->waiting);
    w = &all->waiting[all->n_waiting++];
    *w = (struct unit_model_waiting){.id.n = id.n,
                                     .q = unit_model_copy_query(m, q),
                                     .lease = lease,
                                     .since = at,
                                     .number = ++all->arrivals};
    memcpy(w->id.bytes, id.p, id.n);
    m->stats.version++;
    *applied = true;
    return KVR_OK;
}

bool unit_model_one_line(const struct unit_model *m) {
    for (size_t i = 1; i < m->queue.n_waiting; i++) {
        const struct kvr_query *a = &m->queue.waiting[0].q, *b = &m->queue.waiting[i].q;
        if (unit_bytes_compare(a->flow, b->flow) != 0) return false;
        if (unit_model_find_class(m, a->service_class) !=
            unit_model_find_class(m, b->service_class))
            return false;
    }
    return true;
}

bool unit_model_full(const struct unit_model *m, const struct kvr_query *q) {
    const struct unit_model_class *c = unit_model_find_class(m, q->service_class);
    return m->queue.n_waiting >= m->options.max_waiting ||
           (c->max_waiting && unit_model_class_waiting(m, c) >= c->max_waiting);
}

// ---- The order -----------------------------------------------------------------------------------

// What decides between two who wait, the most important first.
struct unit_place_in_order {
    struct unit_model_waiting *w;
    int priority;
    double class_start, flow_start;
    uint64_t class_next, flow_next; // arrivals of those who are next in them
};

static int less(double a, double b) {
    return a < b ? -1 : a > b;
}

static int lower(uint64_t a, uint64_t b) {
    return a < b ? -1 : a > b;
}

static int by_order(const void *a, const void *b) {
    const struct unit_place_in_order *x = a, *y = b;
    if (x->priority != y->priority) return x->priority > y->priority ? -1 : 1;
    int c = less(x->class_start, y->class_start);
    if (!c) c = lower(x->class_next, y->class_next);
    if (!c) c = less(x->flow_start, y->flow_start);
    if (!c) c = lower(x->flow_next, y->flow_next);
    return c ? c : lower(x->w->number, y->w->number);
}

// The next of a class: of the flow that begins first; of equals who came first.
static uint64_t class_next(const struct unit_model *m, const struct unit_model_class *c) {
    const struct unit_model_waiting *next = NULL;
    double start = 0;
    for (size_t i = 0; i < m->queue.n_waiting; i++) {
        const struct unit_model_waiting *w = &m->queue.waiting[i];
        if (unit_model_find_class(m, w->q.service_class) != c) continue;
        double own = unit_model_find_turn(c, w->q.flow)->share.start;
        if (next && own >= start) continue;
        next = w;
        start = own;
    }
    return next->number;
}

static uint64_t flow_next(const struct unit_model *m, const struct unit_model_waiting *w) {
    const struct unit_model_class *c = unit_model_find_class(m, w->q.service_class);
    const struct unit_model_waiting *first = m->queue.waiting;
    while (unit_model_find_class(m, first->q.service_class) != c ||
           unit_bytes_compare(first->q.flow, w->q.flow) != 0)
        first++;
    return first->number;
}

struct unit_model_waiting **unit_model_queue_order(const struct unit_model *m,
                                                   const struct unit_model_waiting *favour) {
    size_t n = m->queue.n_waiting;
    struct unit_place_in_order *all = unit_must_alloc(n * sizeof *all);
    const struct unit_model_class *first =
        favour ? unit_model_find_class(m, favour->q.service_class) : NULL;
    for (size_t i = 0; i < n; i++) {
        struct unit_model_waiting *w = &m->queue.waiting[i];
        const struct unit_model_class *c = unit_model_find_class(m, w->q.service_class);
        all[i] = (struct unit_place_in_order){.w = w,
                                              .priority = c->priority,
                                              .class_start = c->share.start,
                                              .flow_start =
                                                  unit_model_find_turn(c, w->q.flow)->share.start,
                                              .class_next = c == first ? 0 : class_next(m, c),
                                              .flow_next = flow_next(m, w)};
    }
    qsort(all, n, sizeof *all, by_order);
    struct unit_model_waiting **order = unit_must_alloc(n * sizeof *order);
    for (size_t i = 0; i < n; i++)
        order[i] = all[i].w;
    free(all);
    return order;
}

// A copy of the queue's bones, from which the first is taken again and again.
struct unit_model_waiting **unit_model_foreseen(const struct unit_model *m) {
    struct unit_model sim = {.options = m->options, .queue = m->queue};
    struct unit_model_queue *q = &sim.queue;
    size_t n = q->n_waiting;
    struct unit_model_waiting **seen = unit_must_alloc(n * sizeof *seen);
    q->waiting = unit_must_alloc(n * sizeof *q->waiting);
    q->classes = unit_must_alloc(q->n_classes * sizeof *q->classes);
    q->levels = unit_must_alloc(q->n_levels * sizeof *q->levels);
    if (n) memcpy(q->waiting, m->queue.waiting, n * sizeof *q->waiting);
    memcpy(q->classes, m->queue.classes, q->n_classes * sizeof *q->classes);
    if (q->n_levels) memcpy(q->levels, m->queue.levels, q->n_levels * sizeof *q->levels);
    for (size_t i = 0; i < q->n_classes; i++) {
        struct unit_model_class *c = &q->classes[i];
        struct unit_model_turn *turns = unit_must_alloc(c->n_turns * sizeof *turns);
        if (c->n_turns) memcpy(turns, c->turns, c->n_turns * sizeof *turns);
        c->turns = turns;
    }
    for (size_t i = 0; i < n; i++) {
        struct unit_model_waiting **order = unit_model_queue_order(&sim, NULL);
        seen[i] = unit_model_find_waiting(m, model_bytes(&order[0]->id));
        unit_model_charge(&sim, order[0], 0);
        size_t after = (size_t)(&q->waiting[q->n_waiting] - order[0]) - 1;
        memmove(order[0], order[0] + 1, after * sizeof *q->waiting);
        q->n_waiting--;
        free(order);
    }
    for (size_t i = 0; i < q->n_classes; i++)
        free(q->classes[i].turns);
    free(q->waiting);
    free(q->classes);
    free(q->levels);
    return seen;
}

// ---- Placing -------------------------------------------------------------------------------------

static int64_t tokens_of(const struct unit_model *m, const struct kvr_query *q) {
    return (q->isl < 0 ? (int64_t)q->n * m->options.block_size : q->isl) + q->osl;
}

static bool passes(const struct unit_model *m, const struct kvr_query *q, int64_t now) {
    return unit_model_flow_passes(m, q->flow, tokens_of(m, q), now);
}

static const struct unit_model_hold *hold_of(const struct unit_model_holds *h,
                                             const struct unit_model_waiting *w) {
    for (size_t i = 0; i < h->n; i++)
        if (unit_bytes_compare(model_bytes(&h->all[i].id), model_bytes(&w->id)) == 0)
            return &h->all[i];
    return NULL;
}

// The instances that fit so, in their order; returns how many. The caller frees *out if there are any.
static size_t fitting_within(const struct unit_model *m, int64_t now, const struct kvr_query *q,
                             const struct unit_model_limits *l, struct unit_model_choice **out) {
    struct unit_model_choice *all;
    size_t n;
    unit_model_scores(m, now, q, l, &all, &n);
    if (out && n)
        *out = all;
    else
        free(all);
    return n;
}

static size_t fitting(const struct unit_model *m, int64_t now, const struct kvr_query *q,
                      uint64_t percent, const uint64_t *kept, size_t n_kept,
                      enum unit_model_fit fit, struct unit_model_choice **out) {
    const struct unit_model_limits limits = {percent, kept, n_kept, fit, false};
    return fitting_within(m, now, q, &limits, out);
}

// Whether it fits only where the prompt is known by now: that this came so is found by the next look at everybody.
static bool is_new(const struct unit_model *m, int64_t now, const struct kvr_query *q,
                   uint64_t percent, const uint64_t *kept, size_t n_kept) {
    const struct unit_model_limits limits = {percent, kept, n_kept, UNIT_FITS, true};
    return q->pair && !fitting_within(m, now, q, &limits, NULL);
}

// Whether the instance that is kept for w lacks nothing but blocks.
static bool is_justified(const struct unit_model *m, const struct unit_model_waiting *w,
                         const struct unit_model_hold *h, uint64_t percent) {
    uint32_t rank;
    const struct unit_model_worker *owner = unit_model_owner(m, h->instance, &rank);
    return unit_model_fit(m, owner, &owner->rank[rank], &w->q, percent) == UNIT_FITS_BUT_BLOCKS;
}

static bool same_flow(const struct unit_model_waiting *a, const struct unit_model_waiting *b) {
    return unit_bytes_compare(a->q.flow, b->q.flow) == 0;
}

// What is kept for others; returns how many.
static size_t all_but(const struct unit_model_holds *holds, const struct unit_model_hold *own,
                      uint64_t *kept) {
    size_t n = 0;
    for (size_t i = 0; i < holds->n; i++)
        if (&holds->all[i] != own) kept[n++] = holds->all[i].instance;
    return n;
}

struct unit_model_waiting *unit_model_next(const struct unit_model *m, int64_t now,
                                           const struct unit_model_waiting *favour, bool level,
                                           bool lenient, const struct unit_model_holds *holds,
                                           struct unit_model_choice **out, size_t *n,
                                           const struct unit_model_waiting **without) {
    size_t waiting = m->queue.n_waiting, n_kept = 0, n_over = 0;
    struct unit_model_waiting **order = unit_model_queue_order(m, level ? favour : NULL);
    struct unit_model_waiting *found = NULL;
    const struct unit_model_waiting **over = unit_must_alloc(waiting * sizeof *over); // limits
    uint64_t *kept = unit_must_alloc(holds->n * sizeof *kept);
    *without = NULL;
    for (size_t i = 0; i < waiting && !found; i++) {
        struct unit_model_waiting *w = order[i];
        const struct unit_model_class *c = unit_model_find_class(m, w->q.service_class);
        const struct unit_model_hold *h = hold_of(holds, w);
        size_t k = 0;
        while (k < n_over && !same_flow(over[k], w))
            k++;
        if (k < n_over) continue; // all of the flow is passed over
        // The order changes while others are admitted. Whoever was looked at when another who has an instance kept
        // went before him isn't at once again: so where it is asked who could be, all that is kept counts.
        if (!favour) n_kept = all_but(holds, h, kept);
        if (!passes(m, &w->q, now)) {
            // One who couldn't be placed anyhow may have been found so first: then he stops nobody.
            if (!favour || !same_flow(favour, w) ||
                fitting(m, now, &w->q, c->room, kept, n_kept, UNIT_FITS, NULL))
                over[n_over++] = w;
            continue;
        }
        bool noticed = w == favour || !is_new(m, now, &w->q, c->room, kept, n_kept);
        *n = noticed ? fitting(m, now, &w->q, c->room, kept, n_kept, UNIT_FITS, out) : 0;
        if (*n && lenient && w != favour) {
            free(*out);
            continue;
        }
        if (*n) {
            found = w;
            continue;
        }
        if (!h && now - w->since >= m->options.accept &&
            fitting(m, now, &w->q, c->room, kept, n_kept, UNIT_FITS_BUT_BLOCKS, NULL))
            *without = w;
        // One who could no longer go there if it had blocks has it kept until he is looked at again, or not.
        if (favour && h && is_justified(m, w, h, c->room)) kept[n_kept++] = h->instance;
    }
    free(over);
    free(kept);
    free(order);
    return found;
}

// Whether somebody of the flow who goes before waits for its limits; *placeable: one of those could have an
// instance otherwise.
static bool others_wait(const struct unit_model *m, int64_t now, struct kvr_bytes flow,
                        int priority, bool *placeable) {
    bool wait = false;
    for (size_t i = 0; i < m->queue.n_waiting; i++) {
        const struct unit_model_waiting *w = &m->queue.waiting[i];
        if (!flow.n || unit_bytes_compare(w->q.flow, flow) != 0) continue;
        const struct unit_model_class *c = unit_model_find_class(m, w->q.service_class);
        if (c->priority < priority || passes(m, &w->q, now)) continue;
        wait = true;
        *placeable |= fitting(m, now, &w->q, c->room, NULL, 0, UNIT_FITS, NULL) > 0;
    }
    return wait;
}

enum kvr_err unit_model_place(const struct unit_model *m, int64_t now, const struct kvr_query *q,
                              const struct unit_model_holds *holds, struct unit_model_choice **out,
                              size_t *n, bool behind, bool *either) {
    const struct unit_model_class *c = unit_model_find_class(m, q->service_class);
    *out = NULL;
    *n = 0;
    *either = false;
    if (!c) return KVR_NOCLASS;
    unit_model_scores(m, now, q, NULL, out, n);
    if (!*n) return KVR_NOWORKER;
    if (!passes(m, q, now)) return KVR_LIMITED;
    uint64_t *kept = unit_must_alloc(holds->n * sizeof *kept);
    size_t n_kept = 0;
    for (size_t i = 0; i < m->queue.n_waiting; i++) {
        const struct unit_model_waiting *w = &m->queue.waiting[i];
        const struct unit_model_hold *h = hold_of(holds, w);
        // Not from one who goes before; and one who waits for his limits holds nobody up.
        if (h && unit_model_find_class(m, w->q.service_class)->priority >= c->priority &&
            passes(m, &w->q, now))
            kept[n_kept++] = h->instance;
    }
    free(*out);
    *out = NULL;
    *n = fitting(m, now, q, c->room, kept, n_kept, UNIT_FITS, out);
    free(kept);
    bool placeable = false;
    if (others_wait(m, now, q->flow, c->priority, &placeable)) {
        // Those who couldn't be placed anyhow may or may not have been found over their limits.
        *either = behind || !placeable;
        return KVR_LIMITED;
    }
    return *n ? KVR_OK : KVR_NOROOM;
}

// ---- Admission -----------------------------------------------------------------------------------

enum kvr_err unit_model_admitted(struct unit_model *m, struct kvr_bytes id, struct kvr_bytes worker,
                                 uint32_t rank, const struct kvr_booking *b, bool *applied) {
    struct unit_model_waiting *w = unit_model_find_waiting(m, id);
    *applied = w != NULL;
    if (!w) return KVR_OK;
    *applied = false;
    if (!unit_model_find_rank(m, worker, rank)) return KVR_NOWORKER;
    if (b->cached < 0 || b->cached > w->q.isl) return KVR_RANGE;
    struct kvr_query own = unit_model_copy_query(m, &w->q);
    struct kvr_booking full = *b;
    full.hashes = own.hashes;
    full.n = own.n;
    full.isl = own.isl;
    full.osl = own.osl;
    full.output = 0;
    full.prefilled = false;
    full.lease = w->lease;
    full.renewed = b->created;
    full.session = own.session;
    full.service_class = own.service_class;
    full.flow = own.flow;
    full.waited = b->created > w->since ? b->created - w->since : 0;
    unit_model_charge(m, w, b->cached);
    unit_model_unqueue(m, id);
    int booked;
    enum kvr_err err = unit_model_claim(m, id, worker, rank, &full, &booked);
    m->stats.admitted++;
    unit_model_find_class(m, full.service_class)->admitted++;
    unit_model_free_query(&own);
    if (err) return err;
    *applied = true;
    return KVR_OK;
}

enum kvr_err unit_model_come(struct unit_model *m, int64_t at, struct kvr_bytes id, bool *applied) {
    struct unit_model_request *r = unit_model_find_request(m, id);
    *applied = r && r->uncalled;
    if (!*applied) return KVR_OK;
    r->uncalled = false;
    r->renewed = at;
    m->stats.version++;
    return KVR_OK;
}
