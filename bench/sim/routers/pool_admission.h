// SPDX-License-Identifier: Apache-2.0
// Waiting in the core's queue: what a plan says of limits, classes and flows, as a pool takes it; and who is admitted
// when. A pool's requests are admitted by the call that makes room, as the module does it, and those that only time
// makes room for by a look every few milliseconds.
#ifndef SIM_POOL_ADMISSION_H
#define SIM_POOL_ADMISSION_H

#include "private_pools.h"

// The limits that each of `pools` private pools keeps to: its part of them.
void sim_admission_limits(const struct sim_admission *a, unsigned pools, struct kvr_options *o);
// Classes and flows.
enum kvr_err sim_admission_names(const struct sim_admission *a, struct kvr_pool *pool, int64_t now);
// The class and flow that a request has, and whether it may wait.
void sim_admission_query(const struct sim_pools *p, uint32_t request, struct sim_query *out);
struct kvr_bytes sim_class_name(const struct sim_admission *a, const struct bench_request *q);
struct kvr_bytes sim_flow_name(const struct sim_admission *a, const struct bench_request *q,
                               char room[SIM_FLOW_NAME]);

// Admits whom there is room for. pool: which one.
void sim_pools_admit(struct sim_pools *p, unsigned pool);
// Those who wait in a pool that is gone come back at once.
void sim_pools_dismiss(struct sim_pools *p, unsigned pool);

#endif
