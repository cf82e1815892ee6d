// SPDX-License-Identifier: Apache-2.0
// Rounds: they count what may have made room. Whoever was looked at in vain since the last one needs no further look.
#ifndef CORE_QUEUE_ROUND_H
#define CORE_QUEUE_ROUND_H

#include "pool_state.h"

// What may have made room: on one instance, or anywhere.
void core_queue_gained(struct kvr_pool *p, uint32_t instance);
void core_queue_gained_all(struct kvr_pool *p);
// Somebody is to be looked at for whom nothing need have changed elsewhere.
void core_queue_again(struct kvr_pool *p);

#endif
