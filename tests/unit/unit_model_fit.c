// SPDX-License-Identifier: Apache-2.0
// What choosing an instance and choosing a pair both ask of the model.
#include "unit_model.h"

double unit_model_output(const struct unit_model *m, const struct kvr_query *q) {
    return q->osl > 0 ? (double)q->osl : m->learnt.output;
}

double unit_model_first_weight(const struct unit_model *m, const struct kvr_query *q) {
    double w = unit_model_output(m, q) * (double)m->options.slo_tbt / (double)m->options.slo_ttft;
    return w > 1 ? w : 1;
}

bool unit_model_fit_counted(const struct unit_model *m, const struct unit_model_worker *w,
                            const struct unit_model_rank *r, uint64_t percent) {
    const struct kvr_options *o = &m->options;
    struct kvr_rank_info load;
    unit_model_load(m, r->id, &load);
    if (!load.requests) return true;
    uint64_t max_requests = w->max_requests ? w->max_requests : o->max_requests;
    if (max_requests && (unit_wide)load.requests * 100 >= (unit_wide)max_requests * percent)
        return false;
    return !o->max_prefill ||
           (unit_wide)load.prefill_tokens * 100 < (unit_wide)o->max_prefill * percent;
}

bool unit_model_kept(const struct unit_model_limits *l, uint64_t instance) {
    for (size_t i = 0; l && i < l->n_kept; i++)
        if (l->kept[i] == instance) return true;
    return false;
}

int unit_model_by_preference(const void *a, const void *b) {
    const struct unit_model_candidate *x = a, *y = b;
    const struct kvr_pool_score *s = &x->choice.score, *t = &y->choice.score;
    if (s->cost != t->cost) return s->cost < t->cost ? -1 : 1;
    if (x->rank->booked != y->rank->booked) return x->rank->booked < y->rank->booked ? -1 : 1;
    int c = unit_bytes_compare(s->worker, t->worker);
    if (c) return c;
    return s->rank < t->rank ? -1 : s->rank > t->rank;
}

bool unit_model_labelled(const struct unit_model_worker *w, struct kvr_bytes label) {
    for (size_t i = 0; i < w->n_labels; i++)
        if (unit_bytes_compare((struct kvr_bytes){w->label[i].bytes, w->label[i].n}, label) == 0)
            return true;
    return false;
}
