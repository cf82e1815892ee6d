// SPDX-License-Identifier: Apache-2.0
// The queue as it is shown: who stands where, and how long it will take.
//
// Who goes first is known only when he goes, because a request costs what it lacks of the instance that it then
// gets. Until then each is taken to cost its ISL + OSL, and those of one line to cost the same.
#ifndef CORE_QUEUE_ORDER_H
#define CORE_QUEUE_ORDER_H

#include "module/core/state/pool_state.h"

uint64_t core_queue_position(const struct kvr_pool *p, const struct core_waiting *w); // 0: next
int64_t core_queue_estimate(const struct kvr_pool *p,
                            uint64_t position); // ms until it is admitted, -1 unknown
// Milliseconds, at least 1, after which one who may not wait is to come back.
int64_t core_queue_retry(const struct kvr_pool *p, int64_t now);
// Tells somebody who may not wait so. He is expected then, and the next one later.
int64_t core_queue_tell(struct kvr_pool *p, int64_t now);
// Milliseconds until n of the flow's live requests have ended, as requests go here; at least 1.
int64_t core_queue_request_time(const struct kvr_pool *p, const struct core_flow *f, uint64_t n);

#endif
