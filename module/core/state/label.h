// SPDX-License-Identifier: Apache-2.0
// Labels of workers, and what a query asks of them.
#ifndef CORE_LABEL_H
#define CORE_LABEL_H

#include "pool_state.h"

int core_label_compare(const void *left, const void *right); // of two struct core_label, bytewise
// Sorts them and drops repeats. KVR_RANGE, KVR_NOMEM.
enum kvr_err core_labels_make(struct kvr_pool *p, const struct kvr_bytes *labels, size_t n,
                              struct core_label **out, uint32_t *n_out);
void core_labels_free(struct kvr_pool *p, struct core_label *labels, uint32_t n);

// What WITH and WITHOUT ask, by hash, so that a worker is looked at in a few steps.
struct core_label_query {
    uint64_t with[KVR_MAX_LABELS], without[KVR_MAX_LABELS];
};
void core_label_query_make(const struct kvr_pool *p, const struct kvr_query *q,
                           struct core_label_query *out);
bool core_labels_fit(const struct core_worker *w, const struct kvr_query *q,
                     const struct core_label_query *l);

#endif
