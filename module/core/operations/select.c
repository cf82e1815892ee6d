// SPDX-License-Identifier: Apache-2.0
// SELECT: an instance for a request, and its booking; or a place in the queue; or a refusal that says when to come
// back.
#include <math.h>

#include "book.h"
#include "choose.h"
#include "module/core/state/fair_order.h"
#include "module/core/state/flow.h"
#include "module/core/state/ledger.h"
#include "module/core/state/queue_round.h"
#include "module/core/state/room.h"
#include "module/core/state/service_class.h"
#include "module/core/state/waiting.h"
#include "module/core/state/worker.h"
#include "queue_order.h"
#include "select.h"

// Of a pair, where the prompt is computed, or was.
static void show_prefill(const struct kvr_pool *p, const struct core_request *r,
                         struct kvr_pool_choice *out) {
    const struct core_leg *g = r->leg;
    if (!g) return;
    out->pair = true;
    out->prefill_worker = (struct kvr_bytes){g->name, g->name_len};
    out->prefill_rank = g->rank;
    out->prefill_overlap = g->overlap;
    long w = core_worker_find(p, out->prefill_worker, NULL);
    if (w >= 0)
        out->prefill_addr = (struct kvr_bytes){p->workers[w]->addr, p->workers[w]->addr_len};
}

// The earlier answer, for a caller that lost it.
static void repeat(struct kvr_pool *p, const struct core_request *r, struct kvr_pool_choice *out) {
    const struct core_instance *in = &p->instances[r->instance];
    *out = (struct kvr_pool_choice){
        .score = {.worker = {in->worker->name, in->worker->name_len},
                  .addr = {in->worker->addr, in->worker->addr_len},
                  .rank = in->rank,
                  .overlap = r->overlap,
                  .expected = r->expected,
                  .cached = r->cached,
                  .cost = r->cost,
                  .ttft = r->ttft,
                  .tpot = r->tpot},
        .blocks = r->blocks,
        .repeat = true,
        .waited = r->waited,
        .version = p->version,
    };
    show_prefill(p, r, out);
    p->stats.repeats++;
}

// The owner asks for what it was told, or wasn't.
static enum kvr_err answer_live(struct kvr_pool *p, int64_t now, struct kvr_bytes id, bool pair,
                                const struct core_request *r, struct kvr_pool_choice *out) {
    bool came;
    enum kvr_err err = kvr_come(p, now, id, &came);
    if (err) return err;
    repeat(p, r, out);
    out->came = came;
    out->pair |= pair;
    return KVR_OK;
}

static void show_place(const struct kvr_pool *p, int64_t now, const struct core_waiting *w,
                       struct kvr_pool_choice *out) {
    const struct core_flow *f = w->line->flow;
    out->waiting = true;
    out->position = core_queue_position(p, w);
    out->estimate = core_queue_estimate(p, out->position);
    int64_t bucket = f ? core_flow_wait(p, f, now, w->query.isl + w->query.osl, 0) : 0;
    if (bucket > 0 && bucket > out->estimate) out->estimate = bucket;
    out->version = p->version;
}

// It keeps its place, and may name another channel.
static enum kvr_err answer_waiting(struct kvr_pool *p, int64_t now, struct core_waiting *w,
                                   const struct kvr_query *q, struct kvr_pool_choice *out) {
    bool changed = core_notify_differs(w, q->notify);
    enum kvr_err err = changed ? core_waiting_notify(p, w, q->notify) : KVR_OK;
    if (err) return err;
    p->version += changed;
    *out = (struct kvr_pool_choice){.changed = changed};
    show_place(p, now, w, out);
    return KVR_OK;
}

// Whether the flow has used up what it may, and until when. Who comes doesn't go before those of its flow who wait
// for the same.
static bool is_limited(const struct kvr_pool *p, const struct core_flow *f,
                       const struct core_class *c, int64_t now, int64_t tokens, int64_t *retry) {
    if (!f) return false;
    bool before = core_flow_stopped(f, c);
    int64_t ms = core_flow_wait(p, f, now, tokens, before ? (int64_t)f->tokens : 0);
    bool busy = core_flow_busy(p, f);
    if (busy || (before && ms <= 0)) {
        int64_t end = core_queue_request_time(p, f, f->waiting + 1);
        if (ms < end) ms = end;
    }
    *retry = ms > 0 ? ms : 1;
    return before || busy || ms > 0;
}

bool core_select_kept(const struct kvr_pool *p, int64_t now, const struct core_class *c,
                      uint32_t i) {
    const struct core_waiting *w = p->queue.n_held ? p->instances[i].held_for : NULL;
    return w && w->line->service_class->priority >= c->priority && core_flow_lets(p, w, now);
}

static void mask_held(struct kvr_pool *p, int64_t now, const struct kvr_query *q,
                      const struct core_class *c) {
    for (uint32_t i = 0; p->queue.n_held && i < p->n_instances; i++)
        if (core_select_kept(p, now, c, i)) core_choose_without(p, q, i);
}

bool core_select_limits(const struct kvr_pool *p) {
    return p->queue.ids.count || core_room_limited(p);
}

