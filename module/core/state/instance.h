// SPDX-License-Identifier: Apache-2.0
// Instances: dense numbers, and the columns that mirror their loads.
#ifndef CORE_INSTANCE_H
#define CORE_INSTANCE_H

#include "pool_state.h"

// Makes room for n more instances, so that core_instance_new can't fail. 0, or -1 without memory.
int core_instance_reserve(struct kvr_pool *p, size_t n);
uint32_t core_instance_new(struct kvr_pool *p, struct core_worker *w, uint32_t rank);
void core_instance_free(struct kvr_pool *p, uint32_t i); // its number: nothing is left on it
// A new slot of the prefix tree for what it holds in the tier; 0 without memory or when all are taken.
uint32_t core_instance_new_slot(struct kvr_pool *p, const struct core_instance *in, int tier);
uint64_t core_instance_predicted(const struct core_instance *in); // distinct blocks
// Whether the request counts: its instance is there.
bool core_request_live(const struct kvr_pool *p, const struct core_request *r);

// Both bring the columns up to date: what an instance has to do, and what makes a worker's instances eligible.
void core_instance_refresh(struct kvr_pool *p, uint32_t i);
void core_worker_refresh(struct kvr_pool *p, const struct core_worker *w);
void core_columns_free(struct kvr_pool *p);

// The share of its cache that is in use, 0 to 1; 0 while nobody has said how large it is.
double core_instance_full(const struct kvr_pool *p, const struct core_instance *in);
// Those booked on it, and those whose prompts it computes.
uint64_t core_instance_requests(const struct core_instance *in);
double
core_instance_oldest(const struct core_instance *in); // tokens to compute of the first in its queue

#endif
