// SPDX-License-Identifier: Apache-2.0
#include "leg.h"

#include <string.h>

#include "instance.h"
#include "prediction.h"
#include "prefill_queue.h"
#include "worker.h"

static struct core_leg *leg_new(struct kvr_pool *p, struct core_request *r,
                                struct kvr_bytes worker) {
    struct core_leg *g = core_mem_calloc(&p->mem, sizeof *g + worker.n);
    if (!g) return NULL;
    g->request = r;
    g->name_len = (uint16_t)worker.n;
    memcpy(g->name, worker.p, worker.n);
    return g;
}

void core_leg_free(struct kvr_pool *p, struct core_request *r) {
    if (r->leg) core_mem_free(&p->mem, r->leg, sizeof *r->leg + r->leg->name_len);
    r->leg = NULL;
}

enum kvr_err core_leg_remember(struct kvr_pool *p, struct core_request *r, struct kvr_bytes worker,
                               uint32_t rank, uint32_t overlap, int64_t tokens) {
    struct core_leg *g = leg_new(p, r, worker);
    if (!g) return KVR_NOMEM;
    g->rank = rank;
    g->overlap = overlap;
    g->tokens = tokens;
    r->leg = g;
    return KVR_OK;
}

enum kvr_err core_leg_add(struct kvr_pool *p, struct core_request *r, uint32_t instance,
                          const struct kvr_booking *b, int64_t tokens, uint64_t number) {
    struct core_instance *in = &p->instances[instance];
    struct kvr_bytes worker = {in->worker->name, in->worker->name_len};
    if (core_leg_remember(p, r, worker, in->rank, b->prefill_overlap, tokens)) return KVR_NOMEM;
    struct core_leg *g = r->leg;
    uint64_t fresh;
    if (core_live_add(&p->legs, instance, b->hashes, b->n, &g->end, &fresh)) {
        core_leg_free(p, r);
        return KVR_NOMEM;
    }
    if (b->predict_until &&
        core_prediction_add(p, instance, b->hashes, b->n, b->predict_until, number, r, true)) {
        core_live_remove(&p->legs, instance, g->end);
        core_leg_free(p, r);
        return KVR_NOMEM;
    }
    g->instance = instance;
    g->at_work = true;
    g->next = in->legs;
    if (g->next) g->next->prev = g;
    in->legs = g;
    in->n_legs++;
    p->instances[r->instance].n_away++;
    return KVR_OK;
}

void core_leg_stop(struct kvr_pool *p, struct core_request *r) {
    struct core_leg *g = r->leg;
    if (!g || !g->at_work) return;
    struct core_instance *in = &p->instances[g->instance];
    if (!r->prefilled) core_prefill_dequeue(in, r);
    *(g->prev ? &g->prev->next : &in->legs) = g->next;
    if (g->next) g->next->prev = g->prev;
    g->prev = g->next = NULL;
    in->n_legs--;
    p->instances[r->instance].n_away--;
    core_live_remove(&p->legs, g->instance, g->end);
    g->end = NULL;
    g->at_work = false;
    core_instance_refresh(p, g->instance);
}

bool core_leg_live(const struct kvr_pool *p, const struct core_request *r) {
    return r->leg && r->leg->at_work && p->instances[r->leg->instance].worker;
}

enum kvr_err core_leg_find(struct kvr_pool *p, const struct kvr_booking *b, uint32_t *instance,
                           int64_t *tokens) {
    *instance = CORE_NO_INSTANCE;
    *tokens = 0;
    if (!b->prefill_worker.n) return KVR_OK;
    *instance = core_instance_find(p, b->prefill_worker, b->prefill_rank);
    if (*instance == CORE_NO_INSTANCE) return KVR_NOWORKER;
    int64_t isl = b->isl < 0 ? (int64_t)b->n * p->options.block_size : b->isl;
    *tokens = isl - b->prefill_cached;
    return KVR_OK;
}

const char *core_legs_validate(const struct kvr_pool *p) {
    const char *wrong = core_live_validate(&p->legs);
    uint64_t legs = 0, at_work = 0;
    for (uint32_t i = 0; i < p->n_instances && !wrong; i++) {
        const struct core_instance *in = &p->instances[i];
        uint64_t n = 0;
        const struct core_leg *before = NULL;
        for (const struct core_leg *g = in->legs; g; before = g, g = g->next, n++)
            if (g->prev != before || g->instance != i || !g->at_work || g->request->leg != g ||
                g->request->prefilled)
                return "leg: one stands in a wrong place";
        if (n != in->n_legs) return "leg: the number of legs is wrong";
        legs += n;
        uint64_t away = 0;
        for (const struct core_request *r = in->first; r; r = r->next) {
            if (!r->leg) continue;
            if (r->leg->request != r || r->leg->tokens < 0) return "leg: another's";
            if (r->leg->at_work && r->leg->instance == i) return "leg: at home";
            const struct core_prediction *f = r->leg->prediction;
            if (f && (f->request != r || !f->of_leg)) return "leg: another's prediction";
            away += r->leg->at_work;
        }
        if (away != in->n_away) return "leg: the number of those away is wrong";
        if (away && !in->worker) return "leg: of a dropped request";
        at_work += away;
    }
    return wrong || legs == at_work ? wrong : "leg: one of no request";
}