void core_select_room(struct kvr_pool *p, int64_t now, const struct kvr_query *q,
                      const struct core_class *c) {
    mask_held(p, now, q, c);
    core_choose_room(p, q, core_class_room(c), true);
}

static struct core_decision refuse(enum kvr_err refusal, int64_t retry, bool looked) {
    return (struct core_decision){CORE_NO_INSTANCE, refusal, retry, looked};
}

struct core_decision core_select_decide(struct kvr_pool *p, int64_t now, const struct kvr_query *q,
                                        const struct core_class *c, double random) {
    bool limits = core_select_limits(p);
    // Where all are busy there is nothing to compare: it is only asked whether anybody is eligible.
    if (limits && !core_room_anywhere(p, now, core_class_room(c)))
        core_choose_uncompared(p);
    else
        core_choose_compute(p, now, q);
    core_choose_mask(p, now, q);
    bool looked = !limits || !kvr_admit_left(p, now); // at all who wait, in vain
    if (limits && !core_choose_any(p)) return refuse(KVR_NOWORKER, 0, looked);
    int64_t retry = 0;
    const struct core_flow *f = q->flow.n ? core_flow_find(p, q->flow) : NULL;
    bool limited = is_limited(p, f, c, now, core_query_isl(p, q) + q->osl, &retry);
    if (limited) return refuse(core_choose_any(p) ? KVR_LIMITED : KVR_NOWORKER, retry, false);
    if (limits && !looked) return refuse(KVR_NOROOM, 0, false); // who waits may take any of them
    if (limits) core_select_room(p, now, q, c);
    uint32_t i = core_choose(p, now, q, random);
    if (i == CORE_NO_INSTANCE)
        return refuse(limits ? KVR_NOROOM : KVR_NOWORKER, 0, looked && !p->queue.n_held);
    return (struct core_decision){i, KVR_OK, 0, looked};
}

static enum kvr_err refuse_room(struct kvr_pool *p, struct core_class *c, int64_t now,
                                struct kvr_pool_choice *out) {
    out->retry = core_queue_tell(p, now);
    p->stats.refused++;
    c->refused++;
    return KVR_NOROOM;
}

static enum kvr_err refuse_flow(struct kvr_pool *p, int64_t retry, struct kvr_pool_choice *out) {
    out->retry = retry;
    p->stats.limited++;
    return KVR_LIMITED;
}

// looked: it was found that nobody has room for it, nor for those before it. An instance that is kept for one who
// may go behind it isn't that.
static enum kvr_err wait_for_room(struct kvr_pool *p, int64_t now, struct kvr_bytes id,
                                  const struct kvr_query *q, int64_t lease, struct core_class *c,
                                  bool looked, struct kvr_pool_choice *out) {
    if (p->queue.ids.count >= p->options.max_waiting ||
        (c->max_waiting && c->waiting >= c->max_waiting))
        return refuse_room(p, c, now, out);
    struct kvr_query asked = *q;
    asked.isl = core_query_isl(p, q);
    struct core_waiting *w;
    enum kvr_err err = core_waiting_add(p, now, p->queue.arrivals + 1, id, &asked, lease, &w);
    if (err) return err;
    if (looked)
        w->round = p->queue.round;
    else
        core_queue_again(p);
    p->version++;
    out->changed = true;
    show_place(p, now, w, out);
    return KVR_OK;
}

enum kvr_err kvr_select(struct kvr_pool *p, int64_t now, struct kvr_bytes id,
                        const struct kvr_query *q, int64_t lease, double random,
                        struct kvr_pool_choice *out, struct kvr_booking *booked) {
    if (id.n < 1 || id.n > KVR_MAX_ID) return KVR_RANGE;
    enum kvr_err err = core_query_check(p, q);
    if (err) return err;
    const struct core_request *live = core_request_find(p, id);
    if (live) return answer_live(p, now, id, q->pair, live, out);
    struct core_waiting *waiting = p->queue.ids.count ? core_waiting_find(p, id) : NULL;
    if (waiting) return answer_waiting(p, now, waiting, q, out);
    if (lease > KVR_MAX_MS) return KVR_RANGE;
    struct core_class *c = core_class_find(p, q->service_class);
    if (!c) return KVR_NOCLASS;

    *out = (struct kvr_pool_choice){0};
    const struct core_decision d = core_select_decide(p, now, q, c, random);
    if (d.refusal && q->wait > 0) return wait_for_room(p, now, id, q, lease, c, d.looked, out);
    if (d.refusal == KVR_NOROOM) return refuse_room(p, c, now, out);
    if (d.refusal == KVR_LIMITED) return refuse_flow(p, d.retry, out);
    if (d.refusal) return d.refusal;
    uint32_t i = d.instance;
    const struct core_flow *f = q->flow.n ? core_flow_find(p, q->flow) : NULL;
    out->score = core_choose_score(p, now, q, i);
    out->blocks = q->n;
    *booked = core_book_make(p, now, q, i, &out->score, lease);
    if ((err = core_request_add(p, id, i, booked))) return err;
    core_book_left(f, booked);
    core_book_circuits(p, i, booked, now);
    out->pair = q->pair;
    if (q->pair) show_prefill(p, core_request_find(p, id), out);
    p->version++;
    out->version = p->version;
    core_book_count(p, q, &out->score);
    return KVR_OK;
}
