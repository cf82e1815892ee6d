// SPDX-License-Identifier: Apache-2.0
#include "decision_record.h"

#include <kvroute/hash.h>
#include <string.h>

static uint64_t hash_id(struct kvr_bytes id) {
    return XXH3_64bits(id.p, id.n);
}

// A record, and how what stands behind it is laid out.
static struct kvr_decision_record *allocate(struct core_mem *m, size_t candidates, size_t hashes,
                                            size_t names) {
    size_t bytes = sizeof(struct kvr_decision_record) +
                   candidates * sizeof(struct kvr_decision_candidate) + hashes * sizeof(uint64_t) +
                   names;
    struct kvr_decision_record *r = core_mem_alloc(m, bytes);
    if (!r) return NULL;
    *r = (struct kvr_decision_record){
        .bytes = bytes, .n = (uint32_t)candidates, .n_hashes = (uint32_t)hashes};
    r->candidates = (const struct kvr_decision_candidate *)(void *)(r + 1);
    r->hashes = (const uint64_t *)(const void *)(r->candidates + candidates);
    return r;
}

static bool is_instance(const struct kvr_decision_candidate *c, struct kvr_bytes worker,
                        uint32_t rank) {
    return c->rank == rank && c->worker.n == worker.n &&
           memcmp(c->worker.p, worker.p, worker.n) == 0;
}

static int place_of(const struct kvr_decision_record *r, struct kvr_bytes worker, uint32_t rank) {
    for (uint32_t i = 0; i < r->n; i++)
        if (is_instance(&r->candidates[i], worker, rank)) return (int)i;
    return -1;
}

static struct kvr_decision_candidate keep_candidate(const struct kvr_pool_candidate *c,
                                                    char **names) {
    const struct kvr_pool_score *s = &c->score;
    struct kvr_decision_candidate kept = {
        .worker = {*names, s->worker.n},
        .told = c->told,
        .cost = s->cost,
        .ttft = s->ttft,
        .tpot = s->tpot,
        .capacity = c->capacity,
        .booked = c->booked,
        .rank = s->rank,
        .overlap = s->overlap,
        .expected = s->expected,
        .reason = c->reason,
    };
    memcpy(*names, s->worker.p, s->worker.n);
    *names += s->worker.n;
    return kept;
}

struct kvr_decision_record *kvr_decision_record_new(struct core_mem *m, const struct kvr_pool *p,
                                                    int64_t now, struct kvr_bytes id,
                                                    const struct kvr_query *q, bool hashes,
                                                    const struct kvr_pool_explanation *e,
                                                    const struct kvr_pool_candidate *candidates) {
    size_t names = 0, n_hashes = !hashes                      ? 0
                                 : q->n < KVR_DECISION_HASHES ? q->n
                                                              : KVR_DECISION_HASHES;
    for (size_t i = 0; i < e->n; i++)
        names += candidates[i].score.worker.n;
    struct kvr_decision_record *r = allocate(m, e->n, n_hashes, names);
    if (!r) return NULL;
    struct kvr_decision_candidate *kept = (struct kvr_decision_candidate *)(void *)(r + 1);
    uint64_t *to = (uint64_t *)(void *)(kept + e->n);
    char *at = (char *)(to + n_hashes);
    for (size_t i = 0; i < e->n; i++)
        kept[i] = keep_candidate(&candidates[i], &at);
    if (n_hashes) memcpy(to, q->hashes, n_hashes * sizeof *to);
    const struct kvr_options *o = kvr_pool_options(p);
    r->kind = KVR_DECISION_SELECT;
    r->at = now;
    r->request = hash_id(id);
    r->by = e->by;
    r->pair = q->pair;
    r->isl = e->isl;
    r->osl = q->osl;
    r->blocks = (uint32_t)q->n;
    r->block_size = o->block_size;
    r->rule = q->rule;
    r->output = e->output;
    r->first_weight = e->first_weight;
    r->arrivals = e->arrivals;
    r->reuse = e->reuse;
    r->stick = o->stick;
    r->session = e->session ? place_of(r, e->session_worker, e->session_rank) : -1;
    r->chosen = -1;
    r->left_out = e->instances - e->n;
    return r;
}

void kvr_decision_record_result(struct kvr_decision_record *r, enum kvr_err result,
                                const struct kvr_pool_choice *choice) {
    r->result = result;
    if (result != KVR_OK) return;
    r->waits = choice->waiting;
    if (r->waits) return;
    r->chosen = place_of(r, choice->score.worker, choice->score.rank);
    r->cost = choice->score.cost;
}

struct kvr_decision_record *kvr_decision_record_end(struct core_mem *m, int64_t now,
                                                    const struct kvr_request_info *live,
                                                    bool lapsed) {
    struct kvr_decision_record *r = allocate(m, 0, 0, 0);
    if (!r) return NULL;
    r->kind = KVR_DECISION_END;
    r->at = now;
    r->request = hash_id(live->id);
    r->ttft = live->ttft;
    r->duration = live->age;
    r->output_tokens = live->output;
    r->lapsed = lapsed;
    return r;
}
