// SPDX-License-Identifier: Apache-2.0
// Choices of pool and model compared; see unit_pair.h.
#include "module/core/state/pool_state.h"
#include "unit_pair.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool near(const struct unit_pair *p, double a, double b) {
    if (p->exact) return a == b;
    return fabs(a - b) <= 1e-9 * (1 + fabs(a) + fabs(b));
}

static void same_score(struct unit_pair *p, const struct kvr_pool_score *got,
                       const struct kvr_pool_score *want) {
    unit_pair_same_bytes(p, "worker", got->worker, want->worker);
    unit_pair_same(p, "rank", got->rank, want->rank);
    unit_pair_same_bytes(p, "addr", got->addr, want->addr);
    unit_pair_same(p, "overlap", got->overlap, want->overlap);
    for (int t = 0; t < KVR_TIERS; t++)
        unit_pair_same(p, kvr_tier_names[t], got->by_tier[t], want->by_tier[t]);
    unit_pair_same(p, "expected", got->expected, want->expected);
    unit_pair_same(p, "cached", (uint64_t)got->cached, (uint64_t)want->cached);
    if (got->ttft != want->ttft || got->tpot != want->tpot)
        unit_pair_differs(p, "ttft %g, tpot %g instead of %g, %g", got->ttft, got->tpot, want->ttft,
                          want->tpot);
    unit_pair_same(p, "prefill_tokens", got->prefill_tokens, want->prefill_tokens);
    unit_pair_same(p, "decode_blocks", got->decode_blocks, want->decode_blocks);
    unit_pair_same(p, "requests", got->requests, want->requests);
    if (!near(p, got->cost, want->cost))
        unit_pair_differs(p, "cost %.17g instead of %.17g", got->cost, want->cost);
}

// The model's score of the instance that the pool names.
static const struct unit_model_choice *find_score(struct unit_pair *p,
                                                  const struct unit_model_choice *in, size_t n,
                                                  const struct kvr_pool_score *named) {
    for (size_t i = 0; i < n; i++)
        if (in[i].score.rank == named->rank &&
            unit_bytes_compare(in[i].score.worker, named->worker) == 0)
            return &in[i];
    unit_pair_differs(p, "'%.*s'/%u isn't eligible", (int)named->worker.n, named->worker.p,
                      named->rank);
}

static void log_query(struct unit_pair *p, const char *what, struct kvr_bytes id,
                      const struct kvr_query *q) {
    unit_pair_log(
        p,
        "%s %.*s n%zu %" PRIx64 "..%" PRIx64 " isl=%" PRId64
        " among=%ld exclude=%zu T=%g with=%zu without=%zu session=%.*s class=%.*s flow=%.*s"
        " osl=%" PRId64 " wait=%" PRId64 " pair=%d",
        what, (int)id.n, id.p, q->n, q->n ? q->hashes[0] : 0, q->n ? q->hashes[q->n - 1] : 0,
        q->isl, q->has_among ? (long)q->n_among : -1L, q->n_exclude, q->rule.temperature, q->n_with,
        q->n_without, (int)q->session.n, q->session.n ? q->session.p : "", (int)q->service_class.n,
        q->service_class.n ? q->service_class.p : "", (int)q->flow.n, q->flow.n ? q->flow.p : "",
        q->osl, q->wait, q->pair);
}

enum kvr_err unit_pair_scores(struct unit_pair *p, const struct kvr_query *q) {
    log_query(p, "scores", (struct kvr_bytes){"", 0}, q);
    const struct kvr_pool_score *got = NULL;
    size_t n = 0, n_want;
    uint64_t failures = p->mem.failures;
    enum kvr_err err = kvr_scores(p->pool, p->now, q, &got, &n);
    if (unit_pair_out_of_memory(p, err, failures)) return err;
    unit_pair_same_error(p, err, KVR_OK);
    struct unit_model_choice *want;
    unit_model_scores(&p->model, p->now, q, NULL, &want, &n_want);
    unit_pair_same(p, "scores", n, n_want);
    for (size_t i = 0; i < n; i++) {
        const struct unit_model_choice *own = find_score(p, want, n, &got[i]);
        same_score(p, &got[i], p->exact ? &want[i].score : &own->score);
        unit_pair_same(p, "room", got[i].room, own->score.room);
        if (i && got[i].cost < got[i - 1].cost) unit_pair_differs(p, "scores out of order");
    }
    free(want);
    return err;
}

