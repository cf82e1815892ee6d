// SPDX-License-Identifier: Apache-2.0
// The model's waiting requests as they are kept, until when, and how they go; see unit_model_queue.h.
#include "unit_model.h"

#include <stdlib.h>
#include <string.h>

// ---- Copies of queries ---------------------------------------------------------------------------

static struct kvr_bytes copy_bytes(struct kvr_bytes b) {
    char *to = unit_must_alloc(b.n);
    if (b.n) memcpy(to, b.p, b.n);
    return (struct kvr_bytes){to, b.n};
}

static struct kvr_bytes *copy_list(const struct kvr_bytes *list, size_t n) {
    struct kvr_bytes *to = unit_must_alloc(n * sizeof *to);
    for (size_t i = 0; i < n; i++)
        to[i] = copy_bytes(list[i]);
    return to;
}

struct kvr_query unit_model_copy_query(const struct unit_model *m, const struct kvr_query *q) {
    struct kvr_query to = *q;
    uint64_t *hashes = unit_must_alloc(q->n * sizeof *hashes);
    if (q->n) memcpy(hashes, q->hashes, q->n * sizeof *hashes);
    to.hashes = hashes;
    to.isl = q->isl < 0 ? (int64_t)q->n * m->options.block_size : q->isl;
    to.among = copy_list(q->among, q->n_among);
    to.exclude = copy_list(q->exclude, q->n_exclude);
    to.with = copy_list(q->with, q->n_with);
    to.without = copy_list(q->without, q->n_without);
    to.session = copy_bytes(q->session);
    to.service_class = copy_bytes(q->service_class);
    to.flow = copy_bytes(q->flow);
    to.notify = copy_bytes(q->notify);
    return to;
}

static void free_bytes(struct kvr_bytes b) {
    free((void *)(uintptr_t)b.p);
}

static void free_list(const struct kvr_bytes *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        free_bytes(list[i]);
    free((void *)(uintptr_t)list);
}

void unit_model_free_query(struct kvr_query *q) {
    free((void *)(uintptr_t)q->hashes);
    free_list(q->among, q->n_among);
    free_list(q->exclude, q->n_exclude);
    free_list(q->with, q->n_with);
    free_list(q->without, q->n_without);
    free_bytes(q->session);
    free_bytes(q->service_class);
    free_bytes(q->flow);
    free_bytes(q->notify);
}

void unit_model_rename(struct kvr_bytes *own, struct kvr_bytes to) {
    free_bytes(*own);
    *own = copy_bytes(to);
}

void unit_model_queue_free(struct unit_model *m) {
    struct unit_model_queue *q = &m->queue;
    for (size_t i = 0; i < q->n_waiting; i++)
        unit_model_free_query(&q->waiting[i].q);
    for (size_t i = 0; i < q->n_classes; i++)
        free(q->classes[i].turns);
    free(q->waiting);
    free(q->classes);
    free(q->levels);
    free(q->flows);
}

// ---- Coming and going ----------------------------------------------------------------------------

struct unit_model_waiting *unit_model_find_waiting(const struct unit_model *m,
                                                   struct kvr_bytes id) {
    for (size_t i = 0; i < m->queue.n_waiting; i++)
        if (unit_bytes_compare(model_bytes(&m->queue.waiting[i].id), id) == 0)
            return &m->queue.waiting[i];
    return NULL;
}

static int64_t began(const struct unit_model *m, const struct unit_model_waiting *w) {
    return w->since > m->renewed_floor ? w->since : m->renewed_floor;
}

int64_t unit_model_waiting_end(const struct unit_model *m, const struct unit_model_waiting *w) {
    return began(m, w) + w->q.wait;
}

bool unit_model_unqueue(struct unit_model *m, struct kvr_bytes id) {
    struct unit_model_waiting *w = unit_model_find_waiting(m, id);
    if (!w) return false;
    struct unit_model_waiting gone = *w;
    size_t after = (size_t)(&m->queue.waiting[m->queue.n_waiting] - w) - 1;
    memmove(w, w + 1, after * sizeof *w);
    m->queue.n_waiting--;
    unit_model_share_left(m, unit_model_find_class(m, gone.q.service_class), gone.q.flow,
                          gone.number);
    unit_model_free_query(&gone.q);
    return true;
}

void unit_model_queue_renew(struct unit_model *m, int64_t now) {
    for (size_t i = 0; i < m->queue.n_waiting; i++)
        if (m->queue.waiting[i].since > now) m->queue.waiting[i].since = now;
    for (size_t i = 0; i < m->queue.n_flows; i++)
        if (m->queue.flows[i].at > now) m->queue.flows[i].at = now;
}

void unit_model_queue_counts(const struct unit_model *m, struct kvr_stats *out) {
    out->waiting = m->queue.n_waiting;
    out->waiting_tokens = 0;
    for (size_t i = 0; i < m->queue.n_waiting; i++)
        out->waiting_tokens += (uint64_t)(m->queue.waiting[i].q.isl + m->queue.waiting[i].q.osl);
}
