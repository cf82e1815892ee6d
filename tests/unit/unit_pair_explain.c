// SPDX-License-Identifier: Apache-2.0
// What EXPLAIN says, against what SELECT then does; see unit_pair.h.
#include "unit_pair.h"

#include <inttypes.h>
#include <math.h>

static bool about(double a, double b) {
    return fabs(a - b) <= 1e-9 * (1 + fabs(a) + fabs(b));
}

// A cost is its terms' sum, left with four significant bits where the rule does that.
static void check_cost(struct unit_pair *p, const struct kvr_query *q,
                       const struct kvr_pool_candidate *c) {
    double cost = c->score.cost, slack = q->rule.policy == KVR_DELAY ? c->sum / 16 : 0;
    if (cost == INFINITY) unit_pair_differs(p, "an infinite cost");
    if (!q->pair && c->reason == KVR_REASON_NO_PREFILL) unit_pair_differs(p, "lacks a prompt");
    if (!q->pair || c->reason) {
        if (fabs(c->sum - cost) > slack + 1e-9 * (1 + fabs(cost)))
            unit_pair_differs(p, "a cost of %g, terms of %g", cost, c->sum);
        return;
    }
    if (c->prefill_worker.n && c->prefill_cost + c->decode_cost + c->transfer_cost != cost)
        unit_pair_differs(p, "a pair of %g, %g and %g costs %g", c->prefill_cost, c->decode_cost,
                          c->transfer_cost, cost);
    if (!c->prefill_worker.n && c->prefill_cost >= 0 && cost > c->prefill_cost + c->decode_cost)
        unit_pair_differs(p, "one costs %g, its parts %g and %g", cost, c->prefill_cost,
                          c->decode_cost);
}

// The chosen one first, wherever its place is; the others by place; then those without one.
static void check_order(struct unit_pair *p, const struct unit_pair_told *t) {
    const struct kvr_pool_candidate *c = t->candidates;
    bool refused = t->all.result != KVR_OK;
    uint64_t place = 0, first = t->all.n ? c[0].place : 0;
    double chance = 0;
    if ((t->all.by == KVR_DECIDED_ROOM || t->all.by == KVR_DECIDED_ELIGIBLE) && t->all.places)
        unit_pair_differs(p, "refused, though there are places");
    if (!refused && (!first || first > t->all.places)) unit_pair_differs(p, "nobody is first");
    for (size_t i = refused ? 0 : 1; i < t->all.n; i++) {
        if (++place == first && !refused) place++;
        bool placed = place <= t->all.places;
        unit_pair_same(p, "place", c[i].place, placed ? place : 0);
        unit_pair_same(p, "whether there is a reason", c[i].reason != KVR_REASON_NONE, !placed);
        if (i > (refused ? 0u : 1u) && !c[i].reason == !c[i - 1].reason &&
            c[i].score.cost < c[i - 1].score.cost)
            unit_pair_differs(p, "candidates out of order");
    }
    for (size_t i = 0; i < t->all.n; i++)
        chance += c[i].chance;
    if (chance > 1 + 1e-9 || (!refused && t->all.n == t->all.instances && !about(chance, 1)) ||
        (refused && chance > 0))
        unit_pair_differs(p, "chances of %g", chance);
}

// Where all are told: who lacks no more than room is who is scored.
static void check_reasons(struct unit_pair *p, const struct kvr_query *q,
                          const struct unit_pair_told *t) {
    const struct kvr_pool_score *scores;
    size_t n, eligible = 0;
    if (q->pair || t->all.n < t->all.instances || kvr_scores(p->pool, p->now, q, &scores, &n))
        return;
    for (size_t i = 0; i < t->all.n; i++) {
        const struct kvr_pool_candidate *c = &t->candidates[i];
        eligible += !c->reason || c->reason >= KVR_REASON_KEPT;
        for (size_t k = 0; k < n; k++)
            if (scores[k].rank == c->score.rank &&
                !unit_bytes_compare(scores[k].worker, c->score.worker) &&
                scores[k].cost != c->score.cost)
                unit_pair_differs(p, "explained %.17g, scored %.17g", c->score.cost,
                                  scores[k].cost);
    }
    unit_pair_same(p, "eligible", eligible, n);
}

void unit_pair_explain(struct unit_pair *p, const struct kvr_query *q, struct unit_pair_told *out) {
    uint64_t version = kvr_pool_version(p->pool), instances = unit_model_instances(&p->model);
    out->err = kvr_explain(p->pool, p->now, q, UNIT_PAIR_TOP, out->candidates, &out->all);
    unit_pair_same(p, "version after EXPLAIN", kvr_pool_version(p->pool), version);
    if (out->err) return;
    unit_pair_same(p, "instances", out->all.instances, instances);
    unit_pair_same(p, "candidates", out->all.n,
                   instances < UNIT_PAIR_TOP ? instances : UNIT_PAIR_TOP);
    for (size_t i = 0; i < out->all.n; i++)
        check_cost(p, q, &out->candidates[i]);
    check_order(p, out);
    check_reasons(p, q, out);
}

static bool is_chosen(const struct kvr_pool_candidate *c, const struct kvr_pool_score *s) {
    return c->score.rank == s->rank && !unit_bytes_compare(c->score.worker, s->worker);
}

static void same_choice(struct unit_pair *p, const struct kvr_query *q,
                        const struct kvr_pool_candidate *c, const struct kvr_pool_choice *got) {
    unit_pair_same_bytes(p, "explained worker", c->score.worker, got->score.worker);
    unit_pair_same(p, "explained rank", c->score.rank, got->score.rank);
    unit_pair_same(p, "explained overlap", c->score.overlap, got->score.overlap);
    unit_pair_same(p, "explained expected", c->score.expected, got->score.expected);
    unit_pair_same(p, "explained cached", (uint64_t)c->score.cached, (uint64_t)got->score.cached);
    if (c->score.cost != got->score.cost || c->score.ttft != got->score.ttft)
        unit_pair_differs(p, "explained cost %g, ttft %g", c->score.cost, c->score.ttft);
    if (!q->pair) return;
    unit_pair_same_bytes(p, "explained prompt", c->prefill_worker, got->prefill_worker);
    unit_pair_same_bytes(p, "explained address", c->prefill_addr, got->prefill_addr);
    unit_pair_same(p, "explained prompt's rank", c->prefill_rank, got->prefill_rank);
    unit_pair_same(p, "explained prompt's overlap", c->prefill_overlap, got->prefill_overlap);
}

void unit_pair_same_told(struct unit_pair *p, const struct kvr_query *q,
                         const struct unit_pair_told *told, enum kvr_err err,
                         const struct kvr_pool_choice *got) {
    if (told->err == KVR_NOMEM) return;
    if (told->err) return unit_pair_same_error(p, told->err, err);
    const struct kvr_pool_explanation *e = &told->all;
    if (e->result != KVR_OK && q->wait > 0) { // it waits, unless too many do
        if (!got->waiting) unit_pair_same_error(p, err, KVR_NOROOM);
        return;
    }
    unit_pair_same_error(p, e->result, err);
    if (err == KVR_LIMITED || err == KVR_NOROOM)
        unit_pair_same(p, "retry", (uint64_t)e->retry, (uint64_t)got->retry);
    if (err != KVR_OK) return;
    if (e->by != KVR_DECIDED_DRAW) return same_choice(p, q, &told->candidates[0], got);
    for (size_t i = 0; i < e->n; i++)
        if (is_chosen(&told->candidates[i], &got->score) && !(told->candidates[i].chance > 0))
            unit_pair_differs(p, "drawn without a chance");
}