// What is said of where the prompt is computed.
static void same_prefill(struct unit_pair *p, const struct kvr_pool_choice *got, bool pair,
                         struct kvr_bytes worker, uint32_t rank, uint32_t overlap) {
    const struct unit_model_worker *w = unit_model_find_worker(&p->model, worker);
    unit_pair_same(p, "pair", got->pair, pair);
    unit_pair_same_bytes(p, "prefilling worker", got->prefill_worker, worker);
    unit_pair_same(p, "prefilling rank", got->prefill_rank, rank);
    unit_pair_same(p, "prefilling overlap", got->prefill_overlap, overlap);
    struct kvr_bytes addr = {"", 0};
    if (w) addr = (struct kvr_bytes){w->addr, w->addr_len};
    unit_pair_same_bytes(p, "prefilling addr", got->prefill_addr, addr);
}

static void check_repeat(struct unit_pair *p, const struct unit_model_request *r, bool pair,
                         const struct kvr_pool_choice *got) {
    pair |= r->prefill_worker.n > 0;
    same_prefill(p, got, pair, model_bytes(&r->prefill_worker), r->prefill_rank,
                 r->prefill_overlap);
    uint32_t rank;
    const struct unit_model_worker *w = unit_model_owner(&p->model, r->instance, &rank);
    unit_pair_same(p, "repeat", got->repeat, 1);
    unit_pair_same_bytes(p, "worker", got->score.worker, model_name(w));
    unit_pair_same_bytes(p, "addr", got->score.addr, (struct kvr_bytes){w->addr, w->addr_len});
    unit_pair_same(p, "rank", got->score.rank, rank);
    unit_pair_same(p, "overlap", got->score.overlap, r->overlap);
    unit_pair_same(p, "expected", got->score.expected, r->expected);
    if (got->score.ttft != r->ttft || got->score.tpot != r->tpot)
        unit_pair_differs(p, "ttft %g, tpot %g of a repeat", got->score.ttft, got->score.tpot);
    unit_pair_same(p, "cached", (uint64_t)got->score.cached, (uint64_t)r->cached);
    unit_pair_same(p, "blocks", got->blocks, r->n);
    unit_pair_same(p, "waited", (uint64_t)got->waited, (uint64_t)r->waited);
    if (got->score.cost != r->cost)
        unit_pair_differs(p, "cost %g of a repeat instead of %g", got->score.cost, r->cost);
}

static struct kvr_bytes class_name(struct kvr_bytes name) {
    return name.n ? name : text("default");
}

// What the flow's bucket is said to hold afterwards.
static void check_left(struct unit_pair *p, struct kvr_bytes flow, int64_t tokens,
                       const struct kvr_booking *b) {
    const struct unit_model_flow *f = unit_model_find_flow(&p->model, flow);
    bool pays = f && f->rate;
    unit_pair_same(p, "has_left", b->has_left, pays);
    if (!pays) return;
    int64_t left = unit_model_flow_left(&p->model, f, p->now) - tokens * 1000;
    unit_pair_same(p, "left", (uint64_t)b->left, (uint64_t)left);
}

// What a choice has to be booked as.
void unit_pair_check_booking(struct unit_pair *p, const struct kvr_query *q, int64_t lease,
                             const struct unit_model_choice *best, const struct kvr_booking *b) {
    const struct kvr_pool_score *chosen = &best->score;
    const struct kvr_options *o = &p->model.options;
    unit_pair_same(p, "booked blocks", b->n, q->n);
    if (q->n && b->hashes && memcmp(b->hashes, q->hashes, q->n * sizeof *q->hashes) != 0)
        unit_pair_differs(p, "other blocks booked");
    int64_t isl = q->isl < 0 ? (int64_t)q->n * o->block_size : q->isl;
    unit_pair_same(p, "booked isl", (uint64_t)b->isl, (uint64_t)isl);
    unit_pair_same(p, "booked osl", (uint64_t)b->osl, (uint64_t)q->osl);
    unit_pair_same(p, "booked cached", (uint64_t)b->cached, (uint64_t)chosen->cached);
    unit_pair_same(p, "booked output", (uint64_t)b->output, 0);
    unit_pair_same(p, "booked prefilled", b->prefilled, 0);
    unit_pair_same(p, "booked lease", (uint64_t)b->lease, (uint64_t)(lease < 0 ? o->lease : lease));
    unit_pair_same(p, "booked created", (uint64_t)b->created, (uint64_t)p->now);
    unit_pair_same(p, "booked renewed", (uint64_t)b->renewed, (uint64_t)p->now);
    unit_pair_same(p, "booked overlap", b->overlap, chosen->overlap);
    unit_pair_same(p, "booked expected", b->expected, chosen->expected);
    unit_pair_same_bytes(p, "booked session", b->session, q->session);
    unit_pair_same_bytes(p, "booked class", class_name(b->service_class),
                         class_name(q->service_class));
    unit_pair_same_bytes(p, "booked flow", b->flow, q->flow);
    check_left(p, q->flow, isl + q->osl, b);
    unit_pair_same_bytes(p, "booked prefilling worker", b->prefill_worker, best->prefill_worker);
    unit_pair_same(p, "booked prefilling rank", b->prefill_rank, best->prefill_rank);
    unit_pair_same(p, "booked prefilling overlap", b->prefill_overlap, best->prefill_overlap);
    unit_pair_same(p, "cached where it is computed", (uint64_t)b->prefill_cached,
                   (uint64_t)best->prefill_cached);
    if (!near(p, b->cost, chosen->cost)) unit_pair_differs(p, "booked cost %g", b->cost);
    unit_pair_same(p, "predict_until", (uint64_t)b->predict_until,
                   (uint64_t)(o->predict ? p->now + o->predict : 0));
}

