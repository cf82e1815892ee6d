// SPDX-License-Identifier: Apache-2.0
// Who has a prompt to compute: each instance's requests without a first token, in the order of booking. A pair's
// stands in the queue of the instance that computes its prompt; in none, once that has gone.
#ifndef CORE_PREFILL_QUEUE_H
#define CORE_PREFILL_QUEUE_H

#include "pool_state.h"

// The instance in whose queue it belongs; CORE_NO_INSTANCE: in none, or not any more.
uint32_t core_prefill_instance(const struct core_request *r);
int64_t
core_prefill_tokens(const struct core_request *r); // that are to be computed, by whoever does
// Requests come in the order of booking, also saved ones, and leave the queue once. The caller refreshes the instance.
void core_prefill_enqueue(struct core_instance *in, struct core_request *r);
void core_prefill_dequeue(struct core_instance *in, struct core_request *r);

#endif
