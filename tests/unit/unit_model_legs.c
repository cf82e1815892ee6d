// SPDX-License-Identifier: Apache-2.0
// The model's pairs: all of them tried, one after the other; see unit_model.h.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "unit_model.h"

// Whether both have the same label that says which link they are on.
static bool share_link(const struct unit_model_worker *a, const struct unit_model_worker *b) {
    for (size_t i = 0; i < a->n_labels; i++) {
        struct kvr_bytes label = {a->label[i].bytes, a->label[i].n};
        if (label.n >= 5 && !memcmp(label.p, "link=", 5) && unit_model_labelled(b, label))
            return true;
    }
    return false;
}

static bool may_prefill(const struct unit_model *m, const struct unit_model_limits *l,
                        const struct unit_model_candidate *c) {
    return c->worker->role != KVR_ROLE_DECODE && !unit_model_kept(l, c->rank->id) &&
           (!l || unit_model_fit_counted(m, c->worker, c->rank, l->percent));
}

// Whether a is the better place for a prompt.
static bool is_better(const struct unit_model_candidate *a, const struct unit_model_candidate *b) {
    struct unit_model_candidate x = *a, y = *b;
    x.choice.score.cost = a->prefill;
    y.choice.score.cost = b->prefill;
    return unit_model_by_preference(&x, &y) < 0;
}

static double parts_of(const struct unit_model_candidate *c) {
    double parts = c->prefill + c->decode, cost = c->choice.score.cost;
    return c->worker->role == KVR_ROLE_DECODE || cost < parts ? cost : parts;
}

// The best pair that j decodes in. *by: where the prompt is computed, NULL: there.
static double best_of(const struct unit_model *m, const struct kvr_query *q,
                      const struct unit_model_limits *l, const struct unit_model_candidate *all,
                      size_t n, const struct unit_model_candidate *j,
                      const struct unit_model_candidate **by) {
    int64_t isl = q->isl < 0 ? (int64_t)q->n * m->options.block_size : q->isl;
    double lacks = (double)isl - (double)j->choice.score.expected * m->options.block_size;
    double weight = q->rule.policy == 1 ? unit_model_first_weight(m, q) : 1;
    double move = q->rule.prefill * weight * m->options.transfer / m->options.block_size;
    bool anybody = false; // who may compute prompts at all, with room or without
    *by = NULL;
    for (size_t i = 0; i < n; i++)
        anybody |= all[i].worker->role != KVR_ROLE_DECODE && !unit_model_kept(l, all[i].rank->id);
    if (!anybody || j->worker->role == KVR_ROLE_PREFILL || unit_model_kept(l, j->rank->id))
        return INFINITY;
    if (lacks < 0) lacks = 0;
    if (lacks <= (double)m->options.local_prefill)
        return l && l->strict && !may_prefill(m, l, j) ? INFINITY : parts_of(j);
    double best = may_prefill(m, l, j) ? parts_of(j) : INFINITY;
    for (size_t i = 0; i < n; i++) {
        if (&all[i] == j || !may_prefill(m, l, &all[i])) continue;
        double moved = share_link(all[i].worker, j->worker) ? 0.1 * move * lacks : move * lacks;
        double cost = all[i].prefill + j->decode + moved;
        if (cost > best || (cost == best && (!*by || !is_better(&all[i], *by)))) continue;
        best = cost;
        *by = &all[i];
    }
    return best;
}

void unit_model_pair_up(const struct unit_model *m, int64_t now, const struct kvr_query *q,
                        const struct unit_model_limits *l, struct unit_model_candidate *all,
                        size_t n) {
    struct unit_model_choice *found = unit_must_alloc(n * sizeof *found);
    int64_t isl = q->isl < 0 ? (int64_t)q->n * m->options.block_size : q->isl;
    for (size_t j = 0; j < n; j++) {
        const struct unit_model_candidate *by;
        struct unit_model_choice *c = &found[j];
        *c = all[j].choice;
        c->score.cost = best_of(m, q, l, all, n, &all[j], &by);
        if (!by) continue;
        c->prefill_worker = by->choice.score.worker;
        c->prefill_rank = by->choice.score.rank;
        c->prefill_overlap = by->choice.score.overlap;
        c->prefill_cached = by->choice.score.cached;
        struct core_forecast_case kind = unit_model_kind(m, by->rank, now, isl - c->prefill_cached);
        struct core_learnt learnt = m->learnt;
        c->score.ttft = core_learn_ttft(&learnt, &by->rank->learnt, &kind);
    }
    for (size_t j = 0; j < n; j++)
        all[j].choice = found[j];
    free(found);
}
