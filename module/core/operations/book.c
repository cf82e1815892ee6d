// SPDX-License-Identifier: Apache-2.0
#include "book.h"

#include "choose.h"
#include "module/core/state/worker.h"
#include "module/core/state/worker_circuit.h"
#include "pair.h"

struct kvr_booking core_book_make(const struct kvr_pool *p, int64_t now, const struct kvr_query *q,
                                  uint32_t instance, const struct kvr_pool_score *s,
                                  int64_t lease) {
    struct kvr_booking b = {
        .hashes = q->hashes,
        .n = q->n,
        .isl = core_query_isl(p, q),
        .osl = q->osl,
        .cached = s->cached,
        .lease = lease < 0 ? p->options.lease : lease,
        .created = now,
        .renewed = now,
        .predict_until = p->options.predict ? now + p->options.predict : 0,
        .overlap = s->overlap,
        .expected = s->expected,
        .cost = s->cost,
        .session = q->session,
        .service_class = q->service_class,
        .flow = q->flow,
    };
    uint32_t prefill = q->pair ? core_pair_prefill(p, instance) : CORE_NO_INSTANCE;
    if (prefill == CORE_NO_INSTANCE) return b;
    const struct core_instance *in = &p->instances[prefill];
    b.prefill_worker = (struct kvr_bytes){in->worker->name, in->worker->name_len};
    b.prefill_rank = in->rank;
    b.prefill_overlap = p->columns.reach[prefill];
    b.prefill_cached = core_choose_cached(p, q, prefill);
    return b;
}

void core_book_circuits(struct kvr_pool *p, uint32_t instance, const struct kvr_booking *b,
                        int64_t at) {
    core_circuit_booked(p, p->instances[instance].worker, at);
    long prefill = b->prefill_worker.n ? core_worker_find(p, b->prefill_worker, NULL) : -1;
    if (prefill >= 0) core_circuit_booked(p, p->workers[prefill], at);
}

void core_book_left(const struct core_flow *f, struct kvr_booking *b) {
    b->has_left = f && f->rate;
    b->left = b->has_left ? f->left : 0;
}

void core_book_count(struct kvr_pool *p, const struct kvr_query *q,
                     const struct kvr_pool_score *s) {
    p->stats.selects++;
    p->stats.select_blocks += q->n;
    p->stats.overlap_blocks += s->overlap;
    p->stats.expected_blocks += s->expected;
}

enum kvr_err kvr_prefill_cached(struct kvr_pool *p, int64_t now, struct kvr_booking *b) {
    struct kvr_query q = {.hashes = b->hashes, .n = b->n, .isl = b->isl, .rule = p->options.rule};
    enum kvr_err err = core_query_check(p, &q);
    if (err) return err;
    uint32_t instance = core_instance_find(p, b->prefill_worker, b->prefill_rank);
    if (instance == CORE_NO_INSTANCE) return KVR_NOWORKER;
    core_choose_compute(p, now, &q);
    b->prefill_cached = core_choose_cached(p, &q, instance);
    b->prefill_overlap = p->columns.reach[instance];
    return KVR_OK;
}
