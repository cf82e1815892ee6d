// SPDX-License-Identifier: Apache-2.0
// Workers of the model as they come, change and go; see unit_model.h.
#include <stdlib.h>
#include <string.h>

#include "unit_model.h"

static void drop_instance(struct unit_model *m, uint64_t instance) {
    unit_model_clear(m, instance, -1);
    unit_model_prediction_drop_instance(m, instance);
    unit_model_session_drop_instance(m, instance);
    unit_model_drop_requests(m, instance);
}

static void set_ranks(struct unit_model *m, struct unit_model_worker *w, uint32_t ranks) {
    for (uint32_t i = ranks; i < w->ranks; i++)
        drop_instance(m, w->rank[i].id);
    w->rank = unit_must_resize(w->rank, ranks * sizeof *w->rank);
    for (uint32_t i = w->ranks; i < ranks; i++)
        w->rank[i] = (struct unit_model_rank){.id = ++m->last_id};
    w->ranks = ranks;
}

enum kvr_err unit_model_worker_set(struct unit_model *m, int64_t seen, struct kvr_bytes name,
                                   const struct kvr_worker_settings *set, int *created) {
    if (name.n < 1 || name.n > KVR_MAX_NAME) return KVR_RANGE;
    if ((set->set & KVR_SET_ADDR) && set->addr.n > KVR_MAX_ADDR) return KVR_RANGE;
    if ((set->set & KVR_SET_RANKS) && (set->ranks < 1 || set->ranks > KVR_MAX_RANKS))
        return KVR_RANGE;
    if ((set->set & KVR_SET_CAPACITY) && set->capacity > (uint64_t)1 << 53) return KVR_RANGE;
    if ((set->set & KVR_SET_STATE) && set->state != KVR_READY && set->state != KVR_DRAINING)
        return KVR_RANGE;
    if ((set->set & KVR_SET_TTL) && (set->ttl < 0 || set->ttl > KVR_MAX_MS)) return KVR_RANGE;
    if ((set->set & KVR_SET_SPEED) && !(set->speed >= 0 && set->speed <= KVR_MAX_SPEED))
        return KVR_RANGE;
    if ((set->set & KVR_SET_LABELS) && set->n_labels > KVR_MAX_LABELS) return KVR_RANGE;
    for (size_t i = 0; (set->set & KVR_SET_LABELS) && i < set->n_labels; i++)
        if (set->labels[i].n < 1 || set->labels[i].n > KVR_MAX_LABEL) return KVR_RANGE;
    if ((set->set & KVR_SET_DRAIN) && (set->drain < 0 || set->drain > KVR_MAX_MS)) return KVR_RANGE;
    struct unit_model_worker *w = unit_model_find_worker(m, name);
    uint32_t ranks = set->set & KVR_SET_RANKS ? set->ranks : w ? w->ranks : 1;
    if (unit_model_instances(m) - (w ? w->ranks : 0) + ranks > KVR_MAX_INSTANCES) return KVR_LIMIT;
    *created = !w;
    if (!w) {
        m->workers = unit_must_resize(m->workers, (m->n_workers + 1) * sizeof *m->workers);
        w = &m->workers[m->n_workers++];
        memset(w, 0, sizeof *w);
        memcpy(w->name, name.p, name.n);
        w->name_len = name.n;
        w->ttl = -1;
    }
    if (set->set & KVR_SET_ADDR) {
        if (set->addr.n) memcpy(w->addr, set->addr.p, set->addr.n);
        w->addr_len = set->addr.n;
    }
    if (set->set & KVR_SET_CAPACITY) w->capacity = set->capacity;
    if (set->set & KVR_SET_STATE) {
        w->state = set->state;
        w->drain_until = 0;
    }
    if ((set->set & KVR_SET_DRAIN) && w->state == KVR_DRAINING) w->drain_until = seen + set->drain;
    if (set->set & KVR_SET_ROLE) w->role = set->role;
    if (set->set & KVR_SET_TTL) w->ttl = set->ttl;
    if (set->set & KVR_SET_SPEED) w->speed = set->speed;
    if (set->set & KVR_SET_MAX_REQUESTS) w->max_requests = set->max_requests;
    if (set->set & KVR_SET_LABELS) {
        w->n_labels = set->n_labels;
        for (size_t i = 0; i < set->n_labels; i++) {
            memcpy(w->label[i].bytes, set->labels[i].p, set->labels[i].n);
            w->label[i].n = set->labels[i].n;
        }
    }
    w->seen = seen;
    set_ranks(m, w, ranks);
    for (uint32_t i = 0; i < w->ranks; i++)
        unit_model_prediction_cap(m, w->rank[i].id, w->capacity);
    m->stats.version++;
    return KVR_OK;
}

enum kvr_err unit_model_worker_del(struct unit_model *m, struct kvr_bytes name) {
    struct unit_model_worker *w = unit_model_find_worker(m, name);
    if (!w) return KVR_NOWORKER;
    for (uint32_t i = 0; i < w->ranks; i++)
        drop_instance(m, w->rank[i].id);
    free(w->rank);
    *w = m->workers[--m->n_workers];
    m->stats.version++;
    return KVR_OK;
}
