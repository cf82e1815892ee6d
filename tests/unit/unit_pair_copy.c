// SPDX-License-Identifier: Apache-2.0
// The copy that lives by what it is told, and takes over; see unit_pair.h.
#include <stdlib.h>

#include "unit_pair.h"

#include <inttypes.h>

#include "unit_saved.h"

void unit_pair_follow(struct unit_pair *p) {
    struct kvr_alloc a = support_alloc_use(&p->copy_mem);
    enum kvr_err err;
    unsigned one_in = p->mem.one_in;
    p->mem.one_in = 0; // saving needs memory, too
    p->copy = unit_saved_copy(p->pool, &a, &err);
    p->mem.one_in = one_in;
    if (!p->copy) unit_pair_differs(p, "no copy");
}

void unit_pair_copy_claim(struct unit_pair *p, struct kvr_bytes id, struct kvr_bytes worker,
                          uint32_t rank, const struct kvr_booking *b) {
    if (!p->copy) return;
    const struct unit_model_flow *f = unit_model_find_flow(&p->model, b->flow);
    struct kvr_booking told = *b;
    told.has_left = f && f->rate;
    told.left = told.has_left ? f->left : 0;
    int booked;
    unit_pair_same_error(p, kvr_claim(p->copy, id, worker, rank, &told, &booked), KVR_OK);
}

void unit_pair_copy_release(struct unit_pair *p, const struct kvr_bytes *ids, size_t n,
                            enum kvr_end how, size_t ended) {
    if (p->copy && ended)
        unit_pair_same(p, "copied", kvr_release(p->copy, p->now, ids, n, how), ended);
}

void unit_pair_renew_all(struct unit_pair *p) {
    unit_pair_log(p, "renew all at %" PRId64, p->now);
    kvr_renew_all(p->pool, p->now);
    if (p->copy) kvr_renew_all(p->copy, p->now); // or it would know times of a clock that was wrong
    unit_model_renew_all(&p->model, p->now);
}

// What is counted since the server started begins anew where another goes on.
static void take_counters(struct unit_pair *p) {
    struct kvr_stats got;
    kvr_pool_stats(p->pool, p->now, &got);
    for (const struct unit_stat *at = unit_model_stats; at < unit_model_stats + UNIT_MODEL_STATS;
         at++)
        if (at->counted) *stat_of(&p->model.stats, at) = *stat_of(&got, at);
    size_t n = kvr_class_count(p->pool);
    struct kvr_class_info *all = unit_must_alloc(n * sizeof *all);
    kvr_classes(p->pool, p->now, all);
    for (size_t i = 0; i < n; i++) {
        struct kvr_class_info c = all[i];
        struct unit_model_class *m = unit_model_find_class(&p->model, c.name);
        if (!m) unit_pair_differs(p, "class '%.*s'", (int)c.name.n, c.name.p);
        m->admitted = c.admitted;
        m->refused = c.refused;
    }
    free(all);
}

void unit_pair_promote(struct unit_pair *p) {
    unit_pair_log(p, "the copy takes over");
    kvr_pool_free(p->pool);
    support_alloc_check_freed(&p->mem, p->label);
    struct kvr_alloc a = support_alloc_use(&p->mem);
    enum kvr_err err;
    unsigned one_in = p->mem.one_in;
    p->mem.one_in = 0;
    p->pool = unit_saved_copy(p->copy, &a, &err); // for the allocator that is looked at
    p->mem.one_in = one_in;
    if (!p->pool) unit_pair_differs(p, "the copy can't be copied");
    unit_model_forget_renewal(&p->model);
    unit_pair_renew_all(p);
    take_counters(p);
}
