// SPDX-License-Identifier: Apache-2.0
// Workers: found by name, their time, their end.
#ifndef CORE_WORKER_H
#define CORE_WORKER_H

#include "pool_state.h"

// The worker's index, or -1; *place (may be NULL) is where it would stand.
long core_worker_find(const struct kvr_pool *p, struct kvr_bytes name, size_t *place);
// CORE_NO_INSTANCE: no such worker or rank.
uint32_t core_instance_find(const struct kvr_pool *p, struct kvr_bytes worker, uint32_t rank);
bool core_worker_named(const struct core_worker *w, struct kvr_bytes name);
bool core_worker_before(const struct core_worker *a, const struct core_worker *b); // in name order
bool core_instance_before(const struct kvr_pool *p, uint32_t a,
                          uint32_t b); // in name and rank order

int64_t core_worker_ttl(const struct kvr_pool *p,
                        const struct core_worker *w); // ms, 0: never expires
int64_t core_worker_expiry(const struct kvr_pool *p,
                           const struct core_worker *w); // ms since the epoch
int64_t core_worker_due(const struct kvr_pool *p,
                        const struct core_worker *w); // to be deleted; INT64_MAX: never
bool core_worker_expired(const struct kvr_pool *p, const struct core_worker *w, int64_t now);

void core_worker_free(struct kvr_pool *p, struct core_worker *w); // its memory alone

#endif
