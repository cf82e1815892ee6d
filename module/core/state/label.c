// SPDX-License-Identifier: Apache-2.0
#include "label.h"

#include <kvroute/hash.h>
#include <stdlib.h>
#include <string.h>

int core_label_compare(const void *left, const void *right) {
    const struct core_label *a = left, *b = right;
    int order = memcmp(a->bytes, b->bytes, a->n < b->n ? a->n : b->n);
    return order ? order : (a->n > b->n) - (a->n < b->n);
}

enum kvr_err core_labels_make(struct kvr_pool *p, const struct kvr_bytes *labels, size_t n,
                              struct core_label **out, uint32_t *n_out) {
    *out = NULL;
    *n_out = 0;
    if (n > KVR_MAX_LABELS) return KVR_RANGE;
    for (size_t i = 0; i < n; i++)
        if (labels[i].n < 1 || labels[i].n > KVR_MAX_LABEL) return KVR_RANGE;
    if (!n) return KVR_OK;
    struct core_label made[KVR_MAX_LABELS];
    for (size_t i = 0; i < n; i++) {
        made[i].hash = XXH3_64bits_withSeed(labels[i].p, labels[i].n, p->seed);
        made[i].n = (uint8_t)labels[i].n;
        memcpy(made[i].bytes, labels[i].p, labels[i].n);
    }
    qsort(made, n, sizeof *made, core_label_compare);
    size_t kept = 1;
    for (size_t i = 1; i < n; i++)
        if (core_label_compare(&made[kept - 1], &made[i])) made[kept++] = made[i];
    *out = core_mem_alloc(&p->mem, kept * sizeof *made);
    if (!*out) return KVR_NOMEM;
    memcpy(*out, made, kept * sizeof *made);
    *n_out = (uint32_t)kept;
    return KVR_OK;
}

void core_labels_free(struct kvr_pool *p, struct core_label *labels, uint32_t n) {
    core_mem_free(&p->mem, labels, n * sizeof *labels);
}

void core_label_query_make(const struct kvr_pool *p, const struct kvr_query *q,
                           struct core_label_query *out) {
    for (size_t i = 0; i < q->n_with; i++)
        out->with[i] = XXH3_64bits_withSeed(q->with[i].p, q->with[i].n, p->seed);
    for (size_t i = 0; i < q->n_without; i++)
        out->without[i] = XXH3_64bits_withSeed(q->without[i].p, q->without[i].n, p->seed);
}

static bool has(const struct core_worker *w, uint64_t hash, struct kvr_bytes label) {
    for (uint32_t i = 0; i < w->n_labels; i++)
        if (w->labels[i].hash == hash && w->labels[i].n == label.n &&
            !memcmp(w->labels[i].bytes, label.p, label.n))
            return true;
    return false;
}

bool core_labels_fit(const struct core_worker *w, const struct kvr_query *q,
                     const struct core_label_query *l) {
    for (size_t i = 0; i < q->n_with; i++)
        if (!has(w, l->with[i], q->with[i])) return false;
    for (size_t i = 0; i < q->n_without; i++)
        if (has(w, l->without[i], q->without[i])) return false;
    return true;
}
