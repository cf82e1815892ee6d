// SPDX-License-Identifier: Apache-2.0
#include "prediction.h"

#include "instance.h"

enum kvr_err core_prediction_add(struct kvr_pool *p, uint32_t instance, const uint64_t *hashes,
                                 size_t n, int64_t until, uint64_t number,
                                 struct core_request *of) {
    struct core_instance *in = &p->instances[instance];
    uint64_t capacity = in->worker->capacity, fresh;
    if (capacity && n > capacity) n = capacity; // a head of it is still a prefix
    if (!n) return KVR_OK;
    if (core_deadlines_reserve(&p->predictions)) return KVR_NOMEM;
    struct core_prediction *f = core_mem_calloc(&p->mem, sizeof *f);
    if (!f) return KVR_NOMEM;
    if (core_live_add(&p->predicted, instance, hashes, n, &f->end, &fresh)) {
        core_mem_free(&p->mem, f, sizeof *f);
        return KVR_NOMEM;
    }
    f->instance = instance;
    f->blocks = (uint32_t)n;
    f->request = of;
    if (of) of->prediction = f;
    f->prev = in->newest;
    if (in->newest)
        in->newest->next = f;
    else
        in->oldest = f;
    in->newest = f;
    in->predicted += fresh;
    f->due.number = number;
    core_deadlines_add(&p->predictions, &f->due, until);
    core_predictions_cap(p, instance);
    return KVR_OK;
}

// At most the worker's capacity stays, the newest.
void core_predictions_cap(struct kvr_pool *p, uint32_t instance) {
    struct core_instance *in = &p->instances[instance];
    uint64_t capacity = in->worker->capacity;
    while (capacity && in->predicted > capacity)
        core_prediction_end(p, in->oldest);
}

void core_prediction_end(struct kvr_pool *p, struct core_prediction *f) {
    struct core_instance *in = &p->instances[f->instance];
    if (f->prev)
        f->prev->next = f->next;
    else
        in->oldest = f->next;
    if (f->next)
        f->next->prev = f->prev;
    else
        in->newest = f->prev;
    in->predicted -= core_live_remove(&p->predicted, f->instance, f->end);
    core_instance_refresh(p, f->instance);
    core_deadlines_remove(&p->predictions, &f->due);
    if (f->request) f->request->prediction = NULL;
    core_mem_free(&p->mem, f, sizeof *f);
}

void core_predictions_drop(struct kvr_pool *p, uint32_t instance) {
    while (p->instances[instance].oldest)
        core_prediction_end(p, p->instances[instance].oldest);
}

bool kvr_due_prediction(const struct kvr_pool *p, int64_t now) {
    const struct core_deadline *first = core_deadlines_first(&p->predictions);
    return first && first->at <= now;
}

size_t kvr_forget(struct kvr_pool *p, int64_t at, size_t max) {
    size_t n = 0;
    while (n < max && kvr_due_prediction(p, at)) {
        char *first = (char *)core_deadlines_first(&p->predictions);
        core_prediction_end(
            p, (struct core_prediction *)(first - offsetof(struct core_prediction, due)));
        n++;
    }
    if (n) p->version++;
    return n;
}
