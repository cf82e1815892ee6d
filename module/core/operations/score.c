// SPDX-License-Identifier: Apache-2.0
// All scores, least cost first.
#include <stdlib.h>

#include "choose.h"
#include "module/core/state/room.h"
#include "module/core/state/service_class.h"

// qsort can't carry the pool, so what breaks ties stands in each row; rows are made in name and
// rank order.
struct score_row {
    double cost;
    uint64_t booked, order;
    uint32_t instance;
};

static int by_cost(const void *left, const void *right) {
    const struct score_row *a = left, *b = right;
    if (a->cost != b->cost) return a->cost < b->cost ? -1 : 1;
    if (a->booked != b->booked) return a->booked < b->booked ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

enum kvr_err kvr_scores(struct kvr_pool *p, int64_t now, const struct kvr_query *q,
                        const struct kvr_pool_score **out, size_t *n) {
    enum kvr_err err = core_query_check(p, q);
    if (err) return err;
    if (core_mem_grow(&p->mem, &p->scores, &p->cap_scores, p->live_instances + 1u,
                      sizeof *p->scores))
        return KVR_NOMEM;
    size_t bytes = (p->live_instances + 1u) * sizeof(struct score_row);
    struct score_row *rows = core_mem_alloc(&p->mem, bytes);
    if (!rows) return KVR_NOMEM;
    core_choose_compute(p, now, q);
    core_choose_marks(p, q, true);
    bool circuits = core_choose_circuits(p, now, q);
    *n = 0;
    for (size_t i = 0; i < p->n_workers; i++) {
        const struct core_worker *w = p->workers[i];
        if (!core_choose_eligible(p, w, now, q, circuits)) continue;
        for (uint32_t r = 0; r < w->ranks; r++, ++*n) {
            uint32_t at = w->instances[r];
            rows[*n] = (struct score_row){p->columns.cost[at], p->instances[at].booked, *n, at};
        }
    }
    core_choose_marks(p, q, false);
    qsort(rows, *n, sizeof *rows, by_cost);
    for (size_t i = 0; i < *n; i++)
        p->scores[i] = core_choose_score(p, now, q, rows[i].instance);
    for (size_t i = 0; i < *n; i++)
        p->scores[i].room =
            core_room_for(p, rows[i].instance, core_class_room(p->queue.default_class), q->n,
                          (uint64_t)p->columns.live_prefix[rows[i].instance]);
    core_mem_free(&p->mem, rows, bytes);
    *out = p->scores;
    return KVR_OK;
}