// The instance that the pool must choose where nothing is drawn; of the scores, least first. Of costs
// that are compared loosely, either side of a limit will do.
const struct unit_model_choice *unit_pair_choice(struct unit_pair *p, const struct kvr_query *q,
                                                 const struct unit_model_choice *all, size_t n,
                                                 const struct kvr_pool_score *got) {
    const struct unit_model_choice *chosen = find_score(p, all, n, got);
    double limit = 0;
    const struct unit_model_choice *held = unit_model_held(&p->model, p->now, q, all, n, &limit);
    if (held && held->score.cost <= limit && (p->exact || !near(p, held->score.cost, limit)))
        return held;
    if (held == chosen && near(p, held->score.cost, limit)) return held;
    if (q->rule.temperature > 0) return chosen;
    if (p->exact) return &all[0];
    if (!near(p, chosen->score.cost, all[0].score.cost))
        unit_pair_differs(p, "chose cost %.17g, least is %.17g", chosen->score.cost,
                          all[0].score.cost);
    return chosen;
}

// What one that waits is answered.
static void check_waits(struct unit_pair *p, struct kvr_bytes id, const struct kvr_query *q,
                        int64_t lease, const struct kvr_pool_choice *got) {
    bool changed;
    unit_pair_same_error(p, KVR_OK, unit_model_enqueue(&p->model, p->now, id, q, lease, &changed));
    unit_pair_same(p, "waiting", got->waiting, 1);
    unit_pair_same(p, "repeat", got->repeat, 0);
    unit_pair_same(p, "changed", got->changed, changed);
    unit_pair_same(p, "version", got->version, p->model.stats.version);
    if (got->estimate < -1) unit_pair_differs(p, "an estimate of %" PRId64, got->estimate);
    if (got->position >= p->model.queue.n_waiting)
        unit_pair_differs(p, "position %" PRIu64 " of %zu", got->position,
                          p->model.queue.n_waiting);
    if (unit_model_one_line(&p->model)) {
        const struct unit_model_waiting *w = unit_model_find_waiting(&p->model, id);
        unit_pair_same(p, "position", got->position, (uint64_t)(w - p->model.queue.waiting));
    }
    if (p->copy && changed)
        unit_pair_same_error(p, kvr_enqueue(p->copy, p->now, id, q, lease, &changed), KVR_OK);
}

static void check_chosen(struct unit_pair *p, struct kvr_bytes id, const struct kvr_query *q,
                         int64_t lease, const struct unit_model_choice *all, size_t n,
                         const struct kvr_pool_choice *got, struct kvr_booking *booking) {
    const struct unit_model_choice *best = unit_pair_choice(p, q, all, n, &got->score);
    const struct kvr_pool_score *chosen = &best->score;
    same_score(p, &got->score, chosen);
    same_prefill(p, got, q->pair, best->prefill_worker, best->prefill_rank, best->prefill_overlap);
    unit_pair_same(p, "repeat", got->repeat, 0);
    unit_pair_same(p, "waiting", got->waiting, 0);
    unit_pair_same(p, "waited", (uint64_t)got->waited, 0);
    unit_pair_same(p, "blocks", got->blocks, q->n);
    unit_pair_check_booking(p, q, lease, best, booking);
    unit_model_selected(&p->model, chosen, q->n, false);
    int booked;
    booking->hashes = q->hashes;
    unit_pair_same_error(
        p, KVR_OK, unit_model_claim(&p->model, id, chosen->worker, chosen->rank, booking, &booked));
    unit_pair_same(p, "version", got->version, p->model.stats.version);
    if (p->copy)
        unit_pair_same_error(
            p, kvr_claim(p->copy, id, chosen->worker, chosen->rank, booking, &booked), KVR_OK);
}

// Refused, for this reason; or it waits.
static enum kvr_err check_refusal(struct unit_pair *p, struct kvr_bytes id,
                                  const struct kvr_query *q, int64_t lease, enum kvr_err why,
                                  enum kvr_err err, const struct kvr_pool_choice *got) {
    struct unit_model *m = &p->model;
    if (q->wait > 0 && why != KVR_NOCLASS) {
        if (!unit_model_full(m, q)) {
            unit_pair_same_error(p, err, KVR_OK);
            check_waits(p, id, q, lease, got);
            return err;
        }
        why = KVR_NOROOM;
    }
    unit_pair_same_error(p, err, why);
    if (why == KVR_NOROOM) {
        m->stats.refused++;
        unit_model_find_class(m, q->service_class)->refused++;
    }
    if (why == KVR_LIMITED) m->stats.limited++;
    if ((why == KVR_NOROOM || why == KVR_LIMITED) && got->retry < 1)
        unit_pair_differs(p, "to be retried after %" PRId64 " ms", got->retry);
    return err;
}

void unit_pair_holds(struct unit_pair *p, struct unit_model_holds *holds) {
    *holds = (struct unit_model_holds){
        .all = unit_must_alloc(p->pool->queue.n_held * sizeof *holds->all)};
    for (uint32_t i = 0; i < p->pool->n_instances; i++) {
        const struct core_instance *in = &p->pool->instances[i];
        if (!in->held_for) continue;
        struct kvr_bytes worker = {in->worker->name, in->worker->name_len};
        struct kvr_bytes id = {in->held_for->id, in->held_for->id_len};
        struct unit_model_hold *h = &holds->all[holds->n++];
        if (!unit_model_find_waiting(&p->model, id)) unit_pair_differs(p, "kept for nobody");
        h->id.n = id.n;
        memcpy(h->id.bytes, id.p, id.n);
        h->instance = unit_model_find_rank(&p->model, worker, in->rank)->id;
    }
}

enum kvr_err unit_pair_select(struct unit_pair *p, struct kvr_bytes id, const struct kvr_query *q,
                              int64_t lease, double random) {
    log_query(p, "select", id, q);
    struct kvr_pool_choice got;
    struct kvr_booking booking;
    memset(&got, 0, sizeof got);
    memset(&booking, 0, sizeof booking);
    struct unit_pair_told told;
    unit_pair_explain(p, q, &told);
    uint64_t failures = p->mem.failures;
    bool behind = kvr_admit_left(p->pool, p->now), either;
    enum kvr_err err = kvr_select(p->pool, p->now, id, q, lease, random, &got, &booking);
    if (unit_pair_out_of_memory(p, err, failures)) return err;
    const struct unit_model_request *live = unit_model_find_request(&p->model, id);
    if (live) {
        bool came;
        unit_pair_same_error(p, err, KVR_OK);
        unit_pair_same_error(p, unit_model_come(&p->model, p->now, id, &came), KVR_OK);
        check_repeat(p, live, q->pair, &got);
        unit_pair_same(p, "came", got.came, came);
        unit_model_selected(&p->model, NULL, 0, true);
        unit_pair_same(p, "version", got.version, p->model.stats.version);
        if (p->copy && came) unit_pair_same_error(p, kvr_come(p->copy, p->now, id, &came), KVR_OK);
        return err;
    }
    if (unit_model_find_waiting(&p->model, id)) {
        unit_pair_same_error(p, err, KVR_OK);
        check_waits(p, id, q, lease, &got);
        return err;
    }
    unit_pair_same_told(p, q, &told, err, &got);
    struct unit_model_holds holds; // a choice changes none
    struct unit_model_choice *all;
    size_t n;
    unit_pair_holds(p, &holds);
    enum kvr_err why = unit_model_place(&p->model, p->now, q, &holds, &all, &n, behind, &either);
    if (why == KVR_OK && behind) why = KVR_NOROOM; // as if they stood before him
    if (either && err == KVR_OK && !got.waiting) why = n && !behind ? KVR_OK : KVR_NOROOM;
    if (either && err == KVR_NOROOM && q->wait <= 0) why = KVR_NOROOM;
    // Without room it may not have been seen yet that those of its flow who wait may go on.
    if (why == KVR_NOROOM && err == KVR_LIMITED && unit_model_flow_waiting(&p->model, q->flow))
        why = KVR_LIMITED;
    if (why != KVR_OK) {
        check_refusal(p, id, q, lease, why, err, &got);
    } else {
        unit_pair_same_error(p, err, KVR_OK);
        check_chosen(p, id, q, lease, all, n, &got, &booking);
    }
    free(all);
    free(holds.all);
    return err;
}
